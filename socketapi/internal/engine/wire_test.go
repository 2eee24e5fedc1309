package engine_test

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"

	"tapstack/stack"
	"tapstack/tap"
)

// Addresses of the two stacks that tests connect.
var a4, b4 = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")

// wire joins two stacks, 0 and 1, by a cable with a delay, in virtual time: the
// test's goroutine is the only one that moves anything. After each frame it
// waits until the stack has handled it, so that a run is the same every time.
type wire struct {
	t      testing.TB
	clock  *faketime.ManualClock
	delay  time.Duration
	stacks [2]*stack.Stack
	ends   [2]*wireEnd

	// lose, if not nil, is asked about every frame, at the time it is sent.
	lose func(to int, frame []byte) bool
	// app, if not nil, runs after everything that happens, and every tick.
	app func()

	mu     sync.Mutex // guards flying: frames are sent by TCP processors too
	flying []flight
}

type flight struct {
	due   tcpip.MonotonicTime
	to    int
	frame []byte
}

// tick is how often app runs while nothing happens.
const tick = time.Millisecond

func newWire(t testing.TB, delay time.Duration, cfg stack.Config) *wire {
	t.Helper()
	w := &wire{t: t, clock: faketime.NewManualClock(), delay: delay}
	w.clock.Advance(time.Hour) // several fields of gVisor's read time 0 as unset
	cfg.Clock = w.clock
	for i, addr := range []netip.Prefix{a4, b4} {
		w.ends[i] = &wireEnd{
			wire: w, to: 1 - i,
			ready: make(chan struct{}, 1), in: make(chan []byte), closed: make(chan struct{}),
		}
		w.stacks[i] = newHost(t, w.ends[i], &cfg, addr)
	}
	return w
}

// newHost makes a stack on dev, gone when the test is.
func newHost(t testing.TB, dev tap.Device, cfg *stack.Config, addr netip.Prefix) *stack.Stack {
	t.Helper()
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{addr}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// run moves the time by d.
func (w *wire) run(d time.Duration) {
	w.t.Helper()
	for end := w.clock.NowMonotonic().Add(d); ; {
		w.settle()
		if w.app != nil {
			w.app()
			w.settle()
		}
		now := w.clock.NowMonotonic()
		if f, ok := w.due(now); ok {
			w.ends[f.to].deliver(f.frame)
			continue
		}
		if !now.Before(end) {
			return
		}
		// No step is longer than the delay, so that what a timer sends in it
		// is not due before its end.
		w.clock.Advance(min(tick, w.delay, end.Sub(now), w.next(now)))
	}
}

// until runs until ok holds.
func (w *wire) until(what string, ok func() bool) {
	w.t.Helper()
	for range 100_000 {
		if ok() {
			return
		}
		w.run(tick)
	}
	w.t.Fatalf("never: %s", what)
}

// settle waits until both stacks have handled what they were given.
func (w *wire) settle() {
	for _, s := range w.stacks {
		s.Netstack().Pause()
		s.Netstack().Resume()
	}
}

// due takes the first frame that has arrived by now.
func (w *wire) due(now tcpip.MonotonicTime) (flight, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flying) == 0 || now.Before(w.flying[0].due) {
		return flight{}, false
	}
	f := w.flying[0]
	w.flying = slices.Delete(w.flying, 0, 1)
	return f, true
}

// next is how long it is until a frame arrives.
func (w *wire) next(now tcpip.MonotonicTime) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flying) == 0 {
		return time.Hour
	}
	return w.flying[0].due.Sub(now)
}

// wireEnd is one end: a tap.Device with one queue.
type wireEnd struct {
	wire   *wire
	to     int           // the other
	ready  chan struct{} // has a token while the stack waits for a frame
	in     chan []byte
	once   sync.Once
	closed chan struct{}
}

func (e *wireEnd) Name() string           { return "wire" }
func (e *wireEnd) MTU() int               { return 1500 }
func (e *wireEnd) Queues() []tap.Queue    { return []tap.Queue{e} }
func (e *wireEnd) Offloads() tap.Offloads { return tap.Offloads{} }
func (e *wireEnd) Stats() tap.Stats       { return tap.Stats{} }
func (e *wireEnd) Close() error           { e.once.Do(func() { close(e.closed) }); return nil }

// deliver returns when the stack has taken frame in and come back for more.
func (e *wireEnd) deliver(frame []byte) {
	<-e.ready
	e.in <- frame
	<-e.ready
	e.ready <- struct{}{}
}

func (e *wireEnd) Read(bufs [][]byte) (int, tap.Offload, error) {
	e.ready <- struct{}{}
	select {
	case frame := <-e.in:
		n := len(frame)
		for _, b := range bufs {
			frame = frame[copy(b, frame):]
		}
		return n, tap.Offload{}, nil
	case <-e.closed:
		return 0, tap.Offload{}, net.ErrClosed
	}
}

func (e *wireEnd) Write(bufs [][]byte, _ tap.Offload) error {
	frame := slices.Concat(bufs...)
	w := e.wire
	if w.lose != nil && w.lose(e.to, frame) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying = append(w.flying, flight{w.clock.NowMonotonic().Add(w.delay), e.to, frame})
	return nil
}
