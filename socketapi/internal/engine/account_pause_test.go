package engine_test

import (
	"testing"
	"time"

	"tapstack/socketapi/internal/engine"
)

// TestPause: between Pause and Resume nothing is looked at, whoever reads,
// writes or waits. The time is charged half to what was found before and half
// to what is found after, and no byte is lost.
func TestPause(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	acct := engine.NewAccount(a.Endpoint, a.queue, w.clock)
	locked := func(f func()) {
		engine.Lock(a.Endpoint)
		defer engine.Unlock(a.Endpoint)
		f()
	}
	step := func(how func()) { how(); w.run(time.Second) }

	step(func() { locked(acct.Pause) })
	// What comes in a pause and is over before it ends is not found.
	step(func() { a.put(t, 1000); acct.Touch() })
	b.take(t, 1000)
	step(func() { b.put(t, 3000); acct.Touch(); acct.WriterWaits(true) })
	step(func() { locked(acct.Resume) })

	h := acct.Holdup()
	check(t, h, 4*time.Second)
	// 3,000 bytes were unread for one of the pause's three seconds, and are
	// taken to have been for one and a half; then for another.
	if want := 2500 * time.Millisecond; h.UnreadWait != want {
		t.Errorf("unread for %v, want %v", h.UnreadWait, want)
	}
	if h.SndbufLimited != 2500*time.Millisecond || h.AppLimited != 1500*time.Millisecond || h.Busy != 0 {
		t.Errorf("%+v", h)
	}
	if h.Sent != 1000 || h.Acked != 1000 || h.Received != 3000 || h.Read != 0 {
		t.Errorf("bytes: %+v", h)
	}

	// Afterwards every event counts again; one that asks does so amid a pause.
	step(func() { a.take(t, 3000); acct.Touch() })
	if h := acct.Holdup(); h.UnreadWait != 2500*time.Millisecond || h.Read != 3000 {
		t.Errorf("after the pause: %+v", h)
	}
	step(func() { locked(acct.Pause) })
	b.put(t, 500)
	w.run(time.Second)
	if h := acct.Holdup(); h.Received != 3500 {
		t.Errorf("amid a pause: %+v", h)
	}
}

// TestEndInPause: a connection that ends in a pause was until then what it had
// been before: its buffers are gone, which says nothing.
func TestEndInPause(t *testing.T) {
	w := newWire(t, 5*time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	w.run(100 * time.Millisecond)
	for a.put(t, 10_000) > 0 { // more than b has room for
		w.run(time.Second)
	}
	acct := engine.NewAccount(a.Endpoint, a.queue, w.clock)
	engine.Lock(a.Endpoint)
	acct.Pause()
	engine.Unlock(a.Endpoint)
	w.run(time.Second)
	b.Abort()
	w.run(time.Second)
	h := acct.Holdup()
	until := time.Second + 5*time.Millisecond // when the reset came
	check(t, h, until)
	if h.Busy != until || h.RwndLimited != until || h.Sent != 0 || h.Acked != 0 {
		t.Errorf("%+v", h)
	}
}
