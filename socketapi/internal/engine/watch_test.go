package engine_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
	"tapstack/tap"
)

// TestWatchSeesTheWholeStep: when the function runs, the segment has moved
// SND.UNA, and what it made room for has been sent.
func TestWatchSeesTheWholeStep(t *testing.T) {
	w := newWire(t, 20*time.Millisecond, fixed(1<<20))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	var seen []engine.State
	engine.Watch(a.Endpoint, func() { seen = append(seen, engine.ReadLocked(a.Endpoint)) })
	for left := 100 * mss; left > 0; {
		left -= a.put(t, left)
	}
	before := engine.Read(a.Endpoint)
	if before.Snd.Unsent == 0 || before.Snd.InFlight != tcp.InitialCwnd*mss {
		t.Fatalf("not limited by the congestion window: %+v", before.Snd)
	}
	w.until("something is acknowledged", func() bool { return len(seen) > 0 })
	first := seen[0].Snd
	if int32(first.Una-before.Snd.Una) <= 0 || int32(first.Nxt-before.Snd.Nxt) <= 0 {
		t.Errorf("SND.UNA and SND.NXT were %d and %d, the function saw %d and %d",
			before.Snd.Una, before.Snd.Nxt, first.Una, first.Nxt)
	}
	w.until("everything is acknowledged", func() bool { return engine.Read(a.Endpoint).Snd.Queued == 0 })
	for i := 1; i < len(seen); i++ {
		if int32(seen[i].Snd.Una-seen[i-1].Snd.Una) < 0 || seen[i].Snd.Queued > seen[i-1].Snd.Queued {
			t.Errorf("went back: %+v then %+v", seen[i-1].Snd, seen[i].Snd)
		}
	}
	if last := seen[len(seen)-1]; !last.Snd.Reached(before.Snd.End()) || last.Snd.Queued != 0 {
		t.Errorf("the last acknowledgement was not seen: %+v", last.Snd)
	}

	// And on the other side, received bytes are there to be read.
	got := 0
	for b.take(t, 1<<20) > 0 {
	}
	engine.Watch(b.Endpoint, func() { got = engine.ReadLocked(b.Endpoint).Rcv.Queued })
	a.put(t, 100)
	w.run(20 * time.Millisecond)
	if got != 100 {
		t.Errorf("the function saw %d bytes to read", got)
	}
}

// TestWatchFIN: both ends of a graceful close are told of every state that a
// segment brings about, and that everything was acknowledged, in LAST-ACK too,
// where one segment acknowledges data and FIN together.
func TestWatchFIN(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	log := func(c conn, into *[]string) func() {
		end := engine.Read(c.Endpoint).Snd.End()
		return func() {
			st := engine.ReadLocked(c.Endpoint)
			acked, lost := st.AllAcked(end)
			*into = append(*into, fmt.Sprint(st.State, acked, lost))
		}
	}
	a.put(t, 100)
	if err := a.Shutdown(tcpip.ShutdownWrite); err != nil {
		t.Fatal(err)
	}
	var atA, atB []string
	engine.Watch(a.Endpoint, log(a, &atA))
	w.until("CLOSE-WAIT", b.is(tcp.StateCloseWait))
	b.take(t, 100)
	w.run(time.Second)

	b.put(t, 200)
	if err := b.Shutdown(tcpip.ShutdownWrite); err != nil {
		t.Fatal(err)
	}
	engine.Watch(b.Endpoint, log(b, &atB))
	// The first acknowledgement is lost: the second is of data and FIN.
	lost := 0
	w.lose = func(to int, _ []byte) bool {
		if to == 1 {
			lost++
		}
		return to == 1 && lost == 1
	}
	w.run(time.Second)

	want := []string{"FIN-WAIT2 true false", "FIN-WAIT2 true false", "TIME-WAIT true false"}
	if n := len(atA); n < 3 || fmt.Sprint(atA[n-3:]) != fmt.Sprint(want) {
		t.Errorf("the first to close saw %q", atA)
	}
	if fmt.Sprint(atB) != "[CLOSED true false]" {
		t.Errorf("the second to close saw %q", atB)
	}
}

// TestWatchAnyState: a function put on an endpoint in any state does no harm in
// whatever state segments come, resets among them.
func TestWatchAnyState(t *testing.T) {
	shut := func(t *testing.T, c conn) {
		if err := c.Shutdown(tcpip.ShutdownWrite); err != nil {
			t.Fatal(err)
		}
	}
	loseToServer := func(to int, _ []byte) bool { return to == 1 }
	for state, reach := range map[tcp.EndpointState]func(t *testing.T, w *wire, a, b conn){
		tcp.StateEstablished: func(*testing.T, *wire, conn, conn) {},
		tcp.StateFinWait1: func(t *testing.T, w *wire, a, _ conn) {
			w.lose = loseToServer
			shut(t, a)
		},
		tcp.StateFinWait2:  func(t *testing.T, _ *wire, a, _ conn) { shut(t, a) },
		tcp.StateCloseWait: func(t *testing.T, _ *wire, _, b conn) { shut(t, b) },
		tcp.StateLastAck: func(t *testing.T, w *wire, a, b conn) {
			shut(t, b)
			w.until("CLOSE-WAIT", a.is(tcp.StateCloseWait))
			w.lose = loseToServer
			shut(t, a)
		},
		tcp.StateClosing: func(t *testing.T, w *wire, a, b conn) {
			w.lose = loseToServer
			shut(t, a)
			shut(t, b)
		},
		tcp.StateTimeWait: func(t *testing.T, _ *wire, a, b conn) { shut(t, a); shut(t, b) },
	} {
		t.Run(state.String(), func(t *testing.T) {
			w := newWire(t, 5*time.Millisecond, fixed(64<<10))
			calls := 0
			a, b := w.connect(func(c conn) { engine.Watch(c.Endpoint, func() { calls++; engine.ReadLocked(c.Endpoint) }) })
			w.run(100 * time.Millisecond)
			reach(t, w, a, b)
			w.until(state.String(), a.is(state))
			before := calls
			_, _ = b.Write(bytes.NewReader(make([]byte, 100)), tcpip.WriteOptions{}) // where it still may
			w.run(50 * time.Millisecond)
			b.Abort()
			w.run(50 * time.Millisecond)
			if state != tcp.StateTimeWait && calls == before {
				t.Errorf("never called in %v", state)
			}
		})
	}
	t.Run("SYN-SENT", func(t *testing.T) {
		w := newWire(t, 5*time.Millisecond, stack.Config{})
		a := newConn(t, w.stacks[0])
		engine.Watch(a.Endpoint, func() { t.Error("called") })
		a.dial(t, b4)
		w.until("refused", a.is(tcp.StateError))
	})
	t.Run("LISTEN", func(t *testing.T) {
		w := newWire(t, 5*time.Millisecond, stack.Config{})
		l := listen(t, w.stacks[1])
		engine.Watch(l.Endpoint, func() { t.Error("called") })
		a := newConn(t, w.stacks[0])
		a.dial(t, b4)
		var b conn
		w.until("accepted", func() (ok bool) { b, ok = l.accept(t); return ok })
		a.put(t, 100)
		w.run(100 * time.Millisecond)
		if b.take(t, 1000) != 100 {
			t.Error("nothing arrived")
		}
	})
}

// TestWatchReplaces: one function, the last.
func TestWatchReplaces(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, stack.Config{})
	a, b := w.connect(nil)
	var calls [2]int
	engine.Watch(a.Endpoint, func() { calls[0]++ })
	engine.Watch(a.Endpoint, func() { calls[1]++ })
	b.put(t, 1)
	w.run(100 * time.Millisecond)
	if calls != [2]int{0, 1} {
		t.Errorf("called %v times", calls)
	}
	engine.Watch(a.Endpoint, nil)
	b.put(t, 1)
	w.run(100 * time.Millisecond)
	if calls != [2]int{0, 1} {
		t.Errorf("called %v times in the end", calls)
	}
}

// The events that waiting for a mark and for acknowledgement are made of: bits
// that gVisor does not use.
const (
	eventLow   waiter.EventMask = 1 << 32
	eventAcked waiter.EventMask = 1 << 33
)

// TestWatchWakes: Watch and a waiter queue together wait for few unsent bytes
// and for acknowledgement, in real time, while Watch comes and goes and others
// look.
func TestWatchWakes(t *testing.T) {
	const low = 20_000
	cfg := fixed(64 << 10)
	a, b := pair(t, &tap.PipeConfig{}, &cfg)
	out, in := newWaitable(a, waiter.WritableEvents), newWaitable(b, waiter.ReadableEvents)
	acks := newWaitable(a, eventAcked)
	lows := newWaitable(a, eventLow)
	notify := func() {
		st := engine.ReadLocked(a.Endpoint)
		var events waiter.EventMask
		if st.Snd.Unsent < low {
			events |= eventLow
		}
		if st.Snd.Queued == 0 {
			events |= eventAcked
		}
		if events != 0 {
			a.queue.Notify(events)
		}
	}
	engine.Watch(a.Endpoint, notify)

	const total = 4 << 20
	received := make(chan int)
	go func() {
		n, buf := 0, make([]byte, 10_000)
		for {
			m, err := in.readSome(buf)
			if m == 0 || err != nil {
				break
			}
			n += m
			engine.Watch(b.Endpoint, func() {})
			engine.Read(a.Endpoint)
		}
		received <- n
	}()
	block := make([]byte, 64<<10)
	for left := total; left > 0; left -= len(block) {
		if err := out.writeAll(block); err != nil {
			t.Fatal(err)
		}
		for engine.Read(a.Endpoint).Snd.Unsent >= low {
			<-lows.wake
		}
		if left%(1<<20) == 0 {
			st := engine.Read(a.Endpoint)
			for end := st.Snd.End(); ; <-acks.wake {
				if acked, lost := engine.Read(a.Endpoint).AllAcked(end); lost {
					t.Fatal("lost")
				} else if acked {
					break
				}
			}
		}
	}
	if err := a.Shutdown(tcpip.ShutdownWrite); err != nil {
		t.Fatal(err)
	}
	if n := <-received; n != total {
		t.Errorf("%d of %d bytes arrived", n, total)
	}
}
