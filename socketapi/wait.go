package socketapi

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// waiting is a Socket that can be waited for: what TCPConn, TCPListener,
// UDPConn and PingConn add to it. It has a side for each direction and is
// registered once with gVisor's waiter.
type waiting struct {
	so     Socket
	entry  waiter.Entry
	rd, wr side
}

// register begins to listen to the socket's events. The socket is open.
func (w *waiting) register() {
	w.rd.init(&w.so)
	w.wr.init(&w.so)
	w.entry.Init((*wakener)(w), readyEvents)
	w.so.queue.EventRegister(&w.entry)
}

// wakener is waiting as gVisor's waiter sees it: the types that embed waiting do
// not get NotifyEvent.
type wakener waiting

// NotifyEvent implements waiter.EventListener. gVisor calls it from its TCP
// processors, with locks held: it sets tokens and does nothing else.
func (w *wakener) NotifyEvent(mask waiter.EventMask) {
	if mask&(waiter.ReadableEvents|waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp) != 0 {
		w.rd.notify()
	}
	if mask&(waiter.WritableEvents|waiter.EventErr|waiter.EventHUp|eventRoom) != 0 || w.so.unblocked(mask) {
		w.wr.notify()
	}
}

// close closes the socket and stops the deadlines' timers.
func (w *waiting) close(before func(tcpip.Endpoint)) error {
	err := w.so.close(before)
	w.rd.deadline.stop()
	w.wr.deadline.stop()
	return err
}

// check is the error that ends a wait on sd before anything is tried.
func (w *waiting) check(sd *side) error {
	if w.so.closing.Load() {
		return net.ErrClosed
	}
	return sd.deadline.err()
}

// attempt runs try on one side until it has something to say other than EAGAIN.
// The caller holds sd.mu and a use of the socket. call names the system call
// that an errno is attributed to.
func (w *waiting) attempt(sd *side, call string, try func() error) error {
	for {
		if err := w.check(sd); err != nil {
			return err
		}
		err := try()
		if err == nil {
			return nil
		}
		//nolint:errorlint // a Socket's errnos are bare
		if err != syscall.EAGAIN {
			return inCall(call, err)
		}
		sd.wait()
	}
}

// inCall attributes a bare errno to a system call; other errors stay as they
// are.
func inCall(call string, err error) error {
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // a Socket's errnos are bare
		return os.NewSyscallError(call, errno)
	}
	return err
}

// setDeadline moves the deadlines of the given sides, unless closed.
func (w *waiting) setDeadline(t time.Time, sides ...*side) error {
	if err := w.so.use(); err != nil {
		return err
	}
	defer w.so.done()
	for _, sd := range sides {
		sd.deadline.set(t)
	}
	return nil
}

// until waits, by context and by the deadline of sd, beside the calls of both
// directions, until done says so or has an error. It registers for the time it
// takes: try, register, try again, wait.
func (w *waiting) until(ctx context.Context, sd *side, done func() (bool, error)) error {
	so := &w.so
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	entry, wake := waiter.NewChannelEntry(progressEvents | eventDeadline)
	for registered := false; ; {
		if err := w.check(sd); err != nil {
			return err
		}
		if err := ended(so.stack); err != nil {
			return err
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
		if !registered {
			registered = true
			so.queue.EventRegister(&entry)
			defer so.queue.EventUnregister(&entry)
			continue
		}
		if p := parkerOf(so.stack.Clock()); p != nil {
			p.Park(func() bool { return len(wake) > 0 || ctx.Err() != nil || ended(so.stack) != nil })
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return waitErr(ctx)
		case <-so.stack.Done():
		}
	}
}

// waitErr is the error of a wait that its context ended: one that is both the
// context's and os.ErrDeadlineExceeded when time ran out.
func waitErr(ctx context.Context) error {
	// Dials end their contexts with this cause; a caller's may have one of its own.
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return dialTimeout{}
	}
	return ctx.Err()
}

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

func (sd *side) init(so *Socket) {
	sd.wake = make(chan struct{}, 1)
	sd.deadline.so = so
	sd.deadline.side = sd
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
func (sd *side) wait() {
	if p := parkerOf(sd.deadline.so.stack.Clock()); p != nil {
		p.Park(func() bool { return len(sd.wake) > 0 })
	}
	<-sd.wake
}

// parker is a clock that lets goroutines run one at a time
// (stack.VirtualClock.Go). Park comes before a wait that ends when ready reports
// true, and gives the turn to another until then.
type parker interface{ Park(ready func() bool) }

// parkerOf is nil for every other clock.
func parkerOf(clock tcpip.Clock) parker {
	p, _ := clock.(parker)
	return p
}

// deadline is a point on the stack's clock after which calls fail. It keeps
// one timer for all the deadlines a connection is ever given.
type deadline struct {
	so      *Socket
	side    *side
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
	left := t.Sub(d.so.stack.Clock().Now())
	if left <= 0 {
		d.expired.Store(true)
		d.passed()
		return
	}
	d.expired.Store(false)
	d.armed = true
	d.at = d.so.stack.Clock().NowMonotonic().Add(left)
	if d.timer == nil {
		d.timer = d.so.stack.Clock().AfterFunc(left, d.fire)
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
	if left := d.at.Sub(d.so.stack.Clock().NowMonotonic()); left > 0 {
		d.timer.Reset(left)
		return
	}
	d.armed = false
	d.expired.Store(true)
	d.passed()
}

// passed wakes who waits in a call of the side, and who waits beside it.
func (d *deadline) passed() {
	d.side.notify()
	d.so.queue.Notify(eventDeadline)
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
