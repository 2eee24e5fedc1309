package engine_test

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
)

// mss is the payload of a full segment on a wire.
const mss = 1500 - 20 - 20 - 40

// fixed is a stack whose buffers stay at n bytes of payload.
func fixed(n int) stack.Config {
	r := stack.BufferRange{Min: min(n, 4<<10), Default: n, Max: max(n, 4<<20)}
	return stack.Config{TCP: stack.TCPConfig{SendBuffer: r, ReceiveBuffer: r, NoAutotune: true}}
}

// TestReadBefore: an endpoint without a connection has a state and no more.
func TestReadBefore(t *testing.T) {
	w := newWire(t, time.Millisecond, stack.Config{})
	c := newConn(t, w.stacks[0])
	if st := engine.Read(c.Endpoint); st != (engine.State{State: tcp.StateInitial}) {
		t.Errorf("new: %+v", st)
	}
	l := listen(t, w.stacks[1])
	if st := engine.Read(l.Endpoint); st.State != tcp.StateListen || st.Synchronized {
		t.Errorf("listening: %+v", st)
	}
	w.lose = func(int, []byte) bool { return true }
	c.dial(t, b4)
	if st := engine.Read(c.Endpoint); st.State != tcp.StateSynSent || st.Synchronized {
		t.Errorf("connecting: %+v", st)
	}
	c.Close()
	if st := engine.Read(c.Endpoint); st.Synchronized || st.HardError == nil {
		t.Errorf("closed before the handshake: %+v", st)
	}
}

// TestReadNumbers: a path whose every number is known.
func TestReadNumbers(t *testing.T) {
	const delay = 20 * time.Millisecond
	w := newWire(t, delay, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(time.Second)

	fresh := engine.Read(a.Endpoint)
	s, r := fresh.Snd, fresh.Rcv
	if fresh.State != tcp.StateEstablished || !fresh.Synchronized || !fresh.SACK || !fresh.Timestamps {
		t.Errorf("fresh: %+v", fresh)
	}
	if s.Una != s.Nxt || s.Queued != 0 || s.Unsent != 0 || s.Cwnd != tcp.InitialCwnd || s.Ssthresh != tcp.InitialSsthresh {
		t.Errorf("fresh sender: %+v", s)
	}
	// gVisor leaves room for the options of its longest ACK in every segment.
	if s.MSS != mss || r.AdvMSS != 1500-20-20 {
		t.Errorf("MSS %d of %d, advertised %d of 1460", s.MSS, mss, r.AdvMSS)
	}
	// The RTT of the handshake waited for a neighbour too.
	if s.RTT < 2*delay || s.RTO < 200*time.Millisecond || s.MinRTT != 0 {
		t.Errorf("RTT %v, RTO %v, MinRTT %v", s.RTT, s.RTO, s.MinRTT)
	}
	peer := engine.Read(b.Endpoint)
	if peer.Rcv.Nxt != s.Nxt || peer.Snd.Nxt != r.Nxt || peer.Snd.WndScale != r.WndScale || peer.Rcv.WndScale != s.WndScale {
		t.Errorf("the ends differ: %+v and %+v", fresh, peer)
	}

	// Half a window's worth on its way: sent, not acknowledged.
	before := w.clock.NowMonotonic()
	if n := a.put(t, 5*mss+100); n != 5*mss+100 {
		t.Fatalf("%d bytes written", n)
	}
	st := engine.Read(a.Endpoint)
	if s := st.Snd; s.Queued != 5*mss+100 || s.InFlight != 5*mss+100 || s.Unsent != 0 || s.Outstanding != 6 || s.End() != s.Nxt || s.Last != before {
		t.Errorf("under way: %+v", s)
	}
	if got := st.SegmentsOut - fresh.SegmentsOut; got != 6 {
		t.Errorf("%d segments sent", got)
	}

	w.run(delay)
	got := engine.Read(b.Endpoint).Rcv
	if got.Queued != 5*mss+100 || got.Memory <= 5*mss+100 || got.Pending != 0 || got.Nxt != st.Snd.Nxt || got.Last != w.clock.NowMonotonic() {
		t.Errorf("arrived: %+v", got)
	}
	w.run(delay)
	done := engine.Read(a.Endpoint)
	if s := done.Snd; s.Una != s.Nxt || s.Queued != 0 || s.MinRTT != 2*delay || !s.Reached(st.Snd.End()) {
		t.Errorf("acknowledged: %+v", s)
	}
	if done.Snd.Wnd != got.Wnd || got.Wnd > 64<<10-(5*mss+100) {
		t.Errorf("window %d here, %d there", done.Snd.Wnd, got.Wnd)
	}
	if done.Retransmits+done.Timeouts+done.FastRetransmits != 0 || done.SegmentsIn <= fresh.SegmentsIn {
		t.Errorf("counters: %+v", done)
	}
}

// TestReadLoss: one segment of ten is lost.
func TestReadLoss(t *testing.T) {
	w := newWire(t, 10*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(time.Second)
	sent := 0
	w.lose = func(to int, frame []byte) bool {
		if to == 1 && len(frame) > 1000 {
			sent++
		}
		return sent == 1
	}
	a.put(t, 10*mss)
	w.run(10 * time.Millisecond)
	r := engine.Read(b.Endpoint).Rcv
	if r.Queued != 0 || r.Pending <= 9*mss || r.Memory < r.Pending {
		t.Errorf("behind the gap: %+v", r)
	}
	w.run(10 * time.Millisecond)
	st := engine.Read(a.Endpoint)
	if st.Snd.Congestion != tcpip.SACKRecovery || st.FastRetransmits != 1 || st.Retransmits == 0 || st.Snd.Ssthresh > 10 {
		t.Errorf("recovery: %+v", st)
	}
	w.run(time.Second)
	st = engine.Read(a.Endpoint)
	if st.Snd.Congestion != tcpip.Open || st.Snd.Queued != 0 || st.Timeouts != 0 {
		t.Errorf("recovered: %+v", st)
	}
	if r := engine.Read(b.Endpoint).Rcv; r.Queued != 10*mss || r.Pending != 0 {
		t.Errorf("received: %+v", r)
	}
}

// TestReadClosing follows both FINs.
func TestReadClosing(t *testing.T) {
	w := newWire(t, 10*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	a.put(t, 100)
	end := engine.Read(a.Endpoint).Snd.End()
	if err := a.Shutdown(tcpip.ShutdownWrite); err != nil {
		t.Fatal(err)
	}
	s := engine.Read(a.Endpoint).Snd
	if !s.Closed || !s.FinSent || s.FinAcked || s.Queued != 100 || s.InFlight != 100 || s.Nxt-s.Una != 101 || s.End() != end {
		t.Errorf("FIN under way: %+v", s)
	}
	w.until("FIN-WAIT-2", a.is(tcp.StateFinWait2))
	s = engine.Read(a.Endpoint).Snd
	if !s.FinAcked || s.Queued != 0 || s.InFlight != 0 || s.Unsent != 0 || s.End() != end || !s.Reached(end) {
		t.Errorf("FIN acknowledged: %+v", s)
	}
	r := engine.Read(b.Endpoint).Rcv
	if !r.Fin || !r.Closed || r.Queued != 100 || r.Nxt != s.Nxt {
		t.Errorf("FIN received: %+v", r)
	}
}
