package socketapi

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// side is one direction of a socket: who is using it, until when they may
// wait, and what wakes them.
//
// The rule of every wait is: try, wait, try again. The socket is registered
// with gVisor's waiter from its birth, so an event between try and wait is
// already in wake when wait comes.
type side struct {
	// mu serialises the calls of one direction, as package net does: two
	// concurrent Writes do not interleave. It is never held by a callback.
	mu sync.Mutex

	// wake holds at most one token. Events, the deadline and Close put one
	// in; the one waiter takes it out and looks at everything again. A token
	// too many costs one more look.
	wake chan struct{}

	deadline deadline
}

func (sd *side) init(clock tcpip.Clock) {
	sd.wake = make(chan struct{}, 1)
	sd.deadline.clock = clock
	sd.deadline.wake = sd.notify
}

// notify wakes the waiter, or makes the next wait return at once. It neither
// blocks nor takes a lock: gVisor calls it with an endpoint's lock held.
func (sd *side) notify() {
	select {
	case sd.wake <- struct{}{}:
	default:
	}
}

// wait returns when something has happened. The caller holds sd.mu and no
// other lock.
func (sd *side) wait() { <-sd.wake }

// deadline is a point on the stack's clock after which calls fail. It keeps
// one timer for all the deadlines a connection is ever given.
type deadline struct {
	clock   tcpip.Clock
	wake    func()
	expired atomic.Bool

	mu    sync.Mutex
	at    tcpip.MonotonicTime // when; means something only while armed
	armed bool
	timer tcpip.Timer
}

// err is os.ErrDeadlineExceeded once the deadline has passed.
func (d *deadline) err() error {
	if d.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// set moves the deadline; the zero time takes it away. One in the past has
// passed when set returns.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.armed = false
	if t.IsZero() {
		d.expired.Store(false)
		return
	}
	left := t.Sub(d.clock.Now())
	if left <= 0 {
		d.expired.Store(true)
		d.wake()
		return
	}
	d.expired.Store(false)
	d.armed = true
	d.at = d.clock.NowMonotonic().Add(left)
	if d.timer == nil {
		d.timer = d.clock.AfterFunc(left, d.fire)
		return
	}
	d.timer.Reset(left)
}

// fire runs on the clock's goroutine. A timer that was stopped too late, or
// set again meanwhile, finds its time not yet come.
func (d *deadline) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.armed {
		return
	}
	if left := d.at.Sub(d.clock.NowMonotonic()); left > 0 {
		d.timer.Reset(left)
		return
	}
	d.armed = false
	d.expired.Store(true)
	d.wake()
}

// stop releases the timer for good.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	if d.timer != nil {
		d.timer.Stop()
	}
}
