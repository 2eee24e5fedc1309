package drill

import (
	"container/heap"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// pace is how time passes for a script. All methods but wake belong to the
// script's goroutine, and so does whatever they call.
type pace interface {
	Now() time.Time
	// after has f called when d has passed, by fire or step.
	after(d time.Duration, f func())
	// fire calls one function that is due now, and reports false if none is.
	fire() bool
	// step lets time pass until one thing has happened, at most until limit,
	// and reports whether one has.
	step(limit time.Time) bool
	// watch has step return when something happens to a socket.
	watch(so *socketapi.Socket)
	// wake makes step return. Anybody may call it.
	wake()
	close()
}

// virtual is the pace of a clock on which nothing but timers takes time. Its
// timers are the stacks' too, so nothing happens that step does not see.
type virtual struct{ *stack.VirtualClock }

func (v virtual) after(d time.Duration, f func()) { v.AfterFunc(d, f) }

func (v virtual) fire() bool {
	next, ok := v.Next()
	return ok && !next.After(v.Now()) && v.Step()
}

func (v virtual) step(limit time.Time) bool {
	next, ok := v.Next()
	if !ok || next.After(limit) {
		v.AdvanceTo(limit)
		return false
	}
	return v.Step()
}

func (virtual) watch(*socketapi.Socket) {}
func (virtual) wake()                   {}
func (virtual) close()                  {}

// wall is the pace of the machine's clock. The stacks have timers of their own
// there; what they do is noticed by frames and by the sockets' events.
type wall struct {
	deadline time.Time // no step goes beyond
	done     <-chan struct{}
	woken    chan struct{}
	poller   *socketapi.Poller
	queue    alarms
	order    int
}

func newWall(deadline time.Time, done <-chan struct{}) *wall {
	return &wall{deadline: deadline, done: done, woken: make(chan struct{}, 1), poller: socketapi.NewPoller()}
}

func (*wall) Now() time.Time { return time.Now() }

func (p *wall) after(d time.Duration, f func()) {
	p.order++
	heap.Push(&p.queue, alarm{time.Now().Add(d), p.order, f})
}

func (p *wall) fire() bool {
	if len(p.queue) == 0 || p.queue[0].at.After(time.Now()) {
		return false
	}
	heap.Pop(&p.queue).(alarm).f()
	return true
}

func (p *wall) step(limit time.Time) bool {
	if limit.After(p.deadline) {
		limit = p.deadline
	}
	until := limit
	if len(p.queue) > 0 && p.queue[0].at.Before(until) {
		until = p.queue[0].at
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-p.woken:
		return true
	case <-p.poller.C():
		p.drain()
		return true
	case <-timer.C:
		return p.fire()
	case <-p.done:
		return false
	}
}

// drain takes note of the sockets that something has happened to: every call
// that waits is tried again anyhow.
func (p *wall) drain() {
	var events [64]socketapi.Event
	for {
		if n, err := p.poller.Poll(events[:]); n < len(events) || err != nil {
			return
		}
	}
}

func (p *wall) watch(so *socketapi.Socket) {
	// A socket that is closed by now is nothing to wait for.
	_ = p.poller.Add(so, socketapi.EventIn|socketapi.EventOut|socketapi.EventRdHup, socketapi.EdgeTriggered, nil)
}

func (p *wall) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *wall) close() { _ = p.poller.Close() }

// alarm is a function to be called.
type alarm struct {
	at    time.Time
	order int // among those of one time
	f     func()
}

// alarms implements heap.Interface.
type alarms []alarm

func (a alarms) Len() int { return len(a) }

func (a alarms) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].order < a[j].order
	}
	return a[i].at.Before(a[j].at)
}

func (a alarms) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)   { *a = append(*a, x.(alarm)) }

func (a *alarms) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = alarm{}
	*a = (*a)[:last]
	return x
}
