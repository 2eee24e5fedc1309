package proxy

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// associated asks for a UDP association. client's datagrams come from port, 0
// for any.
func (w *world) associated(t testing.TB, s *Service, port uint16) (control conn, relay string) {
	t.Helper()
	c := w.dial(t, s)
	if _, err := c.Write(appendAddr([]byte{5, 1, 0, 5, 3, 0}, netip.AddrPortFrom(netip.IPv4Unspecified(), port))); err != nil {
		t.Fatal(err)
	}
	var head [2 + 3]byte
	if _, err := io.ReadFull(c, head[:]); err != nil || head[3] != 0 {
		t.Fatalf("%v, %v", head, err)
	}
	var kind [1]byte
	_, _ = io.ReadFull(c, kind[:])
	at, err := readDestination(c, kind[0])
	if err != nil {
		t.Fatal(err)
	}
	return c, at.String()
}

func wrapped(to, payload string) string {
	return string(appendDatagramHeader(nil, netip.MustParseAddrPort(to))) + payload
}

func TestAssociate(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			s := socks5(t, w.options(0), nil)
			at := w.datagramServer(t, same)
			control, relay := w.associated(t, s, 0)
			c := w.dialUDP(t, relay)
			for _, text := range []string{"hello", "", strings.Repeat("x", 9000)} {
				wantDatagram(t, c, wrapped(at, text), wrapped(at, text))
			}
			wantCount(t, s, "three each way", func(s Snapshot) bool {
				return s.DatagramsIn == 3 && s.DatagramsOut == 3 && s.Associations == 1
			})
			// Its end is the association's.
			_ = control.Close()
			wantCount(t, s, "an end", func(s Snapshot) bool { return s.Ended[CauseClosed] == 1 && s.Associations == 0 })
		})
	}
}

// TestAssociateByName: the name is looked up in the targets' network, once.
func TestAssociateByName(t *testing.T) {
	w := stacks(t)
	s := socks5(t, w.options(0), nil)
	at := w.datagramServer(t, same)
	_, relay := w.associated(t, s, 0)
	c := w.dialUDP(t, relay)
	p := netip.MustParseAddrPort(at).Port()
	byName := func(name string) string {
		return "\x00\x00\x00\x03" + string([]byte{byte(len(name))}) + name + string([]byte{byte(p >> 8), byte(p)}) + "payload"
	}
	for range 3 {
		wantDatagram(t, c, byName("target.example"), wrapped(at, "payload"))
		wantDatagram(t, c, byName(peer4.Addr().String()), wrapped(at, "payload"))
	}
	if _, err := c.Write([]byte(byName("nobody.example"))); err != nil {
		t.Fatal(err)
	}
	wantCount(t, s, "no such name", func(s Snapshot) bool { return s.Dropped == 1 })
	wantDatagram(t, c, byName("target.example"), wrapped(at, "payload"))
}

// TestAssociateStrangers: datagrams of other ports and other hosts are dropped,
// as are fragments, and what cannot be read.
func TestAssociateStrangers(t *testing.T) {
	w := stacks(t)
	s := socks5(t, w.options(0), nil)
	at := w.datagramServer(t, same)
	_, relay := w.associated(t, s, 0)
	c, stranger := w.dialUDP(t, relay), w.dialUDP(t, relay)
	wantDatagram(t, c, wrapped(at, "mine"), wrapped(at, "mine"))
	bad := []string{wrapped(at, "x"), "", "\x00", "\x00\x00\x00\x09", "\x00\x00\x00\x03\x00\x00\x50", "\x00\x00\x01" + wrapped(at, "fragment")[3:]}
	for i, text := range bad {
		from := c
		if i == 0 {
			from = stranger
		}
		if _, err := from.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		wantCount(t, s, "dropped", func(s Snapshot) bool { return s.Dropped == uint64(i+1) })
	}
}

// TestAssociateUnasked: who was sent nothing may send nothing.
func TestAssociateUnasked(t *testing.T) {
	w := stacks(t)
	s := socks5(t, w.options(0), nil)
	var targets [2]packetConn
	for family := range targets {
		pc, err := w.target.packets(within(t), netip.AddrPortFrom(w.targetAddr[family], 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		targets[family] = pc
	}
	_, relay := w.associated(t, s, 0)
	c := w.dialUDP(t, relay)
	at := targets[0].LocalAddr().String()
	if _, err := c.Write([]byte(wrapped(at, "question"))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := targets[0].ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "question" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if _, err := targets[1].WriteToUDPAddrPort([]byte("unasked"), netip.AddrPortFrom(ours6.Addr(), from.Port())); err != nil {
		t.Fatal(err)
	}
	wantCount(t, s, "dropped", func(s Snapshot) bool { return s.Dropped == 1 })
	if _, err := targets[0].WriteToUDPAddrPort([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if n, err = c.Read(buf); err != nil || string(buf[:n]) != wrapped(at, "answer") {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestAssociationsLimit(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.Flows = 1
	s := socks5(t, o, nil)
	one, _ := w.associated(t, s, 0)
	c := w.dial(t, s)
	if _, err := c.Write(appendAddr([]byte{5, 1, 0, 5, 3, 0}, netip.AddrPort{})); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || len(got) != 12 || got[3] != byte(replyFailure) {
		t.Errorf("%v, %v", got, err)
	}
	_ = one.Close()
	wantCount(t, s, "room", func(s Snapshot) bool { return s.Associations == 0 })
	w.associated(t, s, 0)
}

func TestAssociationIdle(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.Idle = 50 * time.Millisecond
	s := socks5(t, o, nil)
	c, _ := w.associated(t, s, 0)
	wantReset(t, c)
	wantCount(t, s, "idle", ended(CauseIdle))
}

func TestAssociationShutdown(t *testing.T) {
	w := stacks(t)
	s := socks5(t, w.options(0), nil)
	c, _ := w.associated(t, s, 0)
	if err := s.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	wantReset(t, c)
}
