package socketapi

import (
	"context"
	"net"
	"net/netip"
	"time"

	"tapstack/stack"
)

// TCPListener accepts TCP connections. It implements net.Listener.
type TCPListener struct {
	waiting
	addr *net.TCPAddr
}

var _ net.Listener = (*TCPListener)(nil)

// Listen announces on a local TCP address of s, such as ":80" (all addresses,
// IPv4 and IPv6), "192.168.77.2:80" or "[fd00:77::2]:0" (a port of the stack's
// choice). The port is a number, "http" or "https": there is no services file. The
// network is "tcp", "tcp4" or "tcp6". [ListenConfig] has more to choose from.
//
// Errors: EADDRINUSE, EADDRNOTAVAIL; *net.AddrError for an address that cannot
// be read.
func Listen(s *stack.Stack, network, address string) (*TCPListener, error) {
	return (&ListenConfig{Stack: s}).ListenTCP(context.Background(), network, address)
}

func (l *TCPListener) valid() bool { return l != nil && l.so.ep != nil }

// Socket is the socket underneath, for its options, for a Poller, and for calls
// that do not wait. Closing either closes both.
func (l *TCPListener) Socket() *Socket {
	if !l.valid() {
		return nil
	}
	return &l.so
}

// Accept waits for the next connection. What was set on the listener's socket
// before holds on it (see [Socket.Accept]).
//
// Errors: net.ErrClosed, os.ErrDeadlineExceeded.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP is Accept with the connection's own type. Errors: as Accept.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	if !l.valid() {
		return nil, errNil
	}
	if err := l.so.use(); err != nil {
		return nil, l.opErr("accept", err)
	}
	defer l.so.done()
	l.rd.mu.Lock()
	defer l.rd.mu.Unlock()
	c := &TCPConn{}
	var remote netip.AddrPort
	err := l.attempt(&l.rd, "accept", func() (err error) {
		remote, err = l.so.accept(&c.so)
		return err
	})
	if err != nil {
		return nil, l.opErr("accept", err)
	}
	c.opened(remote)
	return c, nil
}

// Close stops listening. Connections that nobody has accepted are reset;
// accepted ones live on. Accept returns net.ErrClosed, and so does a second
// Close. It may be called beside every other method.
func (l *TCPListener) Close() error {
	if !l.valid() {
		return errNil
	}
	return l.opErr("close", l.close(nil))
}

// Addr is the address listened on, a *net.TCPAddr. It is shared by all
// callers: do not modify it.
func (l *TCPListener) Addr() net.Addr {
	if !l.valid() {
		return nil
	}
	return addrOrNil(l.addr)
}

// SetDeadline sets the deadline of Accept; the zero time means none. Errors:
// net.ErrClosed after Close.
func (l *TCPListener) SetDeadline(t time.Time) error {
	if !l.valid() {
		return errNil
	}
	return l.opErr("set", l.setDeadline(t, &l.rd))
}

func (l *TCPListener) opErr(op string, err error) error {
	if err == nil {
		return nil
	}
	return opErr(op, "tcp", nil, l.Addr(), err)
}
