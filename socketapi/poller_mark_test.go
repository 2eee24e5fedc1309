package socketapi_test

import (
	"errors"
	"syscall"
	"testing"

	"tapstack/socketapi"
	"tapstack/stack"
)

// markPair is a connection whose sender learns of nothing: the frames that its
// peer writes wait in back. What is sent is bounded by the first congestion
// window.
func markPair(t *testing.T) (w *socketapi.TCPConn, back acker) {
	t.Helper()
	a, b, _, lb := linked(t, nil, nil)
	w, _ = connect(t, a, b, b4.Addr())
	if err := w.WaitAcked(within(t)); err != nil {
		t.Fatal(err)
	}
	lb.hold()
	return w, acker{lb, a}
}

// acker is what a sender's peer says, and the sender's stack.
type acker struct {
	*link
	stack *stack.Stack
}

// sendAll sends until the socket takes no more.
func sendAll(t *testing.T, w *socketapi.TCPConn, atMost int) (n int) {
	t.Helper()
	for n < atMost {
		m, err := w.Socket().Send(make([]byte, min(1000, atMost-n)), 0)
		n += m
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// ackOne lets one frame of the peer's through, and returns when it was handled
// and all that this notifies was notified.
func ackOne(t *testing.T, w *socketapi.TCPConn, back acker) {
	t.Helper()
	eventually(t, "the peer has something to say", func() bool { return back.holding() > 0 })
	handled := func() uint64 {
		info, err := w.Info()
		if err != nil {
			t.Fatal(err)
		}
		return info.SegsIn
	}
	before := handled()
	back.letPass(1)
	eventually(t, "it was heard", func() bool { return handled() == before+1 })
	back.stack.Quiesce() // gVisor counts before it handles
}

// tokens is how often C receives now, without a Poll in between: 0 or 1.
func tokens(p *socketapi.Poller) int {
	select {
	case <-p.C():
		return 1
	default:
		return 0
	}
}

// TestPollerWritableAtTheMark: with TCP_NOTSENT_LOWAT the poller wakes exactly
// once, with the segment that brings what is unsent below the mark, and not
// before or after; in its channel form, level- and edge-triggered and one-shot.
func TestPollerWritableAtTheMark(t *testing.T) {
	t.Parallel()
	const mark = 12_000
	for name, mode := range map[string]socketapi.Mode{
		"level": socketapi.LevelTriggered, "edge": socketapi.EdgeTriggered, "one-shot": socketapi.OneShot,
	} {
		t.Run(name, func(t *testing.T) {
			w, back := markPair(t)
			if err := w.SetWriteLowWater(mark); err != nil {
				t.Fatal(err)
			}
			p := socketapi.NewPoller()
			defer p.Close()
			sendAll(t, w, 1<<20)
			if unsent := w.SendBuffer().Unsent; unsent < mark {
				t.Fatalf("only %d unsent", unsent)
			}
			if err := p.Add(w, socketapi.EventOut, mode, nil); err != nil {
				t.Fatal(err)
			}
			if tokens(p) != 1 || len(poll(t, p)) != 0 || tokens(p) != 0 {
				t.Fatal("above the mark at the beginning")
			}
			crossings := 0
			for round := range 3 {
				for {
					was := w.SendBuffer().Unsent
					ackOne(t, w, back)
					now := w.SendBuffer().Unsent
					woken, want := tokens(p), 0
					if was >= mark && now < mark {
						want = 1
					}
					if woken != want {
						t.Fatalf("round %d: %d unsent, then %d: woken %d times, want %d", round, was, now, woken, want)
					}
					if events := poll(t, p); len(events) != want || want == 1 && events[0].Events != socketapi.EventOut {
						t.Fatalf("round %d: %d unsent, then %d: %+v", round, was, now, events)
					}
					if want == 1 {
						crossings++
						break
					}
				}
				afterTheMark(t, w, p, back, mode)
				sendAll(t, w, 1<<20)
				if mode == socketapi.OneShot {
					if err := p.Modify(w, socketapi.EventOut, mode, nil); err != nil {
						t.Fatal(err)
					}
				}
				// Looks that find it not ready leave nothing behind.
				poll(t, p)
				tokens(p)
				if got := poll(t, p); len(got) != 0 {
					t.Fatalf("above the mark again: %+v", got)
				}
			}
			if crossings != 3 {
				t.Errorf("%d crossings", crossings)
			}
		})
	}
}

// afterTheMark is what a ready socket's further progress does: only the level is
// there to be seen.
func afterTheMark(t *testing.T, w *socketapi.TCPConn, p *socketapi.Poller, back acker, mode socketapi.Mode) {
	t.Helper()
	if back.holding() == 0 {
		return
	}
	tokens(p) // level-triggered it asks to be polled again
	ackOne(t, w, back)
	if got := tokens(p); got != 0 {
		t.Fatalf("woken %d times below the mark", got)
	}
	want := 0
	if mode == socketapi.LevelTriggered {
		want = 1
	}
	if got := poll(t, p); len(got) != want {
		t.Fatalf("below the mark: %+v", got)
	}
}

// TestPollerIgnoresProgress: acknowledgements wake nobody who asks for something
// else, and EventAcked is told once, with the last of them.
func TestPollerIgnoresProgress(t *testing.T) {
	w, back := markPair(t)
	if err := w.SetWriteLowWater(5000); err != nil {
		t.Fatal(err)
	}
	readers, acked := socketapi.NewPoller(), socketapi.NewPoller()
	defer readers.Close()
	defer acked.Close()
	sent := sendAll(t, w, 1<<20)
	for p, want := range map[*socketapi.Poller]socketapi.Events{readers: socketapi.EventIn, acked: socketapi.EventAcked} {
		if err := p.Add(w, want, socketapi.EdgeTriggered, nil); err != nil {
			t.Fatal(err)
		}
		tokens(p)
		if got := poll(t, p); len(got) != 0 {
			t.Fatalf("at the beginning: %+v", got)
		}
	}
	w.Socket().Ready() // somebody who finds no room
	segments := 0
	for w.SendBuffer().Queued > 0 {
		ackOne(t, w, back)
		segments++
		if got := tokens(readers); got != 0 {
			t.Fatal("an acknowledgement woke a reader")
		}
		want := 0
		if w.SendBuffer().Queued == 0 {
			want = 1
		}
		if got := tokens(acked); got != want {
			t.Fatalf("%d queued: woken %d times", w.SendBuffer().Queued, got)
		}
	}
	if got := poll(t, acked); len(got) != 1 || got[0].Events != socketapi.EventAcked {
		t.Errorf("all is acknowledged: %+v", got)
	}
	if segments < 2 {
		t.Errorf("%d bytes were acknowledged by %d segments", sent, segments)
	}
}

// TestPollerWritableMarkFullBuffer: a mark above the buffer's size changes only
// that any room is told, and not half of the buffer.
func TestPollerWritableMarkFullBuffer(t *testing.T) {
	w, back := markPair(t)
	if err := w.SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if err := w.SetWriteLowWater(1 << 20); err != nil {
		t.Fatal(err)
	}
	p := socketapi.NewPoller()
	defer p.Close()
	sendAll(t, w, 1<<20)
	if snd := w.SendBuffer(); snd.Free != 0 {
		t.Fatalf("not full: %+v", snd)
	}
	if err := p.Add(w, socketapi.EventOut, socketapi.EdgeTriggered, nil); err != nil {
		t.Fatal(err)
	}
	tokens(p)
	if got := poll(t, p); len(got) != 0 {
		t.Fatalf("full: %+v", got)
	}
	ackOne(t, w, back)
	snd := w.SendBuffer()
	if snd.Free == 0 || snd.Free >= snd.Size/2 {
		t.Fatalf("the first acknowledgement frees some: %+v", snd)
	}
	if tokens(p) != 1 {
		t.Error("not woken")
	}
	if got := poll(t, p); len(got) != 1 || got[0].Events != socketapi.EventOut {
		t.Errorf("%+v", got)
	}
}
