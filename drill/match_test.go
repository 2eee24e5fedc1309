package drill

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
)

// outbound parses a line that expects a packet.
func outbound(t *testing.T, line string) *script.Packet {
	t.Helper()
	s, err := script.Parse("x", "0 > "+line, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Events[0].Action.(*script.Packet)
}

// wrap is an initial sequence number whose successors wrap around.
const wrap = 0xffffff00

// sack is a SACK option with its padding, of numbers on the wire.
func sack(blocks ...uint32) []byte {
	b := []byte{1, 1, 5, byte(2 + 4*len(blocks))}
	for _, n := range blocks {
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return b
}

func TestMatch(t *testing.T) {
	data := make([]byte, 1000)
	// The numbers on the wire: ours begin at wrap, the other side's at 5.
	base := segment{seq: wrap + 1, ack: 6, flags: script.ACK, win: 512}
	with := func(f func(*segment)) segment {
		s := base
		f(&s)
		return s
	}
	for _, c := range []struct {
		name, line string
		seg        segment
		mode       Mode
		want       string // what the differences begin with; "" for none
	}{
		{name: "equal", line: ". 1:1(0) ack 1", seg: base},
		{name: "window not written", line: ". 1:1(0) ack 1", seg: with(func(s *segment) { s.win = 1 })},
		{name: "window", line: ". 1:1(0) ack 1 win 512", seg: base},
		{name: "another window", line: ". 1:1(0) ack 1 win 511", seg: base, want: "win 512, want 511"},
		{name: "window in a range", line: ". 1:1(0) ack 1 win 500~512", seg: base},
		{name: "any window", line: ". 1:1(0) ack 1 win *", seg: base},
		{name: "across the wrap", line: ". 1:1001(1000) ack 1", seg: with(func(s *segment) { s.data = data })},
		{name: "behind the wrap", line: ". 1001:2001(1000) ack 1", seg: with(func(s *segment) { s.seq += 1000; s.data = data })},
		{name: "before its number", line: ". 4294967295:4294967295(0) ack 1", seg: with(func(s *segment) { s.seq -= 2 })},
		{name: "seq", line: ". 1:1(0) ack 1", seg: with(func(s *segment) { s.seq++ }), want: "seq 2, want 1; end 2, want 1"},
		{name: "ack", line: ". 1:1(0) ack 1", seg: with(func(s *segment) { s.ack-- }), want: "ack 0, want 1"},
		{name: "length", line: ". 1:1001(1000) ack 1", seg: with(func(s *segment) { s.data = data[1:] }), want: "length 999, want 1000; end 1000, want 1001"},
		{name: "flags", line: "P. 1:1(0) ack 1", seg: base, want: "flags ., want P."},
		{name: "PSH ignored", line: "P. 1:1(0) ack 1", seg: base, mode: IgnorePSH},
		{name: "FIN is not ignored", line: "F. 1:1(0) ack 1", seg: base, mode: IgnorePSH, want: "flags ., want F."},
		{name: "ECE", line: "E. 1:1(0) ack 1", seg: base, want: "flags ., want E."},
		{name: "urgent", line: ". 1:1(0) ack 1 urg 5", seg: base, want: "urg 0, want 5"},
		{name: "no options written", line: ". 1:1(0) ack 1", seg: with(func(s *segment) { s.options = sack(6, 7) }), want: "option nop, want none"},
		{name: "any options", line: ". 1:1(0) ack 1 <...>", seg: with(func(s *segment) { s.options = sack(6, 7) })},
		{name: "option missing", line: ". 1:1(0) ack 1 <nop,nop,sack 1:2>", seg: base, want: "no option nop"},
		{name: "sack", line: ". 1:1(0) ack 1 <nop,nop,sack 1:2 10:20>", seg: with(func(s *segment) { s.options = sack(6, 7, 15, 25) })},
		{name: "sack end", line: ". 1:1(0) ack 1 <nop,nop,sack 1:3>", seg: with(func(s *segment) { s.options = sack(6, 7) }), want: "option sack 1:2, want sack 1:3"},
		{name: "sack blocks", line: ". 1:1(0) ack 1 <nop,nop,sack 1:2 10:20>", seg: with(func(s *segment) { s.options = sack(6, 7) }), want: "option sack 1:2, want sack 1:2 10:20"},
		{name: "timestamps", line: ". 1:1(0) ack 1 <nop,nop,TS val 1 ecr 2>", seg: with(func(s *segment) { s.options = []byte{1, 1, 8, 10, 9, 9, 9, 9, 8, 8, 8, 8} })},
		{name: "order", line: "S. 0:0(0) ack 1 <mss 1460,sackOK>", seg: with(func(s *segment) {
			s.seq, s.flags, s.options = wrap, script.SYN|script.ACK, []byte{4, 2, 1, 1, 2, 4, 5, 0xb4}
		}), want: "option sackOK, want mss 1460"},
		{name: "order ignored", line: "S. 0:0(0) ack 1 <mss 1460,sackOK>", mode: IgnoreOptionOrder, seg: with(func(s *segment) {
			s.seq, s.flags, s.options = wrap, script.SYN|script.ACK, []byte{4, 2, 1, 1, 2, 4, 5, 0xb4}
		})},
		{name: "malformed option", line: ". 1:1(0) ack 1 <...>", seg: with(func(s *segment) { s.options = []byte{8, 0, 0, 0} })},
		{name: "malformed option, compared", line: ". 1:1(0) ack 1 <sackOK>", seg: with(func(s *segment) { s.options = []byte{8, 0, 0, 0} }), want: "option kind 8"},
		{name: "payload", line: `. 1:6(5) ack 1 "hello"`, seg: with(func(s *segment) { s.data = []byte("hello") })},
		{name: "another payload", line: `. 1:6(5) ack 1 "hello"`, seg: with(func(s *segment) { s.data = []byte("hallo") }), want: "payload"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &run{cfg: Config{Mode: c.mode}, vars: map[string]any{}}
			f := &flow{localISN: wrap, remoteISN: 5}
			diffs := r.match(&host{}, f, outbound(t, c.line), &packet{tcp: &c.seg})
			got := strings.Join(diffs, "; ")
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("%s\ndiffers in %q, want %q", c.line, got, c.want)
			}
		})
	}
}

func TestMatchIP(t *testing.T) {
	p := &packet{tos: 0x12, ttl: 64, id: 7, df: true, udp: &datagram{data: make([]byte, 10)}}
	for line, want := range map[string]string{
		"udp (10)":                      "",
		"udp (11)":                      "length 10, want 11",
		"[ect0] udp (10)":               "",
		"[ect01] udp (10)":              "",
		"[noecn] udp (10)":              "ect0, want noecn",
		"(tos 0x12, ttl 64) udp (10)":   "",
		"(ttl 63) udp (10)":             "ttl 64, want 63",
		"(tos 0x10) udp (10)":           "tos 18, want 16",
		"(id 7, df) udp (10)":           "",
		"(ttl 60~70) udp (10)":          "",
		"(frag 0:8+) udp (10)":          "fragment to 0, want 8; more fragments false, want true",
		"(id 8, ttl 1, df) udp (1~100)": "ttl 64, want 1; id 7, want 8",
	} {
		r := &run{vars: map[string]any{}}
		if got := strings.Join(r.match(&host{}, nil, outbound(t, line), p), "; "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// An error that leaves quotes the other side's segment, with its numbers.
func TestMatchQuote(t *testing.T) {
	f := &flow{
		proto: protoTCP, remoteISN: wrap,
		local: netip.MustParseAddrPort("192.168.0.1:8080"), remote: netip.MustParseAddrPort("192.0.2.1:40001"),
	}
	tcp := make([]byte, header.TCPMinimumSize)
	copy(tcp, []byte{0x9c, 0x41, 0x1f, 0x90, 0xff, 0xff, 0xff, 0x0a}) // wrap + 10
	tcp[header.TCPDataOffset] = 0x50
	r := &run{vars: map[string]any{}}
	ip := r.ipPacket(addrs{f.remote.Addr(), f.local.Addr()}, protoTCP, nil, append(tcp, make([]byte, 100)...))
	icmp := append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, ip...)
	for _, c := range []struct {
		quote string
		n     int // bytes of the message
		want  string
	}{
		{"[10:110(100)]", len(icmp), ""},
		{"[10:110(100)]", 8 + 20 + 8, ""},
		{"[11:110(99)]", len(icmp), "quoted seq 10, want 11; quoted length 100, want 99"},
		{"[10:111(101)]", len(icmp), "quoted end 110, want 111; quoted length 100, want 101"},
		{"[udp (100)]", len(icmp), "a packet of protocol 6 is quoted, want 17"},
		{"[10:110(100)]", 8 + 20, "no packet is quoted"},
	} {
		pk := outbound(t, "icmp unreachable host_unreachable "+c.quote)
		got := strings.Join(r.match(&host{flows: []*flow{f}}, nil, pk, &packet{icmp: icmp[:c.n]}), "; ")
		if got != c.want {
			t.Errorf("%s of %d bytes: %q, want %q", c.quote, c.n, got, c.want)
		}
	}
}

// Timestamps are mapped by the names that the script has used, and by distance
// where it has not.
func TestEcho(t *testing.T) {
	f := &flow{}
	if got := f.echo(7); got != 7 {
		t.Errorf("before any timestamp: %d, want 7", got)
	}
	f.stamp(100, 0xfffffff0, time.Time{})
	f.stamp(200, 0x60, time.Time{})
	for name, want := range map[uint32]uint32{0: 0, 100: 0xfffffff0, 200: 0x60, 116: 0, 90: 0xffffffe6} {
		if got := f.echo(name); got != want {
			t.Errorf("ecr %d is %#x on the wire, want %#x", name, got, want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	var kinds []byte
	for _, o := range parseOptions([]byte{2, 4, 5, 0xb4, 1, 3, 3, 7, 0, 0, 99, 200}) {
		kinds = append(kinds, o.kind)
	}
	if want := []byte{2, 1, 3, 0, 0, 99}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}

func TestModes(t *testing.T) {
	for s, want := range map[string]Mode{
		"": 0, "strict": 0, "psh": IgnorePSH, "psh,strict-end": IgnorePSH | StrictEnd,
		"optorder,extra-ack,early": IgnoreOptionOrder | SkipExtraACKs | AllowEarly,
	} {
		if got, err := ParseMode(s); got != want || err != nil {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
		if back, err := ParseMode(want.String()); back != want || err != nil {
			t.Errorf("%v: %v, %v", want, back, err)
		}
	}
	if _, err := ParseMode("psh,loose"); err == nil {
		t.Error("a mode that there is not")
	}
}
