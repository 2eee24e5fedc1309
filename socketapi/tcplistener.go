package socketapi

import (
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/stack"
)

// TCPListener accepts TCP connections. It implements net.Listener.
type TCPListener struct {
	endpoint
	addr *net.TCPAddr
}

var _ net.Listener = (*TCPListener)(nil)

// backlog is how many connections may wait for Accept: Linux's somaxconn.
const backlog = 4096

// Listen announces on a local TCP address of s, such as ":80" (all addresses,
// IPv4 and IPv6), "192.168.77.2:80" or "[fd00:77::2]:0" (a port of the stack's
// choice). The network is "tcp", "tcp4" or "tcp6".
//
// Errors: EADDRINUSE, EADDRNOTAVAIL; *net.AddrError for an address that cannot
// be read.
func Listen(s *stack.Stack, network, address string) (*TCPListener, error) {
	f, err := familyOf(network, "tcp")
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	ap, err := parseLocal(f, address)
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	l, err := listen(s, f, ap)
	if err != nil {
		return nil, opErr("listen", network, nil, tcpAddr(ap), err)
	}
	return l, nil
}

func listen(s *stack.Stack, f family, ap netip.AddrPort) (*TCPListener, error) {
	fa, err := fullAddress(s, ap)
	if err != nil {
		return nil, err
	}
	proto, v6only := f.local(ap.Addr())
	ep, q, err := newEndpoint(s, tcp.ProtocolNumber, proto)
	if err != nil {
		return nil, err
	}
	ep.SocketOptions().SetV6Only(v6only)
	// As package net does on Unix: a restarted server need not wait for the
	// TIME-WAITs of its predecessor. gVisor then allows one more thing that
	// Linux does not, hence overlaps.
	ep.SocketOptions().SetReuseAddress(true)
	if err := ep.Bind(fa); err != nil {
		ep.Close()
		return nil, sysErr("bind", err)
	}
	if err := ep.Listen(backlog); err != nil {
		ep.Close()
		return nil, sysErr("listen", err)
	}
	// Last, so that of two that listen at the same time at least one sees the
	// other.
	if overlaps(s, ep.(*tcp.Endpoint)) {
		ep.Close()
		return nil, sysErr("listen", &tcpip.ErrPortInUse{})
	}
	l := &TCPListener{}
	l.init(s, ep, q)
	if local, err := ep.GetLocalAddress(); err == nil {
		l.addr = tcpAddr(addrPort(s, local))
	}
	return l, nil
}

// overlaps reports whether somebody else listens where ep does.
func overlaps(s *stack.Stack, ep *tcp.Endpoint) bool {
	ours := coverageOf(ep)
	for _, te := range s.Netstack().RegisteredEndpoints() {
		other, ok := te.(*tcp.Endpoint)
		if ok && other != ep && other.EndpointState() == tcp.StateListen && coverageOf(other).overlaps(ours) {
			return true
		}
	}
	return false
}

// coverage is what a listener accepts connections to.
type coverage struct {
	port   uint16
	v4, v6 bool
	addr   tcpip.Address // empty for all of the families' addresses
}

func coverageOf(ep *tcp.Endpoint) (c coverage) {
	a, err := ep.GetLocalAddress()
	if err != nil {
		return c
	}
	c.port, c.addr = a.Port, a.Addr
	switch {
	case a.Addr.BitLen() != 0:
		c.v4, c.v6 = a.Addr.BitLen() == 32, a.Addr.BitLen() == 128
	case ep.NetProto == ipv4:
		c.v4 = true
	default:
		c.v4, c.v6 = !ep.SocketOptions().GetV6Only(), true
	}
	return c
}

func (c coverage) overlaps(d coverage) bool {
	common := c.v4 && d.v4 || c.v6 && d.v6
	return c.port == d.port && common && (c.addr.BitLen() == 0 || d.addr.BitLen() == 0 || c.addr == d.addr)
}

// Accept waits for the next connection.
//
// Errors: net.ErrClosed, os.ErrDeadlineExceeded.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP is Accept with the connection's own type.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	if err := l.use(); err != nil {
		return nil, l.opErr("accept", err)
	}
	defer l.done()
	l.rd.mu.Lock()
	defer l.rd.mu.Unlock()
	var c *TCPConn
	err := l.attempt(&l.rd, "accept", func() tcpip.Error {
		ep, q, err := l.ep.Accept(nil)
		if err != nil {
			return err
		}
		setDefaults(ep, 0)
		c = newTCPConn(l.stack, ep, q)
		return nil
	})
	if err != nil {
		return nil, l.opErr("accept", err)
	}
	return c, nil
}

// Close stops listening. Connections that nobody has accepted are reset;
// accepted ones live on. Accept returns net.ErrClosed, and so does a second
// Close.
func (l *TCPListener) Close() error {
	return l.opErr("close", l.close(nil))
}

// Addr is the address listened on, a *net.TCPAddr. It is shared by all
// callers: do not modify it.
func (l *TCPListener) Addr() net.Addr { return addrOrNil(l.addr) }

// SetDeadline sets the deadline of Accept; the zero time means none.
func (l *TCPListener) SetDeadline(t time.Time) error {
	return l.opErr("set", l.setDeadline(t, &l.rd))
}

func (l *TCPListener) opErr(op string, err error) error {
	return opErr(op, "tcp", nil, l.Addr(), err)
}
