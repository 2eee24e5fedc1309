package engine_test

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"

	"tapstack/socketapi/holdup"
)

// watched makes an Account of c that hears of every segment.
func watched(w *wire, c conn) *engine.Account {
	a := engine.NewAccount(c.Endpoint, c.queue, w.clock)
	engine.Watch(c.Endpoint, a.Handled)
	return a
}

// sum is all six shares.
func sum(h holdup.Report) time.Duration {
	return h.AppLimited + h.SndbufLimited + h.CwndLimited + h.RwndLimited + h.DeviceLimited + h.OtherLimited
}

// check is what holds of every Holdup.
func check(t testing.TB, h holdup.Report, watched time.Duration) {
	t.Helper()
	if sum(h) != h.Watched || h.Watched != watched {
		t.Errorf("the shares add up to %v, watched %v, want %v", sum(h), h.Watched, watched)
	}
	if h.Acked > h.Sent || h.Read > h.Received || h.Busy > h.Watched ||
		h.ZeroWindow.Time > h.Watched || h.PeerZeroWindow.Time > h.Watched {
		t.Errorf("impossible: %+v", h)
	}
}

// mostly checks that a share is at least 90 % of the time.
func mostly(t testing.TB, h holdup.Report, l holdup.Limit, slow holdup.Slow) {
	t.Helper()
	if h.Time(l) < h.Watched*9/10 {
		t.Errorf("%v for %v of %v: %+v", l, h.Time(l), h.Watched, h)
	}
	if h.Slow() != slow {
		t.Errorf("verdict %q, want %q", h.Verdict(), slow)
	}
}

// writer keeps c's send buffer as full as a blocking Write would: it sleeps
// until half of it is free.
func writer(t testing.TB, c conn, acct *engine.Account, size int) func() {
	waits := false
	return func() {
		if waits && engine.Read(c.Endpoint).Snd.Queued > size/2 {
			return
		}
		if waits {
			acct.WriterWaits(false)
		}
		for c.put(t, 4000) > 0 {
			acct.Touch()
		}
		waits = true
		acct.WriterWaits(true)
	}
}

// TestApplicationLimited: a writer that has little to say.
func TestApplicationLimited(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := watched(w, a)
	for range 10 {
		a.put(t, 1000)
		acct.Touch()
		w.run(time.Second)
		b.take(t, 1000)
	}
	h := acct.Holdup()
	check(t, h, 10*time.Second)
	mostly(t, h, holdup.AppLimited, holdup.SlowWriter)
	if h.AppLimited != h.Watched || h.Sent != 10_000 || h.Acked != 10_000 || h.Received != 0 {
		t.Errorf("%+v", h)
	}
	// Each write was under way for a round trip: ten of them, and every byte
	// for that long.
	if h.Busy != 100*time.Millisecond || h.UnackedWait != 10*time.Millisecond || h.UnsentWait != 0 {
		t.Errorf("busy %v, unacknowledged for %v, unsent for %v", h.Busy, h.UnackedWait, h.UnsentWait)
	}
}

// TestReceiveWindowLimited: the peer's reader takes 10 KB every second of what
// could be 500. Both ends must say the same.
func TestReceiveWindowLimited(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acctA, acctB := watched(w, a), watched(w, b)
	w.app = writer(t, a, acctA, 64<<10)
	for range 20 {
		w.run(time.Second)
		b.take(t, 10_000)
		acctB.Touch()
	}
	ha, hb := acctA.Holdup(), acctB.Holdup()
	check(t, ha, 20*time.Second)
	check(t, hb, 20*time.Second)
	mostly(t, ha, holdup.RwndLimited, holdup.SlowPeer)
	if ha.PeerZeroWindow.Count == 0 || ha.PeerZeroWindow.Time < 10*time.Second {
		t.Errorf("the peer's window was closed %+v", ha.PeerZeroWindow)
	}
	mostly(t, hb, holdup.AppLimited, holdup.SlowReader)
	// The two see each episode half a round trip apart.
	if d := (ha.PeerZeroWindow.Time - hb.ZeroWindow.Time).Abs(); hb.ZeroWindow.Count != ha.PeerZeroWindow.Count || d > time.Duration(hb.ZeroWindow.Count)*5*time.Millisecond {
		t.Errorf("closed windows: %+v here, %+v there", ha.PeerZeroWindow, hb.ZeroWindow)
	}
	// Where bytes wait: a 64 KiB buffer that loses 10 KB a second holds each
	// for 6.5 s once it is full.
	if hb.UnreadWait < 4*time.Second || hb.UnreadWait > 7*time.Second || hb.Read != 200_000 {
		t.Errorf("unread for %v, %d read", hb.UnreadWait, hb.Read)
	}
	if ha.UnsentWait < 3*time.Second || ha.UnackedWait > time.Second {
		t.Errorf("unsent for %v, unacknowledged for %v", ha.UnsentWait, ha.UnackedWait)
	}
	if ha.Retransmits != 0 {
		t.Errorf("%d retransmitted", ha.Retransmits)
	}
}

// TestSendBufferLimited: 16 KiB of send buffer for a path that holds more.
func TestSendBufferLimited(t *testing.T) {
	const size = 16 << 10
	w := newWire(t, 50*time.Millisecond, fixed(1<<20))
	a, b := w.connect(nil)
	a.SocketOptions().SetSendBufferSize(size, true)
	w.run(100 * time.Millisecond)
	acct := watched(w, a)
	write := writer(t, a, acct, size)
	w.app = func() {
		write()
		for b.take(t, 100_000) > 0 {
		}
	}
	w.run(10 * time.Second)
	h := acct.Holdup()
	check(t, h, 10*time.Second)
	mostly(t, h, holdup.SndbufLimited, holdup.SlowSendBuffer)
	// What is still under way counts with the time it has been.
	if h.UnackedWait < 98*time.Millisecond || h.UnackedWait > 102*time.Millisecond {
		t.Errorf("unacknowledged for %v, the round trip takes 100 ms", h.UnackedWait)
	}
	if h.Busy < h.SndbufLimited {
		t.Errorf("busy for %v, limited by the send buffer for %v", h.Busy, h.SndbufLimited)
	}
}

// TestCongestionWindowLimited: losses keep the window far below what a long
// path would hold.
func TestCongestionWindowLimited(t *testing.T) {
	w := newWire(t, 50*time.Millisecond, fixed(1<<20))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := watched(w, a)
	sent := 0
	w.lose = func(to int, frame []byte) bool {
		if to == 1 && len(frame) > 1000 {
			sent++
		}
		return to == 1 && len(frame) > 1000 && sent%50 == 0
	}
	write := writer(t, a, acct, 1<<20)
	w.app = func() {
		write()
		for b.take(t, 100_000) > 0 {
		}
	}
	w.run(10 * time.Second)
	h := acct.Holdup()
	check(t, h, 10*time.Second)
	mostly(t, h, holdup.CwndLimited, holdup.SlowNetwork)
	if h.Retransmits == 0 || h.FastRetransmits == 0 || h.PeerZeroWindow.Count != 0 {
		t.Errorf("%+v", h)
	}
	if h.UnackedWait < 100*time.Millisecond || h.UnsentWait < h.UnackedWait {
		t.Errorf("unsent for %v, unacknowledged for %v", h.UnsentWait, h.UnackedWait)
	}
}

// TestOtherLimited: Nagle's algorithm holds a short segment back.
func TestOtherLimited(t *testing.T) {
	const delay = 50 * time.Millisecond
	w := newWire(t, delay, fixed(64<<10))
	a, _ := w.connect(nil)
	a.SocketOptions().SetDelayOption(true)
	w.run(time.Second)
	acct := watched(w, a)
	for range 2 {
		a.put(t, 10)
		acct.Touch()
	}
	w.run(time.Second)
	h := acct.Holdup()
	check(t, h, time.Second)
	if h.OtherLimited != 2*delay || h.AppLimited != time.Second-2*delay {
		t.Errorf("%+v", h)
	}
	if h.UnsentWait != delay || h.UnackedWait != 2*delay {
		t.Errorf("unsent for %v, unacknowledged for %v", h.UnsentWait, h.UnackedWait)
	}
}

// TestDeviceLimited: what the device took is the device's, up to all of the
// time; what is left over is the next interval's.
func TestDeviceLimited(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, _ := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := watched(w, a)
	acct.DeviceWaited(3 * time.Millisecond)
	acct.DeviceWaited(-time.Hour)
	w.run(10 * time.Millisecond)
	h := acct.Holdup()
	check(t, h, 10*time.Millisecond)
	if h.DeviceLimited != 3*time.Millisecond || h.AppLimited != 7*time.Millisecond {
		t.Errorf("%+v", h)
	}
	acct.DeviceWaited(100 * time.Millisecond)
	w.run(90 * time.Millisecond)
	if h := acct.Holdup(); h.DeviceLimited != 93*time.Millisecond || h.AppLimited != 7*time.Millisecond {
		t.Errorf("more than there was: %+v", h)
	}
	w.run(90 * time.Millisecond)
	h = acct.Holdup()
	check(t, h, 190*time.Millisecond)
	if h.DeviceLimited != 103*time.Millisecond || h.Slow() != holdup.SlowDevice {
		t.Errorf("%+v", h)
	}
}

// TestOwner: whoever writes a packet of a connection finds its Account there.
func TestOwner(t *testing.T) {
	s := netstack.New(netstack.Options{
		NetworkProtocols:   []netstack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []netstack.TransportProtocolFactory{tcp.NewProtocol},
	})
	link := channel.New(4, 1500, "")
	if err := s.CreateNIC(1, link); err != nil {
		t.Fatal(err)
	}
	addr := tcpip.ProtocolAddress{
		Protocol:          header.IPv4ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFromSlice(a4.Addr().AsSlice()).WithPrefix(),
	}
	if err := s.AddProtocolAddress(1, addr, netstack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	q := new(waiter.Queue)
	ep, err := s.NewEndpoint(tcp.ProtocolNumber, header.IPv4ProtocolNumber, q)
	if err != nil {
		t.Fatal(err)
	}
	c := conn{Endpoint: ep.(*tcp.Endpoint)}
	acct := engine.NewAccount(c.Endpoint, q, s.Clock())
	c.dial(t, b4)
	pkt := link.Read()
	if pkt == nil {
		t.Fatal("no SYN")
	}
	if w, ok := pkt.Owner.(interface{ DeviceWaited(time.Duration) }); !ok || w != acct {
		t.Errorf("the packet's owner is a %T", pkt.Owner)
	}
	pkt.DecRef()
	c.Close()
	s.Destroy()
}

// TestAccountEnds: the clock stops with the connection, and Stop stops it.
func TestAccountEnds(t *testing.T) {
	for name, end := range map[string]func(w *wire, a, b conn, acct *engine.Account){
		"reset by the peer": func(_ *wire, _, b conn, _ *engine.Account) { b.Abort() },
		"aborted":           func(_ *wire, a, _ conn, _ *engine.Account) { a.Abort() },
		"stopped":           func(_ *wire, _, _ conn, acct *engine.Account) { acct.Stop(); acct.Stop() },
		"TIME-WAIT": func(w *wire, a, b conn, _ *engine.Account) {
			b.take(w.t, 1000)
			_, _ = a.Shutdown(tcpip.ShutdownWrite), b.Shutdown(tcpip.ShutdownWrite)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, 5*time.Millisecond, fixed(64<<10))
			a, b := w.connect(nil)
			w.run(100 * time.Millisecond)
			acct := watched(w, a)
			a.put(t, 1000)
			acct.Touch()
			w.run(time.Second)
			end(w, a, b, acct)
			w.run(10 * time.Second)
			h := acct.Holdup()
			if h.Watched < time.Second || h.Watched > time.Second+50*time.Millisecond || h.Sent != 1000 || h.Acked != 1000 {
				t.Errorf("%+v", h)
			}
			check(t, h, h.Watched)
		})
	}
}

// TestAccountOutlivesItsSocket: a socket that is closed here is told at once
// that it is, and its connection lives on until what was written is delivered or
// given up.
func TestAccountOutlivesItsSocket(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, _ := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := watched(w, a)
	w.run(time.Second)
	a.queue.Notify(waiter.EventHUp)
	w.run(5 * time.Second)
	a.Abort()
	w.run(10 * time.Second)
	check(t, acct.Holdup(), 6*time.Second)
}

// TestAccountFromTheStart: the handshake is nobody's fault, and is counted.
func TestAccountFromTheStart(t *testing.T) {
	const delay = 50 * time.Millisecond
	w := newWire(t, delay, fixed(64<<10))
	var acct *engine.Account
	start := w.clock.NowMonotonic()
	a, _ := w.connect(func(c conn) { acct = watched(w, c) })
	a.put(t, 1000)
	acct.Touch()
	connected := w.clock.NowMonotonic().Sub(start)
	w.run(time.Second)
	h := acct.Holdup()
	check(t, h, connected+time.Second)
	if h.OtherLimited != connected || h.AppLimited != time.Second || h.Sent != 1000 {
		t.Errorf("connected after %v: %+v", connected, h)
	}
}

// TestNames: every value has a sentence of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{"": true}
	for l := holdup.AppLimited; l <= holdup.OtherLimited+1; l++ {
		if s := l.String(); seen[s] {
			t.Errorf("%d: %q", l, s)
		} else {
			seen[s] = true
		}
	}
	for s := holdup.SlowNobody; s <= holdup.SlowOther+1; s++ {
		if s := s.String(); seen[s] {
			t.Errorf("%q", s)
		} else {
			seen[s] = true
		}
	}
	if got := (holdup.Report{Watched: 8, RwndLimited: 6, AppLimited: 2, Sent: 1}).Verdict(); got != "the peer: its receive window is full (75% of 0s)" {
		t.Errorf("verdict %q", got)
	}
}
