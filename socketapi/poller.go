package socketapi

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/waiter"
)

// Poller waits for many sockets at once, like epoll(7): one goroutine serves
// thousands. A wake-up costs what is ready, not what is registered.
//
//	gVisor's event -> registration.NotifyEvent -> list of the woken -> Wait -> Socket.Ready
//
// Methods are safe for concurrent use; several goroutines may Wait, and each
// event goes to one of them. A Poller starts no goroutine.
type Poller struct {
	// woken are registrations that had an event, the last one first: a list
	// without a lock, because gVisor adds to it with an endpoint's lock held.
	woken atomic.Pointer[registration]

	// wake holds a token while there may be something to collect.
	wake chan struct{}

	mu      sync.Mutex // guards what follows, and Wait's looks
	members map[*Socket]*registration
	first   *registration // those to look at, oldest first
	last    *registration
	closed  bool
}

// Pollable is what a Poller takes: a [Socket], and everything that has one.
type Pollable interface {
	// Socket is the socket underneath.
	Socket() *Socket
}

// Mode says when a ready socket is reported again.
type Mode uint8

// The modes, as in epoll_ctl(2).
const (
	LevelTriggered Mode = iota // by every Wait for as long as it is ready
	EdgeTriggered              // after something has happened, so: read until EAGAIN
	OneShot                    // once, until Modify
)

// Event is a socket that is ready.
type Event struct {
	Socket *Socket
	Data   any // what Add was given
	Events Events
}

// registration is one socket in one poller.
type registration struct {
	p     *Poller
	so    *Socket
	entry waiter.Entry

	listed atomic.Bool   // in woken or in the list of the Poller
	next   *registration // there

	deaf atomic.Uint64 // events of ours that it does not want, as waiter.EventMask

	// Guarded by p.mu.
	want Events
	mode Mode
	data any
	off  bool // OneShot has reported
	gone bool
}

// NewPoller makes a poller without sockets.
func NewPoller() *Poller {
	return &Poller{wake: make(chan struct{}, 1), members: make(map[*Socket]*registration)}
}

// NotifyEvent implements waiter.EventListener. It takes no lock and allocates
// nothing.
func (r *registration) NotifyEvent(mask waiter.EventMask) {
	if mask&^waiter.EventMask(r.deaf.Load()) != 0 {
		r.list()
	}
}

// asks sets what r is asked for. The caller holds p.mu, or has r alone.
func (r *registration) asks(want Events, mode Mode, data any) {
	r.want, r.mode, r.data, r.off = want, mode, data, false
	deaf := eventRoom | eventAcked
	if want&EventOut != 0 {
		deaf &^= eventRoom
	}
	if want&EventAcked != 0 {
		deaf &^= eventAcked
	}
	r.deaf.Store(uint64(deaf))
}

// list puts r where Wait looks.
func (r *registration) list() {
	if r.listed.Swap(true) {
		return
	}
	for {
		head := r.p.woken.Load()
		r.next = head
		if r.p.woken.CompareAndSwap(head, r) {
			break
		}
	}
	r.p.signal()
}

func (p *Poller) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// socketOf is the socket of x, nil without one.
func socketOf(x Pollable) *Socket {
	if x == nil {
		return nil
	}
	return x.Socket()
}

// Add registers a socket for the events in want; EventErr and EventHup are
// always reported too. What it is ready for already is reported by the next
// Wait. A socket leaves the poller when it is closed.
//
// Errors: EEXIST for a socket that is registered, net.ErrClosed for one that is
// closed or after Close, EINVAL for a nil one and for a mode there is not.
func (p *Poller) Add(x Pollable, want Events, mode Mode, data any) error {
	if p == nil || p.members == nil || mode > OneShot {
		return syscall.EINVAL
	}
	so := socketOf(x)
	// The use keeps it from being closed until it is registered.
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	if p.members[so] != nil {
		return syscall.EEXIST
	}
	r := &registration{p: p, so: so}
	r.asks(want, mode, data)
	p.members[so] = r
	r.entry.Init(r, readyEvents)
	so.queue.EventRegister(&r.entry)
	r.list()
	return nil
}

// Modify changes what a registered socket is asked for and, after OneShot, arms
// it again. Errors: ENOENT for a socket that is not registered, or was closed;
// EINVAL for a mode there is not.
func (p *Poller) Modify(x Pollable, want Events, mode Mode, data any) error {
	if p == nil || p.members == nil || mode > OneShot {
		return syscall.EINVAL
	}
	so := socketOf(x)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.member(so)
	if r == nil {
		return syscall.ENOENT
	}
	r.asks(want, mode, data)
	r.list()
	return nil
}

// Remove takes a socket out; no Wait that begins afterwards reports it. ENOENT
// for one that is not registered, or was closed.
func (p *Poller) Remove(x Pollable) error {
	if p == nil || p.members == nil {
		return errNil
	}
	so := socketOf(x)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.member(so)
	if r == nil {
		return syscall.ENOENT
	}
	p.remove(r)
	return nil
}

// member is the registration of so, nil without one. A socket that was closed
// has left, whether or not a Poll has noticed. The caller holds p.mu.
func (p *Poller) member(so *Socket) *registration {
	r := p.members[so]
	if r != nil && so.closing.Load() {
		p.remove(r)
		return nil
	}
	return r
}

// remove forgets r. The caller holds p.mu.
func (p *Poller) remove(r *registration) {
	r.gone = true
	delete(p.members, r.so)
	r.so.queue.EventUnregister(&r.entry)
}

// Len is the number of registered sockets. It looks at each: one that was closed
// does not count.
func (p *Poller) Len() int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for so := range p.members {
		_ = p.member(so)
	}
	return len(p.members)
}

// Wait fills events with sockets that are ready and returns how many, at least
// one, waiting for it.
//
// Errors: net.ErrClosed after Close; context.Canceled, or one that is both
// context.DeadlineExceeded and os.ErrDeadlineExceeded; EINVAL without room in
// events.
func (p *Poller) Wait(ctx context.Context, events []Event) (int, error) {
	needContext(ctx)
	if p == nil || p.members == nil {
		return 0, errNil
	}
	if len(events) == 0 {
		return 0, syscall.EINVAL
	}
	for {
		n, err := p.Poll(events)
		if n > 0 || err != nil {
			return n, err
		}
		if clock := p.parker(); clock != nil {
			clock.Park(func() bool { return len(p.wake) > 0 || ctx.Err() != nil })
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return 0, waitErr(ctx)
		}
	}
}

// parker is the one of the sockets' stacks, nil without a socket.
func (p *Poller) parker() parker {
	p.mu.Lock()
	defer p.mu.Unlock()
	for so := range p.members {
		return parkerOf(so.stack.Clock())
	}
	return nil
}

// C receives when Poll may find something: the poller in a select. It may
// receive once too often, never too rarely.
func (p *Poller) C() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.wake
}

// Poll is Wait without waiting: 0 if no socket is ready. Errors: net.ErrClosed
// after Close.
func (p *Poller) Poll(events []Event) (int, error) {
	if p == nil || p.members == nil {
		return 0, errNil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.signal() // for whoever else waits
		return 0, net.ErrClosed
	}
	p.collect()
	n := 0
	// Those that stay are put behind this one: each is looked at once.
	for end := p.last; n < len(events) && p.first != nil; {
		r := p.pop()
		if ev, ok := p.look(r); ok {
			events[n] = ev
			n++
		}
		if r == end {
			break
		}
	}
	if p.first != nil {
		p.signal()
	}
	return n, nil
}

// collect moves the woken to the end of the list, in the order in which they
// woke.
func (p *Poller) collect() {
	var oldest *registration
	for r := p.woken.Swap(nil); r != nil; {
		r.next, r, oldest = oldest, r.next, r
	}
	for r := oldest; r != nil; {
		next := r.next
		p.push(r)
		r = next
	}
}

func (p *Poller) push(r *registration) {
	r.next = nil
	if p.first == nil {
		p.first = r
	} else {
		p.last.next = r
	}
	p.last = r
}

func (p *Poller) pop() *registration {
	r := p.first
	p.first, r.next = r.next, nil
	if p.first == nil {
		p.last = nil
	}
	return r
}

// look finds out what r is ready for, and puts it back if it will have to be
// looked at again without anything happening.
func (p *Poller) look(r *registration) (Event, bool) {
	// First, so that what happens during the look lists it again.
	r.listed.Store(false)
	if r.gone {
		return Event{}, false
	}
	if r.so.closing.Load() {
		p.remove(r)
		return Event{}, false
	}
	if r.off {
		return Event{}, false
	}
	if r.want&EventAcked != 0 && r.so.kind == stream {
		r.so.watchSent() // before the look, so that nothing is missed
	}
	ready := r.so.Ready() & (r.want | EventErr | EventHup)
	if ready == 0 {
		return Event{}, false
	}
	switch r.mode {
	case OneShot:
		r.off = true
	case LevelTriggered:
		if !r.listed.Swap(true) {
			p.push(r)
		}
	case EdgeTriggered:
	}
	return Event{Socket: r.so, Data: r.data, Events: ready}, true
}

// Close takes all sockets out and ends every Wait with net.ErrClosed. The
// sockets stay open. A second Close returns net.ErrClosed.
func (p *Poller) Close() error {
	if p == nil || p.members == nil {
		return errNil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.closed = true
	for _, r := range p.members {
		p.remove(r)
	}
	p.first, p.last = nil, nil
	p.signal()
	return nil
}
