package socketapi

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/stack"
)

// endpoint is what all sockets of this package have in common: gVisor's
// endpoint, registered once with its waiter, two sides to wait on, and a
// Close that anyone may call at any time.
type endpoint struct {
	stack *stack.Stack
	ep    tcpip.Endpoint
	queue *waiter.Queue
	entry waiter.Entry

	rd, wr side

	// users counts calls inside ep, plus one until Close. Whoever brings it
	// to zero closes ep: gVisor allows no call beside Endpoint.Close. It never
	// leaves zero.
	users   atomic.Int64
	closing atomic.Bool
	mu      sync.Mutex    // guards making closed
	closed  chan struct{} // closed after ep is; made by the one close
}

// init takes over ep. From here on the endpoint belongs to e.
func (e *endpoint) init(s *stack.Stack, ep tcpip.Endpoint, q *waiter.Queue) {
	e.stack, e.ep, e.queue = s, ep, q
	e.rd.init(s.Clock())
	e.wr.init(s.Clock())
	e.users.Store(1)
	e.entry.Init(e, waiter.ReadableEvents|waiter.WritableEvents|waiter.EventErr|waiter.EventHUp)
	q.EventRegister(&e.entry)
}

// NotifyEvent implements waiter.EventListener. gVisor calls it from its TCP
// processors, with locks held: it sets tokens and does nothing else.
func (e *endpoint) NotifyEvent(mask waiter.EventMask) {
	if mask&(waiter.ReadableEvents|waiter.EventErr|waiter.EventHUp) != 0 {
		e.rd.notify()
	}
	if mask&(waiter.WritableEvents|waiter.EventErr|waiter.EventHUp) != 0 {
		e.wr.notify()
	}
}

// use keeps ep open until done. It fails with net.ErrClosed after Close.
func (e *endpoint) use() error {
	for {
		n := e.users.Load()
		if n == 0 || e.closing.Load() {
			return net.ErrClosed
		}
		// Never from zero: ep may be closed by then.
		if e.users.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// done ends a use; the last one after Close closes ep.
func (e *endpoint) done() {
	if e.users.Add(-1) == 0 {
		e.queue.EventUnregister(&e.entry)
		e.rd.deadline.stop()
		e.wr.deadline.stop()
		e.ep.Close()
		close(e.closed)
	}
}

// close wakes everyone who waits, lets them leave, closes ep and returns when
// that is done: the port is free then. before, if not nil, is called on ep
// first. Only the first call does all this; others return net.ErrClosed at
// once. Nobody inside blocks any more, so the wait is short.
func (e *endpoint) close(before func(tcpip.Endpoint)) error {
	e.mu.Lock()
	if e.closed != nil {
		e.mu.Unlock()
		return net.ErrClosed
	}
	e.closed = make(chan struct{})
	e.mu.Unlock()
	e.closing.Store(true)
	if before != nil {
		before(e.ep) // our own share of users keeps ep open
	}
	e.rd.notify()
	e.wr.notify()
	e.done()
	<-e.closed
	return nil
}

// check is the error that ends a wait on sd before anything is tried.
func (e *endpoint) check(sd *side) error {
	if e.closing.Load() {
		return net.ErrClosed
	}
	return sd.deadline.err()
}

// attempt runs try on one side until it has something to say other than
// "would block". The caller holds sd.mu and a use of e.
func (e *endpoint) attempt(sd *side, call string, try func() tcpip.Error) error {
	for {
		if err := e.check(sd); err != nil {
			return err
		}
		err := try()
		if err == nil {
			return nil
		}
		// gVisor has as many answers as it has endpoints to give once the
		// stack is gone; the stack knows why it is.
		if gone := ended(e.stack); gone != nil {
			return gone
		}
		if _, blocked := err.(*tcpip.ErrWouldBlock); !blocked {
			return sysErr(call, err)
		}
		sd.wait()
	}
}

// setDeadline moves the deadlines of the given sides, unless closed.
func (e *endpoint) setDeadline(t time.Time, sides ...*side) error {
	if err := e.use(); err != nil {
		return err
	}
	defer e.done()
	for _, sd := range sides {
		sd.deadline.set(t)
	}
	return nil
}

// newEndpoint opens a gVisor endpoint.
func newEndpoint(s *stack.Stack, transport tcpip.TransportProtocolNumber, proto tcpip.NetworkProtocolNumber) (tcpip.Endpoint, *waiter.Queue, error) {
	q := new(waiter.Queue)
	ep, err := s.Netstack().NewEndpoint(transport, proto, q)
	if err != nil {
		return nil, nil, sysErr("socket", err)
	}
	// After, so that an endpoint made while the stack ended is seen: nobody
	// would ever wake it.
	if err := ended(s); err != nil {
		ep.Close()
		return nil, nil, err
	}
	return ep, q, nil
}

// ended is why s has ended, nil while it runs. It takes no lock before then.
func ended(s *stack.Stack) error {
	select {
	case <-s.Done():
		return s.Err()
	default:
		return nil
	}
}
