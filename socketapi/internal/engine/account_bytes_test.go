package engine_test

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/socketapi/holdup"
	"tapstack/socketapi/internal/engine"
)

// TestUnreadWait: what arrives is read a second later, to the nanosecond.
func TestUnreadWait(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := watched(w, b)
	for range 5 {
		a.put(t, 3000)
		w.run(5*time.Millisecond + time.Second)
		if n := b.take(t, 5000); n != 3000 {
			t.Fatalf("%d bytes read", n)
		}
		acct.Touch()
		w.run(time.Second)
	}
	h := acct.Holdup()
	check(t, h, 5*(2*time.Second+5*time.Millisecond))
	if h.UnreadWait != time.Second || h.Read != 15_000 || h.Received != 15_000 {
		t.Errorf("%+v", h)
	}
	if h.Slow() != holdup.SlowReader {
		t.Errorf("verdict %q", h.Verdict())
	}
	// Nothing has left, and still it is known how long it has been there.
	a.put(t, 1000)
	w.run(5*time.Millisecond + 60*time.Second)
	if again := acct.Holdup(); again.UnreadWait != (15*time.Second+60*time.Second)/16 {
		t.Errorf("unread for %v", again.UnreadWait)
	}
}

// TestZeroWindowBetweenEvents: our window closes after the last segment was
// handled and opens within a Read, whether anybody asked in between or not.
func TestZeroWindowBetweenEvents(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := watched(w, b)
	for _, asked := range []bool{false, true} {
		base := acct.Holdup().ZeroWindow
		w.until("the window is closed", func() bool {
			a.put(t, 10_000)
			return engine.Read(b.Endpoint).Rcv.Advertised == 0
		})
		closed := engine.Read(b.Endpoint).Snd.Last
		w.run(30 * time.Millisecond)
		if asked {
			acct.Holdup()
		}
		for b.take(t, 100_000) > 0 {
		}
		want := holdup.Episodes{Count: base.Count + 1, Time: base.Time + w.clock.NowMonotonic().Sub(closed)}
		if got := acct.Holdup().ZeroWindow; got != want {
			t.Errorf("asked %v: %+v, want %+v", asked, got, want)
		}
		w.until("everything is read", func() bool {
			b.take(t, 100_000)
			acct.Touch()
			return engine.Read(a.Endpoint).Snd.Queued+engine.Read(b.Endpoint).Rcv.Queued == 0
		})
	}
}

// TestWindowBelowSegment: the peer's window is never closed, and too small for
// a second segment.
func TestWindowBelowSegment(t *testing.T) {
	const size = 2 << 10
	w := newWire(t, 50*time.Millisecond, fixed(size))
	a, b := w.connect(nil)
	a.SocketOptions().SetSendBufferSize(64<<10, true)
	w.run(100 * time.Millisecond)
	acct := watched(w, a)
	write := writer(t, a, acct, 64<<10)
	w.app = func() {
		write()
		b.take(t, 100_000)
	}
	w.run(5 * time.Second)
	h := acct.Holdup()
	check(t, h, 5*time.Second)
	mostly(t, h, holdup.RwndLimited, holdup.SlowPeer)
	if h.OtherLimited != 0 {
		t.Errorf("%+v", h)
	}
}

// TestFINsAreNoBytes: neither end's FIN is counted as a byte that moved.
func TestFINsAreNoBytes(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acctA, acctB := watched(w, a), watched(w, b)
	a.put(t, 1000)
	if err := a.Shutdown(tcpip.ShutdownWrite); err != nil {
		t.Fatal(err)
	}
	acctA.Touch()
	if h := acctA.Holdup(); h.Sent != 1000 || h.Acked != 0 {
		t.Errorf("under way: %+v", h)
	}
	w.run(time.Second)
	b.take(t, 1000)
	acctB.Touch()
	ha, hb := acctA.Holdup(), acctB.Holdup()
	if ha.Sent != 1000 || ha.Acked != 1000 || ha.Received+ha.Read != 0 {
		t.Errorf("sender: %+v", ha)
	}
	if hb.Received != 1000 || hb.Read != 1000 || hb.Sent+hb.Acked != 0 || hb.ZeroWindow.Count != 0 {
		t.Errorf("receiver: %+v", hb)
	}
}
