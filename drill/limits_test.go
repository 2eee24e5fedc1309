package drill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapstack/drill"
	"tapstack/tap/capture"
)

const passive = `
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 65535 <mss 1460>
+0   > S. 0:0(0) ack 1 <mss 1460>
+0.1 < . 1:1(0) ack 1 win 65535
+0   accept(3, ..., ...) = 4
`

// lingers has a close of descriptor 4 that waits.
const lingers = passive + `
+0   setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, 8) = 0
+0   write(4, ..., 100) = 100
+0   > P. 1:101(100) ack 1
+0...2.1 close(4) = 0
+0   > F. 101:101(0) ack 1
`

// TestOutcomes is about scripts that do not pass: where, why, and that it does
// not take long.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, src string
		outcome   drill.Outcome
		line      int
		reason    string
	}{
		{"nothing comes", passive + "+0 > . 1:1(0) ack 1", drill.Fail, 9, "no packet came"},
		{"another comes", passive + "+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1", drill.Fail, 10, "another packet: length 10, want 11"},
		{"too early", passive + "+0 write(4, ..., 10) = 10\n+1 > P. 1:11(10) ack 1", drill.Fail, 10, "packet came too early"},
		{"too late", passive + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.1 > P. 1:11(10) ack 1", drill.Fail, 11, "packet came too late"},
		{"something comes", passive + "+0 write(4, ..., 10) = 10\n+0 expect nothing for 1s", drill.Fail, 10, "a packet came"},
		{"result", passive + "+0 write(4, ..., 10) = 11", drill.Fail, 9, "write returned 10, want 11"},
		{"errno", passive + "+0 recv(4, ..., 10, MSG_DONTWAIT) = -1 EPIPE", drill.Fail, 9, "recv returned -1 EAGAIN, want -1 EPIPE"},
		{"blocks", passive + "+0 read(4, ..., 10) = 10", drill.Fail, 9, "read blocks; a call that may has two times"},
		{"never returns", passive + "+0...1 read(4, ..., 10) = 10", drill.Fail, 9, "read has not returned"},
		{"returns late", passive + "+0...0.1 read(4, ..., 10) = 10\n+.5 < P. 1:11(10) ack 1 win 100", drill.Fail, 9, "read returned at another time"},
		{"option", passive + "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0", drill.Fail, 9, "getsockopt: TCP_NODELAY is 0, want [1]"},
		{"option's level", passive + "+0 getsockopt(4, SOL_SOCKET, TCP_NODELAY, [0], [4]) = 0", drill.Fail, 9, "getsockopt returned -1 ENOPROTOOPT"},
		{"bad descriptor", "0 read(9, ..., 10) = 10", drill.Fail, 1, "read returned -1 EBADF"},
		{"assertion", passive + "+0 %{ assert rcvbuf_queued == 1, 'no' }%", drill.Fail, 9, "assertion does not hold: no"},
		{"unknown name", passive + "+0 %{ assert rcvbuf_colour == 1 }%", drill.Fail, 9, "no such name: rcvbuf_colour"},
		{"no socket", "0 %{ assert rcvbuf_queued == 1 }%", drill.Fail, 1, "there is no socket yet"},
		{"time goes back", passive + "0 close(4) = 0", drill.Fail, 9, "too late"},
		{"syntax", "0 < S 0:0(0", drill.Fail, 1, "expected"},
		{"misspelt call", "0 conect(3, ..., ...) = 0", drill.Fail, 1, "there is no call conect: is it connect?"},
		{"other call", "0 recvmmsg(3, ...) = 0", drill.Unsupported, 1, "recvmmsg()"},
		{"misspelt option", "--tolerance_usec=9\n0 close(3) = 0", drill.Fail, 1, "is it --tolerance_usecs?"},
		{"parameter", "param N in 1..3\n0 %{ assert N < 3 }%", drill.Fail, 2, "assertion does not hold (with N = 3)"},
		{"parameter without values", "param N in 5..1\n0 close(3) = 0", drill.Fail, 1, "the parameters have no values"},
		{"closed while it lingers", lingers + "+1 close(4) = 0\n+1 < . 1:1(0) ack 102 win 65535", drill.Fail, 15, "close returned -1 EBADF"},
		{"two hosts", "host a 10.0.0.1/24\nhost b 10.1.0.1/24\nlink a b\n0 a: close(3) = 0", drill.Fail, 3, "have no network in common"},
		{"which host", "host a 10.0.0.1/24\nhost b 10.0.0.2/24\nlink a b\n0 close(3) = 0", drill.Fail, 4, "which host?"},
		{"huge", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 write(3, ..., 99999999999) = 1", drill.Fail, 2, "more than a script may move"},
		{"sequence number", "0 < . 4294967296:4294967296(0) ack 1 win 1", drill.Fail, 1, "number too large: at most 4294967295"},
		{"64 bits", "0 socket(..., SOCK_STREAM, 99999999999999999999) = 3", drill.Fail, 1, "number does not fit 64 bits"},
		{"option's value", passive + "+0 setsockopt(4, SOL_SOCKET, SO_RCVBUF, [4294967296], 4) = 0", drill.Fail, 9, "4294967296 is no value of an option: it does not fit 32 bits"},
		{"descriptor", "0 close(4294967299) = 0", drill.Fail, 1, "close returned -1 EBADF"},
		{"timeout", passive + "+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 9223372036854775807) = 0", drill.Fail, 9, "9223372036854775807 is no timeout in milliseconds"},
		{"nested comments", "/* /* */ */ 0 close(3) = 0", drill.Fail, 1, "comments do not nest"},
		{"time", "9999999999999 close(3) = 0", drill.Fail, 1, ""},
		{"segment", "0 < . 0:70000(${70000}) ack 1 win 1", drill.Fail, 1, "larger than any packet"},
		{"contradiction", "0 < . 0:10(11) ack 1 win 1", drill.Fail, 1, "0:10 is not of length 11"},
		{"unknown call", "0 splice(3, 4) = 0", drill.Unsupported, 1, "splice()"},
		{"unknown option", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [1], 4) = 0", drill.Unsupported, 2, "socket option TCP_FASTOPEN"},
		{"unknown field", passive + "+0 %{ assert tcpi_pacing_rate == 1 }%", drill.Unsupported, 9, "tcpi_pacing_rate"},
		{"shell", "0 `rm -rf /`", drill.Unsupported, 1, "shell command rm"},
		{"sysctl", "0 `sysctl -w net.ipv4.tcp_ecn=1`", drill.Unsupported, 1, "sysctl net.ipv4.tcp_ecn"},
		{"sysctl later", passive + "+0 `sysctl -w net.ipv4.tcp_sack=0`", drill.Unsupported, 9, "settings that change"},
		{"script option", "--wire_client\n0 close(3) = 0", drill.Unsupported, 1, "option --wire_client"},
		{"SCTP", "0 < sctp: INIT[]", drill.Unsupported, 1, ""},
		{"encapsulation", "0 > ipv4 1.1.1.1 > 2.2.2.2: . 0:0(0) ack 1 win 1", drill.Unsupported, 1, "packets in packets from the stack"},
		{"frame in a packet", "0 < ipv4 1.1.1.1 > 2.2.2.2: eth 02:00:00:00:00:01 > 02:00:00:00:00:02: . 0:0(0) ack 1", drill.Unsupported, 1, "Ethernet frames in packets"},
		{"GRE without IP", "0 < gre: . 0:0(0) ack 1", drill.Fail, 1, "GRE needs an IP header in front"},
		{"ARP in a packet", "0 < ipv4 1.1.1.1 > 2.2.2.2: arp who-has 192.168.0.1 tell 192.0.2.1", drill.Fail, 1, "only IP packets go into others"},
		{"TCP_INFO", passive + "+0 getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_unacked=3}, [9]) = 0", drill.Fail, 9, "getsockopt: tcpi_unacked is 0, want 3"},
		{"linger", passive + "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, 8) = 0\n+0...1 close(4) = 0", drill.Fail, 10, "close has not returned"},
		{"accepted from", strings.Replace(passive, "accept(3, ..., ...)", "accept(3, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr(\"192.0.2.1\")}, [16])", 1), drill.Fail, 8, "the connection is from 192.0.2.1:40001, want 192.0.2.1:9"},
		{"control message", "0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n+0 sendmsg(3, {msg_iov(1)=[{..., 1}], msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=1}]}, 0) = 1", drill.Unsupported, 2, "sending control message SCM_RIGHTS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := drill.RunText("x.pkt", c.src, nil)
			if res.Outcome != c.outcome || res.Line != c.line || !strings.Contains(res.Reason, c.reason) {
				t.Errorf("%v\nwant %v in line %d: %s", res, c.outcome, c.line, c.reason)
			}
		})
	}
}

// hung is longer than anything takes that has a limit of a second, on however
// slow a machine.
const hung = time.Minute

// TestBounds is about scripts without end.
func TestBounds(t *testing.T) {
	for name, src := range map[string]string{
		"a loop":        "for N in 1..1000000000000 { }",
		"many events":   "for N in 1..1000000000000 { +0 %{ x = N }% }",
		"much time":     passive + "+0 setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [1], 4) = 0\n+0 setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0\nfor N in 1..1000000000000 { +1 < . 1:1(0) ack 1 win 65535 }",
		"loops in loop": "for N in 1..1000000 { for M in 1..1000000 { } }",
		"parameters":    "param N in 1..1000000\nparam M in 1..1000000\n0 < . 0:0(0) ack 1 win 1",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			res := drill.RunText("x.pkt", src, &drill.Config{Steps: 100_000, WallLimit: 500 * time.Millisecond})
			if res.Outcome != drill.Fail {
				t.Error(res)
			}
			if d := time.Since(begun); d > hung {
				t.Errorf("took %v", d)
			}
		})
	}
}

// A million events end where there have been too many, or where it has taken
// too long.
func TestMillionEvents(t *testing.T) {
	n := 1_000_000
	if raceEnabled {
		n /= 10
	}
	s := parse(t, "x.pkt", []byte(strings.Repeat("+0 %{ x = 1 }%\n", n)))
	res := drill.Run(s, &drill.Config{Steps: 1000, WallLimit: hung})
	if res.Outcome != drill.Fail || res.Line < 900 || res.Line > 1001 || !strings.Contains(res.Reason, "more than 1000 timers and events") {
		t.Error(res)
	}
	// The limit that is too short for the script, and not for what comes before
	// its first event, depends on the machine.
	for limit := 10 * time.Millisecond; ; limit *= 2 {
		res := drill.Run(s, &drill.Config{WallLimit: limit})
		if res.Outcome == drill.Fail && res.Line > 0 && strings.Contains(res.Reason, "takes longer than "+limit.String()) {
			return
		}
		if res.Outcome != drill.Fail || !strings.Contains(res.Reason, "still inside one step") {
			t.Fatal(limit, res)
		}
	}
}

// Every beginning of a script ends, in time and with a place.
func TestTruncatedRuns(t *testing.T) {
	for _, name := range []string{"hosts-lost-segment-is-sent-again", "linger-blocks-close-until-acknowledged", "udp-fragments-are-put-together", "mss-parameter"} {
		src, err := os.ReadFile(filepath.Join(ownScripts, name+".pkt"))
		if err != nil {
			t.Fatal(err)
		}
		step := 7
		if raceEnabled {
			step = 41
		}
		for n := 0; n < len(src); n += step {
			res := drill.RunText("x.pkt", string(src[:n]), &drill.Config{Steps: 10_000})
			if res.Outcome != drill.Pass && res.Line == 0 {
				t.Errorf("%s, first %d bytes: %v", name, n, res)
			}
		}
	}
}

// Run returns though something that it calls does not.
func TestRunReturns(t *testing.T) {
	release, left := make(chan struct{}), make(chan struct{})
	begun := time.Now()
	res := drill.RunText("x.pkt", passive, &drill.Config{WallLimit: 100 * time.Millisecond, Capture: func(string) (io.WriteCloser, error) {
		defer close(left)
		<-release
		return nil, os.ErrClosed
	}})
	if res.Outcome != drill.Fail || !strings.Contains(res.Reason, "still inside one step after 100ms") {
		t.Error(res)
	}
	if d := time.Since(begun); d > hung {
		t.Errorf("took %v", d)
	}
	close(release)
	<-left
}

func TestSuite(t *testing.T) {
	dir := t.TempDir()
	for name, src := range map[string]string{
		"a/pass.pkt": passive, "a/fail.pkt": passive + "+0 > . 1:1(0) ack 1", "b/unsupported.pkt": "0 splice(3, 4) = 0", "b/no.txt": "no script",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pcaps := filepath.Join(dir, "pcaps")
	calls := 0
	s := &drill.Suite{
		Paths: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b", "unsupported.pkt"), filepath.Join(dir, "b")}, PcapDir: pcaps,
		Done: func(_, total int, _ *drill.Result) {
			if calls++; total != 4 {
				t.Errorf("%d scripts in all; want 4", total)
			}
		},
	}
	report, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := [4]int{report.Count(drill.Pass), report.Count(drill.Fail), report.Count(drill.Unsupported), calls}; n != [4]int{1, 1, 2, 4} {
		t.Errorf("pass, fail, unsupported, calls: %v", n)
	}
	checkCapture(t, pcaps)
	checkText(t, report)
	checkJSON(t, report)
	if _, err := (&drill.Suite{Paths: []string{pcaps}}).Run(context.Background()); err == nil {
		t.Error("a folder without scripts is no error")
	}
	if _, err := (&drill.Suite{Paths: []string{"/nonexistent"}}).Run(context.Background()); err == nil {
		t.Error("a path that there is not is no error")
	}
}

func checkCapture(t *testing.T, dir string) {
	t.Helper()
	files, _ := filepath.Glob(dir + "/*.pcapng")
	if len(files) != 1 || !strings.Contains(files[0], "fail") {
		t.Fatalf("captures %v; want that of the failure", files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Next()
	if err != nil || f.Time.Year() != 2000 {
		t.Errorf("first frame at %v, %v; want virtual time", f.Time, err)
	}
}

func checkText(t *testing.T, report *drill.Report) {
	t.Helper()
	var text bytes.Buffer
	if err := report.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fail.pkt:9:1: fail: no packet came", "    want  0.100 > . 1:1(0) ack 1\n", "    got   nothing until 2.100", "unsupported: splice()", "of 4"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

func checkJSON(t *testing.T, report *drill.Report) {
	t.Helper()
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Total, Pass, Fail, Unsupported int
		Scripts                        []struct {
			Path, Result, Reason string
			Line                 int
			Ms                   *float64
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Total != 4 || got.Pass != 1 || got.Fail != 1 || got.Unsupported != 2 || len(got.Scripts) != 4 || got.Scripts[0].Ms == nil {
		t.Errorf("%s", b)
	}
	if s := got.Scripts[0]; s.Result != "fail" || s.Line != 9 || s.Reason != "no packet came" {
		t.Errorf("first script: %+v", s)
	}
}
