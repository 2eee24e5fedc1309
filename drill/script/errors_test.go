package script_test

import (
	"errors"
	"strings"
	"testing"

	"tapstack/drill/script"
)

// Each script has one mistake; the message starts with the text after "=>".
var mistakes = []struct{ src, want string }{
	// events
	{"close(3) = 0", "1:1: expected a time before this, such as 0.1, +0.1 or *"},
	{"0.1", "1:4: expected a packet (< or >), a system call, `shell text` or %{ code }%, found end of script"},
	{"+", "1:2: expected seconds, found end of script"},
	{"+x close(3) = 0", `1:2: expected seconds, found word "x"`},
	{"1.2.3 close(3) = 0", `1:1: "1.2.3" is not a number`},
	{"0.2~0.1 close(3) = 0", "1:4: this range of time ends before it begins"},
	{"0.1~+0.2 close(3) = 0", "1:4: a range from an absolute time ends in one, without +"},
	{"0.2...0.1 close(3) = 0", "1:4: this blocking call ends before it begins"},
	{"0.2...+0.3 close(3) = 0", "1:7: the end of a blocking call is absolute as its beginning is: expected no +"},
	{"*...0.1 close(3) = 0", "1:2: a blocking call begins at one time, absolute or relative"},
	{"0...1 < . 1:1(0)", "1:2: only a system call can take until a second time"},
	{"10000000000 close(3) = 0", "1:1: time too far away: the end is after 292 years"},
	{"9223372036.9 close(3) = 0", "1:1: time too far away: the end is after 292 years"},
	{"0.0000000001 close(3) = 0", "1:1: time finer than a nanosecond"},
	{"0.00000000001m close(3) = 0", "1:1: time finer than a nanosecond"},
	{"+10xs close(3) = 0", `1:2: unknown unit of time "xs": want ns, us, ms, s, m or h, or none for seconds`},
	{"0 close(3) = 0\n--mtu=1500", "2:1: options come before everything else"},
	{"0 close(3) = 0\n}", "2:1: no loop is open here"},
	{"0 client: ", `1:10: expected a packet (< or >), a system call, `},
	{"0 \x01", `1:3: unexpected character '\x01'`},
	{"0 close(3) = 0 é", `1:16: unexpected character 'é'`},
	// comments, strings, shell
	{"0 close(3) = 0 /* not\nclosed", "1:16: this comment does not end: expected */"},
	{"/* a /* b */ */ 0 close(3) = 0", "1:14: no comment is open here (comments do not nest)"},
	{"0 `ls", "1:3: this shell text does not end: expected another `"},
	{"0 write(3, \"abc\n\", 3) = 3", `1:12: this string does not end: expected another " on the same line`},
	{`0 write(3, "abc\", 3) = 3`, `1:12: this string does not end`},
	{`0 write(3, "\q", 3) = 3`, `1:12: this string has an unknown escape \q`},
	{`0 write(3, "\777", 3) = 3`, `1:12: this string has an octal escape beyond a byte`},
	// options
	{"--=3", "1:3: expected the name of an option"},
	{"--mtu=", "1:7: expected a value for this option"},
	{"--mtu=`ls`", "1:7: this value needs quotes around it"},
	{`--mtu="15`, "1:7: this string does not end"},
	// packets
	{"0 < X 1:1(0)", "1:5: expected TCP flags (F S R P . U E W A, or - for none), udp, icmp, arp, ndp or frame, found \"X\""},
	{"0 < SS 1:1(0)", `1:5: a flag is given twice in "SS"`},
	{"0 < S", `1:6: expected a sequence number as in 1:1001(1000), found end of script`},
	{"0 < S 1", `1:8: expected ":" and the sequence number that follows, as in 1:1001(1000), found end of script`},
	{"0 < S 4294967296:1(0)", "1:7: number too large: at most 4294967295 goes here"},
	{"0 < S 99999999999999999999999:1(0)", "1:7: number too large: at most 4294967295 goes here"},
	{"0 < S 1:1(65536)", "1:11: number too large: at most 65535 goes here"},
	{"0 < S 1.5:1(0)", "1:7: expected an integer, found 1.5"},
	{"0 < S -1:1(0)", `1:7: expected a sequence number as in 1:1001(1000), found "-"`},
	{"0 < S 9~1:1(0)", "1:8: this range ends before it begins"},
	{"0 < . 1:1(0) win 65536", "1:18: number too large: at most 65535 goes here"},
	{"0 < . 1:1(0) ack 1 ack 2", "1:20: ack is given twice"},
	{"0 < . 1:1(0) ack\n+0 close(3) = 0", "1:17: expected a number behind ack, found end of line"},
	{"0 < . 1:6(5) \"hell\"", "1:14: this payload has 4 bytes, the packet 5"},
	{"0 < . 1:1(0) <mss>", `1:18: expected the segment size, found ">"`},
	{"0 < . 1:1(0) <mss 1460", `1:23: expected ">" or "," and another TCP option, found end of script`},
	{"0 < . 1:1(0) <>", `1:15: expected a TCP option: mss, nop, eol,`},
	{"0 < . 1:1(0) <mms 1>", `1:15: expected a TCP option (mss, nop, eol, sackOK, wscale, TS, sack, FO, FOEXP, md5, ECN, exp, exp254, kind or ...), found word "mms"`},
	{"0 < . 1:1(0) <..., nop>", `1:18: expected ">" or "," and another TCP option, found ","`},
	{"0 < . 1:1(0) <sack 1:2 2:3 3:4 4:5 5:6>", "1:15: an option has room for 4 blocks"},
	{"0 < . 1:1(0) <md5 0102>", "1:15: expected md5 and 16 bytes in hexadecimal"},
	{"0 < . 1:1(0) <FO abc>", `1:18: expected bytes in hexadecimal, two digits each, found "abc"`},
	{"0 < . 1:1(0) <FO 000102030405060708090a0b0c0d0e0f10>", "1:18: 17 bytes are too many: an option of this kind has room for 16"},
	{"0 < [ttl 256] . 1:1(0)", "1:10: number too large: at most 255 goes here"},
	{"0 < [ect2] . 1:1(0)", `1:6: expected noecn, ect0, ect1, ect01, ce, tos, ttl, flowlabel, id, df or frag, found word "ect2"`},
	{"0 < [ect0, ce] . 1:1(0)", "1:12: the ECN bits are given twice"},
	{"0 < (ttl 1) [ect0] . 1:1(0)", "1:13: the IP header is described twice"},
	{"0 < [65536 > 80] . 1:1(0)", "1:5: a port is at most 65535"},
	{"0 < 1 > 2 udp 3 > 4 (0)", "1:15: the ports are given twice"},
	{"0 < [1:1(0)] . 1:1(0)", "1:5: only an ICMP message quotes a packet"},
	{"0 < [1:1(0)] icmp unreachable [udp (1)]", "1:31: the quoted packet is given twice"},
	{"0 < icmp unreachble", `1:10: expected a type of ICMP message (unreachable, packet_too_big, time_exceeded, echo_request, ..., type_N), found word "unreachble"`},
	{"0 < icmp redirect no_route", `1:19: expected a code of this ICMP type (redirect_host, redirect_net, redirect_tos_host, redirect_tos_net, code_N), found word "no_route"`},
	{"0 < ipv4 1.2.3 > 1.2.3.4: . 1:1(0)", `1:10: expected an IP address, found "1.2.3"`},
	{"0 < ipv4 fd00::1 > 1.2.3.4: . 1:1(0)", "1:5: the addresses are not of this IP version"},
	{"0 < ipv4 1.2.3.4 > 1.2.3.5 . 1:1(0)", `1:28: expected ":" and what this header carries, found "."`},
	{"0 < eth 02:00:00:00:00 > ff:ff:ff:ff:ff:ff: arp", "1:9: expected an Ethernet address such as 02:00:00:00:00:01"},
	{"0 < arp whohas 1.2.3.4", `1:9: expected who-has or reply, found word "whohas"`},
	{"0 < arp who-has fd00::1 tell 1.2.3.4", "1:5: ARP is about IPv4 addresses"},
	{"0 < ndp solicit 1.2.3.4", "1:5: NDP is about IPv6 addresses"},
	{`0 < frame "0011"`, "1:11: a frame has at least 14 bytes, an Ethernet header"},
	{`0 < frame "001x"`, `1:11: expected two hexadecimal digits, .. or ... at the end of the frame, found "1x"`},
	// calls
	{"0 close", `1:8: expected "(" and the arguments of close, found end of script`},
	{"0 close(3", `1:10: expected "," or ")", found end of script`},
	{"0 close(3,) = 0", `1:11: expected another argument, found ")"`},
	{"0 close(3)\n+0 close(4) = 0", `1:11: expected "=" and the result of close, found end of line`},
	{"0 close(3) =", `1:13: expected a value, found end of script`},
	{"0 read(3) = -1 EAGAIN (try\nagain)", `1:23: expected ")" at the end of this note, on the same line`},
	{"0 read(3) = -1 EAGAIN (try `ls`)", "1:28: a note cannot contain `, /* or %{"},
	{"0 f({a=1, 2=3}) = 0", `1:11: expected the name of a field before "="`},
	{"0 f([1, 2) = 0", `1:10: expected "," or "]", found ")"`},
	{"0 f(18446744073709551616) = 0", "1:5: number does not fit 64 bits"},
	{"0 f(-9223372036854775809) = 0", "1:5: number does not fit 64 bits"},
	{"0 f(089) = 0", "1:5: this octal number has a digit that is not octal"},
	{"0 f(0x) = 0", `1:5: "0x" is not a number`},
	{"0 f(12ab) = 0", `1:5: "12ab" is not a number`},
	// code
	{"0 %{ assert }%", `1:13: expected a value, found "}%"`},
	{"0 %{ assert a == }%", `1:18: expected a value, found "}%"`},
	{"0 %{ assert a", "1:3: this code does not end: expected }%"},
	{"0 %{ assert a b }%", `1:15: expected an operator or the end of the statement, found word "b"`},
	{"0 %{ a }%", `1:8: expected "=" (a statement is assert, print or an assignment), found "}%"`},
	{"0 %{ assert and }%", `1:13: expected a value, found word "and"`},
	{"0 %{ assert a ==\n 1 }%", `1:17: expected a value, found end of line`},
	// extensions
	{"0 expect nothing", "1:17: expected \"for\" and a time, as in expect nothing for 1s, found end of script"},
	{"0 < S 0:0(0) wind 1000", `1:14: expected ack, win, urg, <TCP options>, a payload or the next event's time, found word "wind"`},
	{"0 close(3) = 0 close(4) = 0", "1:16: expected a time before this, such as 0.1, +0.1 or *"},
	{"0 close(3) = 0 close", `1:16: expected the next event's time, found word "close"`},
	{"0 S 0:0(0) win 1000", `1:3: expected "<" or ">" and a packet, or a system call, found word "S"`},
	{"0 < 0:0(0) win 1000", "1:5: expected TCP flags (F S R P . U E W A, or - for none) before the sequence numbers"},
	{"0 close(3) = 0\nhost a 10.0.0.1/24", "2:1: a line with host comes before the events"},
	{"for N in 1.. {\n}", "1:14: expected a number, or numbers with names and operators"},
	{"0 expect S", `1:10: expected "nothing" (an expected packet is written with >), found word "S"`},
	{"for N in 1..3 {\n0 close(3) = 0", "1:1: this loop does not end: expected }"},
	{"for N in 1... {\n}", `1:11: expected "{", found "..."`},
	{`for N in "a" { }`, "1:10: expected a number, or numbers with names and operators"},
	{"+0 for N in 1..3 { }", "1:1: a loop has no time of its own: give one to the events in it"},
	{"0 < S $:1(0)", `1:8: expected "{" or a name behind $, found ":"`},
	{"host a 10.0.0.1", `1:8: expected an address with a prefix length, such as 10.0.0.1/24, found "10.0.0.1"`},
	{"link a b delay", "1:15: expected a time such as 10ms, found end of script"},
	{"link a b rate 10mb", `1:15: expected a rate such as 10mbit (bit, kbit, mbit or gbit a second), found "10mb"`},
	{"link a b speed 10", `1:10: expected delay, rate, queue or loss, found word "speed"`},
	{"conn b remote 1.2.3.4", `1:15: expected an address with a port, such as 192.0.2.1:80, [fd00::1]:80 or :80, found "1.2.3.4"`},
	{"conn b local :0", "1:14: port 0 is no port"},
	{"host a\n0 b: f() = 0", `2:1: no host is called b: expected a line "host b ..." before the events`},
	{"for N in 1..2 {\n0 < b: . 1:1(0) }", `2:3: no connection is called b: expected a line "conn b ..." before the events`},
	{"host a\nhost a", "2:1: host a is declared twice"},
	{"conn a\nconn a", "2:1: connection a is declared twice"},
	{"param a in 1\nparam a in 2", "2:1: parameter a is declared twice"},
	{"host a\nlink a b", "2:1: no host is called b"},
	{"host a\nlink a a", "2:1: this link joins a with itself"},
	// directives
	{"#ifdef A\n0 close(3) = 0", "1:1: this #ifdef has no #endif"},
	{"0 close(3) = 0\n#endif", "2:1: #endif without #ifdef"},
	{"#ifdef A\n#else\n#else\n#endif", "3:1: a second #else; the #ifdef is in line 1"},
	{"#ifdef\n#endif", "1:1: expected a name behind #ifdef"},
	{"#define\n", "1:1: expected a name to define"},
	{"#define F(x) x\n", "1:1: macros take no arguments"},
	{"#unless\n", "1:1: expected #define, #undef, #ifdef, #ifndef, #else or #endif, found #unless"},
	{"#define A B B\n#define B C )\n#define C 1 2\n0 f(A) = 0", `4:5: expected "," or ")", found number 2`},
	{"#define SIZE 1000\n0 f(SIZE, SIZE x) = 0", `2:16: expected "," or ")", found word "x"`},
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		_, err := script.Parse("x", m.src, nil)
		if err == nil {
			t.Errorf("%q: no error, want %s", m.src, m.want)
			continue
		}
		if got := strings.TrimPrefix(err.Error(), "x:"); !strings.HasPrefix(got, m.want) {
			t.Errorf("%q:\n got %s\nwant %s", m.src, got, m.want)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for src, feature := range map[string]string{
		"0 < sctp: INIT[flgs=0]":                      "SCTP",
		"0 > udplite (1000,8)":                        "UDP-Lite",
		"0 < encap psp spi 12 . 1:1(0)":               "PSP",
		"0 < ipv4 1.1.1.1 > 2.2.2.2: psp spi 12: . 1": "PSP",
		"0 > S 0:0(0) <mp_capable a>":                 "MPTCP",
		"0 > S 0:0(0) <edo 5>":                        "TCP option edo",
		"0 %{ import os }%":                           "the Python statement import",
		"0 %{ assert x[0] == 1 }%":                    "indexing in code",
		"0 %{ assert 1 if x else 2 }%":                "Python's conditional expression",
		"0 %{ print(f'{x}') }%":                       "prefixed string",
	} {
		_, err := script.Parse("x", src, nil)
		var e *script.Error
		if !errors.As(err, &e) || e.Feature != feature {
			t.Errorf("%q: %v; want the feature %q", src, err, feature)
		}
	}
	if _, err := script.Parse("x", "0 < S 0:0", nil); err == nil || err.(*script.Error).Feature != "" { //nolint:errorlint // the exact type is promised
		t.Error("a mistake counts as unsupported:", err)
	}
}

func TestDetailOfALongLine(t *testing.T) {
	src := "0 write(3, \"" + strings.Repeat("x", 1_000_000) + "\", @, 3) = 3"
	_, err := script.Parse("x", src, nil)
	lines := strings.Split(detail(err), "\n")
	if len(lines) != 3 || len(lines[1]) > 200 {
		t.Fatalf("%d lines, the second of %d bytes", len(lines), len(lines[1]))
	}
	if caret := strings.Index(lines[2], "^"); lines[1][caret] != '@' {
		t.Errorf("the caret is not below the mistake:\n%s\n%s", lines[1], lines[2])
	}
}

func TestDetailKeepsTabsAndTerminals(t *testing.T) {
	_, err := script.Parse("x", "0\tclose(3)\t= \x1b[31m", nil)
	want := "x:1:14: unexpected character '\\x1b'\n    0\tclose(3)\t= ?[31m\n     \t        \t  ^"
	if got := detail(err); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
