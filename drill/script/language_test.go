package script_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"tapstack/drill/script"
)

const mistake = "a mistake"

// Each event is written in some way and printed in one; "" is as it was.
var canonical = []struct{ src, want string }{
	// times
	{"0 close(3) = 0", ""},
	{"0.000 close(3) = 0", "0 close(3) = 0"},
	{"1. close(3) = 0", "1 close(3) = 0"},
	{"+.25 close(3) = 0", "+0.25 close(3) = 0"},
	{"+ 0.25 close(3) = 0", "+0.25 close(3) = 0"},
	{"+1500us close(3) = 0", "+0.0015 close(3) = 0"},
	{"2m close(3) = 0", "120 close(3) = 0"},
	{"0.000000001 close(3) = 0", ""},
	{"0.1~0.2 close(3) = 0", ""},
	{"+.35~+2.35 close(3) = 0", "+0.35~+2.35 close(3) = 0"},
	{"+1~2 close(3) = 0", "+1~+2 close(3) = 0"},
	{"* > S 0:0(0)", ""},
	{"0...0.2 close(3) = 0", ""},
	{"0.000...0.200 close(3) = 0", "0...0.2 close(3) = 0"},
	{"1....2 close(3) = 0", mistake},
	{"+1...+2.5 close(3) = 0", "+1...2.5 close(3) = 0"},
	{"+$N close(3) = 0", "+${N} close(3) = 0"},
	// packets
	{"0 <[noecn] . 1:1(0)ack 1 win 2<mss 3 , nop>", "0 < (noecn) . 1:1(0) ack 1 win 2 <mss 3,nop>"},
	{"0 > .SF 1:1(0)", "0 > SF. 1:1(0)"},
	{"0 < .0 1:1(0)", "0 < . 1:1(0)"},
	{"0 < .7 1:1(0)", "0 < EWA. 1:1(0)"},
	{"0 < S 0:0 (0) win 0xffff", "0 < S 0:0(0) win 65535"},
	{"0 < . 1:1(0) win 7 ack 5", "0 < . 1:1(0) ack 5 win 7"},
	{"0 < 1 > 2 [ect01] . 1:1(0)", "0 < (ect01) [1 > 2] . 1:1(0)"},
	{"0 < . 1:1(0) <sackok,SACK 1:2,ts val 1 ecr 2>", "0 < . 1:1(0) <sackOK,sack 1:2,TS val 1 ecr 2>"},
	{"0 < . 1:4(3) \"\\x00\\n\\\"\"", `0 < . 1:4(3) "\x00\n\""`},
	{"0 < (hlim 3 tclass 1, DF) udp (0)", "0 < (tos 1, ttl 3, df) udp (0)"},
	{"0 < ipv6 ::1 > :: : udp (1)", "0 < ipv6 ::1 > ::: udp (1)"},
	{"0 < mpls (label 1, tc 2, ttl 3): ipv4 1.1.1.1 > 2.2.2.2:eth 02:00:00:00:00:01 > 02:00:00:00:00:02: udp (0)",
		"0 < mpls (label 1, tc 2, ttl 3): ipv4 1.1.1.1 > 2.2.2.2: eth 02:00:00:00:00:01 > 02:00:00:00:00:02: udp (0)"},
	// calls
	{"0 f() = 0", ""},
	{"0 f(-1, 0x0F, 017, 0b11, 1.50, 18446744073709551615) = -0x10", "0 f(-1, 0xf, 0o17, 0b11, 1.5, 18446744073709551615) = -0x10"},
	{"0 f(-9223372036854775808) = 0", ""},
	{"0 f(A|B | C, (1+2)*3-4, 1+(2*3), 1-(2-3)) = A|B", "0 f(A | B | C, (1 + 2) * 3 - 4, 1 + 2 * 3, 1 - (2 - 3)) = A | B"},
	{"0 f(*, 1~2, 2*3) = *", "0 f(*, 1~2, 2 * 3) = *"},
	{"0 f(2**3) = *", mistake},
	{"0 f({a=[{b={}}], c(1)=2}, []) = (3*4)~5", "0 f({a=[{b={}}], c(1)=2}, []) = (3 * 4)~5"},
	{"0 f(\"a\" ..., \"b\") = 1", `0 f("a"..., "b") = 1`},
	{"0 f() = 2 (flags (O_RDWR))", ""},
	{"0 f() = -1 EAGAIN", ""},
	{"0 f($N, ${N+1}) = $M", "0 f(N, N + 1) = M"},
	{"client: 0 f() = 1", mistake},
	// code
	{"0 %{assert a==1;}%", "0 %{ assert a == 1 }%"},
	{"%{ print a, (b,) }%", "%{ print(a, (b,)) }%"},
	{"%{ print (a, b) }%", "%{ print(a, b) }%"},
	{"%{ x = not a and (b or c) == d }%", "%{ x = not a and (b or c) == d }%"},
	{"%{ x = (not a) == d }%", ""},
	{"%{ x = -(a + b) % ~c << 1 & 2 ^ 3 | 4 }%", ""},
	{"%{ x = ((a | b) ^ c) & (d << (e + f)) }%", "%{ x = ((a | b) ^ c) & d << e + f }%"},
	{"%{ x = (a < b) < c < d }%", ""},
	{"%{ x = .5e1 + 'it''' }%", mistake},
	{"%{ x = 'say \"hi\"' }%", `%{ x = "say \"hi\"" }%`},
	{"%{ x = a.b.c(d.e, 1 < 2) }%", ""},
	{"0 `a\n\tb`", ""},
	{"`a // b /* c`", ""},
}

func TestCanonical(t *testing.T) {
	for _, c := range canonical {
		s, err := script.Parse("x", c.src, nil)
		if c.want == mistake {
			if err == nil {
				t.Errorf("%q: no error, but %s", c.src, script.Print(s))
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %s", c.src, detail(err))
			continue
		}
		want := c.want
		if want == "" {
			want = c.src
		}
		if got := strings.TrimSuffix(script.Print(s), "\n"); got != want {
			t.Errorf("%q:\n got %s\nwant %s", c.src, got, want)
		}
		checkRoundTrip(t, s)
	}
}

// only returns the one event of a script.
func only(t *testing.T, src string) *script.Event {
	t.Helper()
	s := parse(t, "x", src)
	if len(s.Events) != 1 {
		t.Fatalf("%q: %d events", src, len(s.Events))
	}
	clearPos(reflect.ValueOf(s.Events[0]).Elem())
	return s.Events[0]
}

func exact(n uint32) script.Value { return script.Value{Kind: script.Exact, Lo: n} }

func TestTreeOfATime(t *testing.T) {
	for src, want := range map[string]script.Time{
		"0.1":       {Kind: script.TimeAbsolute, From: 100 * time.Millisecond},
		"+.1":       {Kind: script.TimeRelative, From: 100 * time.Millisecond},
		"*":         {Kind: script.TimeAny},
		"1~2":       {Kind: script.TimeAbsoluteRange, From: time.Second, To: 2 * time.Second},
		"+1~+2":     {Kind: script.TimeRelativeRange, From: time.Second, To: 2 * time.Second},
		"+${N*0.5}": {Kind: script.TimeRelative, Expr: &script.Binary{Op: "*", X: &script.Name{Name: "N"}, Y: &script.Number{IsFloat: true, Float: .5, Base: 10}}},
	} {
		if got := only(t, src+" close(3) = 0").Time; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", src, got, want)
		}
	}
	e := only(t, "+1...1.5 close(3) = 0")
	if c := e.Action.(*script.Call); !c.Blocks || c.Until != 1500*time.Millisecond || e.Time.From != time.Second {
		t.Errorf("%+v %+v", e.Time, c)
	}
}

func TestTreeOfASegment(t *testing.T) {
	got := only(t, `conn b
+0 > b: [ce] 5 > 6 SP. 1:4(3) ack * win 1~2 urg $N <mss 9,TS val 1 ecr 2,sack 3:4 5:6,FO 0aff,...> "abc"`).Action
	want := &script.Packet{
		Outbound: true,
		Conn:     "b",
		IP:       &script.IPInfo{ECN: script.CE},
		Ports:    &script.Ports{Src: exact(5), Dst: exact(6)},
		Body: &script.TCP{
			Flags: script.SYN | script.PSH | script.ACK,
			Seq:   exact(1), End: exact(4), Len: exact(3),
			Ack: script.Value{Kind: script.AnyValue},
			Win: script.Value{Kind: script.Between, Lo: 1, Hi: 2},
			Urg: script.Value{Kind: script.Computed, Expr: &script.Formula{X: &script.Name{Name: "N"}}},
			Options: []script.TCPOption{
				&script.MSS{Size: exact(9)},
				&script.Timestamp{Val: exact(1), Ecr: exact(2)},
				&script.SACK{Blocks: []script.SACKBlock{{Start: exact(3), End: exact(4)}, {Start: exact(5), End: exact(6)}}},
				&script.FastOpen{Cookie: []byte{0x0a, 0xff}},
			},
			AnyOptions: true,
			Payload:    &script.String{Value: "abc"},
		},
	}
	if !reflect.DeepEqual(got, script.Action(want)) {
		t.Errorf("got %s\nwant %s", script.Format(got), script.Format(want))
	}
}

func TestTreeOfACall(t *testing.T) {
	got := only(t, `0 f(..., -1, {a(...)=..., 5}, A|"x"...) = -1 EAGAIN (No. Try again)`).Action
	want := &script.Call{
		Name: "f",
		Args: []script.Expr{
			&script.Ellipsis{},
			&script.Number{Int: -1, Base: 10},
			&script.Struct{Fields: []*script.Field{
				{Name: "a", Len: &script.Ellipsis{}, Value: &script.Ellipsis{}},
				{Value: &script.Number{Int: 5, Base: 10}},
			}},
			&script.Binary{Op: "|", X: &script.Name{Name: "A"}, Y: &script.String{Value: "x", More: true}},
		},
		Result: &script.Number{Int: -1, Base: 10},
		Errno:  "EAGAIN",
		Note:   "No. Try again",
	}
	if !reflect.DeepEqual(got, script.Action(want)) {
		t.Errorf("got %s\nwant %s", script.Format(got), script.Format(want))
	}
	st := want.Args[2].(*script.Struct)
	if st.Field("a") != st.Fields[0].Value || st.Field("b") != nil {
		t.Error("Struct.Field")
	}
}

func TestTreeOfCode(t *testing.T) {
	got := only(t, "0 %{ assert 1 <= a < 9 and not b, 'no' }%").Action
	one, nine := &script.Number{Int: 1, Base: 10}, &script.Number{Int: 9, Base: 10}
	want := &script.Code{Stmts: []script.Stmt{&script.Assert{
		Cond: &script.Binary{Op: "and",
			X: &script.Compare{Ops: []string{"<=", "<"}, Operands: []script.Expr{one, &script.Name{Name: "a"}, nine}},
			Y: &script.Unary{Op: "not", X: &script.Name{Name: "b"}},
		},
		Msg: &script.String{Value: "no"},
	}}}
	if !reflect.DeepEqual(got, script.Action(want)) {
		t.Errorf("got %s\nwant %s", script.Format(got), script.Format(want))
	}
}

// Where one event ends and the next begins does not depend on lines.
func TestSeveralEventsInALine(t *testing.T) {
	s := parse(t, "x", "0 close(3) = 0 +0 close(4) = 0 * > S 0:0(0) ack 1 *\n > . 1:1(0) +0 < udp (1) 5 close(5) = -1 EBADF 6 close(6) = A|B+0 `x`")
	var got []string
	for _, e := range s.Events {
		got = append(got, script.Format(e))
	}
	want := []string{
		"0 close(3) = 0", "+0 close(4) = 0", "* > S 0:0(0) ack 1", "* > . 1:1(0)", "+0 < udp (1)",
		"5 close(5) = -1 EBADF", "6 close(6) = A | B", "+0 `x`",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestOptions(t *testing.T) {
	s := parse(t, "x", "--a=1 --b\n--c 2   // two\nd=\"3 4\"\n--e-f /* none */\n--g=fd00::1\n--h=http://x //\n--a=5\n0 close(3) = 0")
	for name, want := range map[string]string{"a": "5", "b": "", "c": "2", "d": "3 4", "e-f": "", "g": "fd00::1", "h": "http://x"} {
		if got, ok := s.Option(name); !ok || got != want {
			t.Errorf("option %s is %q, %v; want %q", name, got, ok, want)
		}
	}
	if _, ok := s.Option("x"); ok || len(s.Options) != 8 || s.Options[1].HasValue || !s.Options[0].HasValue {
		t.Errorf("%d options", len(s.Options))
	}
	checkRoundTrip(t, s)
}
