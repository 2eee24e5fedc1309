package stack

import (
	"container/heap"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// VirtualClock is a clock on which time passes only when somebody says so. A
// stack that runs on one ([Config.Clock]) goes through an hour of keepalives
// in the time that the work in it takes, and does the same things at the same
// instants in every run, if Config.Rand is fixed too and [Stack.Quiesce] is
// called after every frame that is handed to it:
//
//	for at, ok := clock.Next(); ok && !at.After(end); at, ok = clock.Next() {
//		clock.Step()
//		s.Quiesce()
//	}
//
// [VirtualClock.Run] is that loop. Goroutines that use blocking sockets are
// part of the order if they are started by [VirtualClock.Go]. What joins stacks
// in virtual time is netem.NewLink.
//
// Timers fire in order of their time, and of their being armed where that is
// the same, on the goroutine that calls [VirtualClock.Step], with Now at each
// one's time. A timer without duration waits for the next Step like any other:
// nothing ever fires beside the caller.
//
// All methods may be called concurrently, but only one goroutine at a time may
// let time pass: Step, Advance, AdvanceTo, Settle and Run.
type VirtualClock struct {
	mu    sync.Mutex // guards what follows; never held while a timer fires
	now   time.Time
	queue timerQueue
	armed uint64 // how often a timer was armed so far

	apps applications
}

// virtualStart is when a virtual clock begins; the monotonic clock begins a
// second above zero, because gVisor reads zero as "never" in several fields.
var virtualStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const monotonicStart = time.Second

// NewVirtualClock returns a clock that shows the first of January 2000, UTC.
func NewVirtualClock() *VirtualClock { return &VirtualClock{now: virtualStart} }

var _ tcpip.Clock = (*VirtualClock)(nil)

// Now implements tcpip.Clock.
func (c *VirtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// NowMonotonic implements tcpip.Clock.
func (c *VirtualClock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(monotonicStart + c.Now().Sub(virtualStart))
}

// AfterFunc implements tcpip.Clock. f is called by a Step, not before.
func (c *VirtualClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &virtualTimer{clock: c, f: f, index: idle}
	t.Reset(d)
	return t
}

// Next is when the next timer fires; false if none is armed.
func (c *VirtualClock) Next() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return time.Time{}, false
	}
	return c.queue[0].at, true
}

// Step moves time to the next timer and fires that one. It reports false, and
// time stands, if there is none.
func (c *VirtualClock) Step() bool {
	c.mu.Lock()
	if len(c.queue) == 0 {
		c.mu.Unlock()
		return false
	}
	t := heap.Pop(&c.queue).(*virtualTimer)
	c.now = t.at
	c.mu.Unlock()
	t.f()
	return true
}

// AdvanceTo steps through the timers up to and at t and leaves the clock at t.
// Time never goes back. It does not return if timers keep arming each other
// without duration.
func (c *VirtualClock) AdvanceTo(t time.Time) {
	for {
		at, ok := c.Next()
		if !ok || at.After(t) {
			break
		}
		c.Step()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now) {
		c.now = t
	}
}

// Advance is AdvanceTo the time d from now.
func (c *VirtualClock) Advance(d time.Duration) { c.AdvanceTo(c.Now().Add(d)) }

// virtualTimer implements tcpip.Timer. All but clock and f is guarded by the
// clock's lock.
type virtualTimer struct {
	clock *VirtualClock
	f     func()
	at    time.Time
	order uint64
	index int // in the queue, or idle
}

const idle = -1

// Stop implements tcpip.Timer.
func (t *virtualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.index == idle {
		return false
	}
	heap.Remove(&t.clock.queue, t.index)
	return true
}

// Reset implements tcpip.Timer.
func (t *virtualTimer) Reset(d time.Duration) {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed++
	t.at, t.order = c.now.Add(max(d, 0)), c.armed
	if t.index == idle {
		heap.Push(&c.queue, t)
	} else {
		heap.Fix(&c.queue, t.index)
	}
}

// timerQueue implements heap.Interface.
type timerQueue []*virtualTimer

func (q timerQueue) Len() int { return len(q) }

func (q timerQueue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].order < q[j].order
	}
	return q[i].at.Before(q[j].at)
}

func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *timerQueue) Push(x any) {
	t := x.(*virtualTimer)
	t.index = len(*q)
	*q = append(*q, t)
}

func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.index = idle
	return t
}
