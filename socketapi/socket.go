package socketapi

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
)

// Socket is a socket as socket(7) describes it: it does one thing per call and
// never waits. What would block returns EAGAIN; a [Poller] tells when to try
// again. [TCPConn], [TCPListener], [UDPConn] and [PingConn] are made of it and
// add the waiting.
//
// Errors are bare errnos (syscall.EAGAIN, syscall.EINPROGRESS, ...), io.EOF
// where recv(2) returns 0, and net.ErrClosed after Close, where a closed
// descriptor would give EBADF. Once the stack has ended every call that connects,
// accepts, sends or receives returns [stack.Stack.Err], which then is
// net.ErrClosed too; options can still be read and set, and change nothing.
//
// A nil Socket, and one that NewSocket has not made, returns EINVAL. Methods are
// safe for concurrent use. Two receives at the same time take what
// there is one after the other, and so do two sends.
type Socket struct {
	stack *stack.Stack
	ep    tcpip.Endpoint
	queue *waiter.Queue
	kind  kind
	v6    bool // an IPv6 socket, perhaps for both families

	rcv receiver
	snd sender

	// What Linux keeps with a socket and gVisor does not.
	rcvLowat     atomic.Int32  // SO_RCVLOWAT; 0 is 1
	notsentLowat atomic.Int64  // TCP_NOTSENT_LOWAT; 0 is no mark
	flags        atomic.Uint32 // of type flag
	watched      atomic.Uint32 // watchSent and so on
	account      atomic.Pointer[engine.Account]
	awaited      awaited
	pace         pace
	autotuneMax  atomic.Int64 // largest receive buffer that autotuning may choose; 0 leaves it to gVisor, below 0 is off
	sendTuneMax  atomic.Int64 // and send buffer
	maxSeg       atomic.Int32 // TCP_MAXSEG; 0 is no bound
	bounded      atomic.Int32 // the maxSeg that what is sent keeps to

	lastErrno        atomic.Uint32 // what ended the connection, once a call has returned it
	shut             atomic.Uint32 // of a socket without connection: what Shutdown ended, as tcpip.ShutdownFlags
	everRead         atomic.Bool   // a receive has returned bytes
	keepsAlive       atomic.Bool   // startKeepAlive was called
	sndHigh, rcvHigh atomic.Int64  // most ever seen queued

	// settings are what accepted sockets inherit, in the order in which it was
	// first set; only a listener looks at them. Guarded by mu, and never
	// changed but for a new slice.
	settings []setting

	// users counts calls inside ep, plus one until Close. Whoever brings it
	// to zero closes ep: gVisor allows no call beside Endpoint.Close. It never
	// leaves zero.
	users   atomic.Int64
	closing atomic.Bool
	blocked atomic.Bool   // a send found no room before anything was received
	mu      sync.Mutex    // guards settings, making closed, and changing account or congestion control
	closed  chan struct{} // closed after ep is; made by the one close
}

// kind is what a socket carries.
type kind uint8

const (
	stream   kind = iota // TCP
	datagram             // UDP
	ping                 // ICMP echo, as in Linux's ping sockets
)

// NewSocket makes a socket of s. The network is
//   - "tcp" or "udp": IPv6 that carries IPv4 too, as AF_INET6 does by default
//     (IPV6_V6ONLY may be set before Bind, Connect and Listen);
//   - "tcp4", "udp4", "ping4": IPv4 alone;
//   - "tcp6", "udp6", "ping6": IPv6 alone.
//
// Its options are Linux's defaults: Nagle's algorithm is on, keepalive off.
//
// Errors: net.UnknownNetworkError, [stack.Stack.Err] once s has ended.
func NewSocket(s *stack.Stack, network string) (*Socket, error) {
	k, f, err := kindOf(network)
	if err != nil {
		return nil, err
	}
	so := &Socket{}
	if err := so.open(s, k, f); err != nil {
		return nil, err
	}
	return so, nil
}

// kindOf reads the name of a network.
func kindOf(network string) (kind, family, error) {
	for base, k := range map[string]kind{"tcp": stream, "udp": datagram, "ping": ping} {
		if f, err := familyOf(network, base); err == nil && (k != ping || f != anyFamily) {
			return k, f, nil
		}
	}
	return 0, 0, net.UnknownNetworkError(network)
}

// open makes the gVisor endpoint of so.
func (so *Socket) open(s *stack.Stack, k kind, f family) error {
	if s == nil {
		return errNil
	}
	proto := ipv6
	if f == onlyIPv4 {
		proto = ipv4
	}
	transport := tcp.ProtocolNumber
	switch {
	case k == datagram:
		transport = udp
	case k == ping && proto == ipv4:
		transport = icmpv4
	case k == ping:
		transport = icmpv6
	}
	q := new(waiter.Queue)
	ep, terr := s.Netstack().NewEndpoint(transport, proto, q)
	if terr != nil {
		return stack.Errno(terr)
	}
	// After, so that an endpoint made while the stack ended is seen: nobody
	// would ever wake it.
	if err := ended(s); err != nil {
		ep.Close()
		return err
	}
	if proto == ipv6 {
		ep.SocketOptions().SetV6Only(f == onlyIPv6)
	}
	ep.SocketOptions().SetDelayOption(true) // Nagle's algorithm, which gVisor has off
	so.own(s, ep, q, k, proto == ipv6)
	return nil
}

// own takes over ep. From here on the endpoint belongs to so.
func (so *Socket) own(s *stack.Stack, ep tcpip.Endpoint, q *waiter.Queue, k kind, v6 bool) {
	so.stack, so.ep, so.queue, so.kind, so.v6 = s, ep, q, k, v6
	so.users.Store(1)
	if k == stream {
		// gVisor begins without Nagle's algorithm, on accepted sockets too.
		ep.SocketOptions().SetDelayOption(true)
		send, receive := s.Autotunes()
		if !send {
			so.tuneSend(AutotuneOff)
		}
		if !receive {
			so.autotuneMax.Store(AutotuneOff)
		}
	}
}

// Socket is so itself: a Socket is [Pollable].
func (so *Socket) Socket() *Socket { return so }

// tcp is the endpoint of a stream socket, nil for others.
func (so *Socket) tcp() *tcp.Endpoint {
	ep, _ := so.ep.(*tcp.Endpoint)
	return ep
}

// use keeps ep open until done. It fails with net.ErrClosed after Close, and
// with the stack's own reason when that has ended: gVisor has as many answers
// as it has endpoints to give then.
func (so *Socket) use() error {
	if so == nil || so.ep == nil {
		return errNil
	}
	for {
		n := so.users.Load()
		if n == 0 || so.closing.Load() {
			return net.ErrClosed
		}
		// Never from zero: ep may be closed by then.
		if so.users.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// done ends a use; the last one after Close closes ep.
func (so *Socket) done() {
	if so.users.Add(-1) == 0 {
		so.ep.Close()
		close(so.closed)
	}
}

// Close ends the socket and returns when its port is free again, which does
// not wait for the peer. What was written to a TCP socket is still sent, with a
// FIN behind it, unless received bytes are unread: then the peer gets a reset,
// which tells it that its data was lost (RFC 2525, 2.17). Everyone who waits
// for the socket is woken. A second Close returns net.ErrClosed.
func (so *Socket) Close() error { return so.close(nil) }

// Abort drops both buffers, resets a connection and closes the socket. A
// handshake is given up in silence: what comes for it later is answered with a
// reset. After Close it returns net.ErrClosed.
func (so *Socket) Abort() error { return so.close(tcpip.Endpoint.Abort) }

// close wakes everyone who waits, lets them leave, closes ep and returns when
// that is done. before, if not nil, is called on ep first. Only the first call
// does all this. Nobody inside blocks any more, so the wait is short.
func (so *Socket) close(before func(tcpip.Endpoint)) error {
	if so == nil || so.ep == nil {
		return errNil
	}
	so.mu.Lock()
	if so.closed != nil {
		so.mu.Unlock()
		return net.ErrClosed
	}
	so.closed = make(chan struct{})
	so.mu.Unlock()
	so.closing.Store(true)
	if before != nil {
		before(so.ep) // our own share of users keeps ep open
	}
	so.queue.Notify(waiter.EventHUp)
	so.done()
	<-so.closed
	return nil
}

// errno is err as a bare errno, or the reason why the stack has ended, which
// comes before all that gVisor may say then.
func (so *Socket) errno(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	if gone := ended(so.stack); gone != nil {
		return gone
	}
	errno := stack.Errno(err)
	if ep := so.tcp(); ep != nil && ep.EndpointState() == tcp.StateError {
		switch errno {
		case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.ETIMEDOUT,
			syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN:
			// gVisor keeps what ended the connection twice and forgets one
			// (Endpoint.hardError, lastError). The first told counts: gVisor
			// says ECONNABORTED to who connects again.
			if so.lastErrno.CompareAndSwap(0, uint32(errno)) {
				_ = ep.LastError()
			}
		default:
			// Of the call, and perhaps of the moment before: EINPROGRESS.
		}
	}
	return errno
}

// ended is why s has ended, nil while it runs. It takes no lock before then.
func ended(s *stack.Stack) error {
	select {
	case <-s.Done():
		return endedError{s.Err()}
	default:
		return nil
	}
}

// endedError is the reason of a stack that has ended. Whatever it is, every
// socket is closed by it: accept loops that know only net.ErrClosed end too.
type endedError struct{ reason error }

func (e endedError) Error() string        { return e.reason.Error() }
func (e endedError) Unwrap() error        { return e.reason }
func (e endedError) Is(target error) bool { return target == net.ErrClosed }
