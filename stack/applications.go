package stack

import (
	"slices"
	"sync"
	"time"
)

// applications are the goroutines that VirtualClock.Go has started. One of them
// runs at a time, or else whoever called Settle.
type applications struct {
	mu      sync.Mutex
	all     []*application // in the order in which they take turns
	current *application   // whose turn it is
	back    chan struct{}  // from that one: it waits, or has ended
}

// application is one of them.
type application struct {
	turn  chan struct{}
	ready func() bool // whether what it waits for is there
}

// Go starts an application: a goroutine that uses blocking calls of package
// socketapi on stacks with this clock, or [VirtualClock.Sleep]. Like timers,
// applications do nothing by themselves: they run in Settle and Run, one at a
// time and each until it waits, in turns of fixed order. So what they do to each
// other, and in which order their segments leave, is the same in every run.
//
// An application may start others by Go. What it waits for otherwise (a plain
// channel, another goroutine, a lock that a waiting application holds, such as a
// second Read of one connection) stops everything. So does a Dial of a name that
// has addresses of both versions of IP: it tries them in goroutines of its own,
// unless socketapi.Dialer.FallbackDelay is negative. Or dial addresses, or names
// for "tcp4" or "tcp6".
//
// While Settle or Run is at it, nobody else may use blocking calls on these
// stacks: they would be taken for those of the application whose turn it is. An
// application that still waits at the end is a goroutine that is left over: close
// the stacks and call Settle once more.
func (c *VirtualClock) Go(f func()) {
	a := &application{turn: make(chan struct{}), ready: func() bool { return true }}
	c.apps.mu.Lock()
	defer c.apps.mu.Unlock()
	if c.apps.back == nil {
		c.apps.back = make(chan struct{})
	}
	c.apps.all = append(c.apps.all, a)
	go func() {
		<-a.turn
		defer c.apps.ended(a)
		f()
	}()
}

func (p *applications) ended(a *application) {
	p.mu.Lock()
	p.all = slices.DeleteFunc(p.all, func(o *application) bool { return o == a })
	p.current = nil
	p.mu.Unlock()
	p.back <- struct{}{}
}

// Park lets an application wait until ready reports true; it is asked whenever
// something may have happened. For a goroutine that Go has not started, it
// returns at once. Package socketapi calls it before it waits.
func (c *VirtualClock) Park(ready func() bool) {
	p := &c.apps
	p.mu.Lock()
	a := p.current
	if a == nil || ready() {
		p.mu.Unlock()
		return
	}
	a.ready, p.current = ready, nil
	p.mu.Unlock()
	p.back <- struct{}{}
	<-a.turn
}

// next gives the turn to the first application that has something to do, nil if
// there is none, and puts it behind the others.
func (p *applications) next() *application {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.all {
		if a.ready() {
			p.all = append(slices.Delete(p.all, i, i+1), a)
			p.current = a
			return a
		}
	}
	return nil
}

// Settle returns when nothing is in flight in the stacks and every application
// waits for time to pass. Only one goroutine at a time may call it, which is no
// application. It does not return if applications keep each other busy.
func (c *VirtualClock) Settle(stacks ...*Stack) {
	for {
		for _, s := range stacks {
			s.Quiesce()
		}
		a := c.apps.next()
		if a == nil {
			return
		}
		a.turn <- struct{}{}
		<-c.apps.back
	}
}

// Run lets d pass: timer by timer, with Settle before, between and after.
func (c *VirtualClock) Run(d time.Duration, stacks ...*Stack) {
	end := c.Now().Add(d)
	c.Settle(stacks...)
	for at, ok := c.Next(); ok && !at.After(end); at, ok = c.Next() {
		c.Step()
		c.Settle(stacks...)
	}
	c.AdvanceTo(end)
}

// Sleep lets an application wait for d. Anybody else must not call it.
func (c *VirtualClock) Sleep(d time.Duration) {
	end := c.Now().Add(d)
	c.AfterFunc(d, func() {})
	c.Park(func() bool { return !c.Now().Before(end) })
}

// Schedule is AfterFunc without the timer: with it the clock is one that models
// of networks run on (package netem).
func (c *VirtualClock) Schedule(d time.Duration, f func()) { c.AfterFunc(d, f) }
