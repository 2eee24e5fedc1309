package socketapi

import (
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/stack"
)

// Bind gives the socket a local address, like bind(2). A zero address is any
// address of the socket's family, port 0 one that the stack chooses.
//
// Errors: EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT for an address of the other
// family, EINVAL for a socket that is bound already, ENODEV for an unknown
// zone.
func (so *Socket) Bind(local netip.AddrPort) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	fa, err := so.address(local)
	if err == syscall.ENETUNREACH { //nolint:errorlint // bare, from address
		err = syscall.EINVAL // bind(2)'s word for it
	}
	if err != nil {
		return err
	}
	return so.errno(so.ep.Bind(fa))
}

// Listen makes the socket accept connections, like listen(2). backlog bounds
// the handshakes under way, beyond which SYN cookies do without SACK and window
// scale; as on Linux, one connection more than that may wait for Accept. 0 and
// less is 1, and more than Linux's somaxconn is somaxconn. On a socket that
// listens already it changes the backlog.
//
// Errors: EADDRINUSE if somebody else listens there, as on Linux also when
// SO_REUSEADDR let both bind; EOPNOTSUPP for UDP and ping sockets; EINVAL for a
// connected socket.
func (so *Socket) Listen(backlog int) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	ep := so.tcp()
	if ep == nil {
		return syscall.EOPNOTSUPP
	}
	again := ep.EndpointState() == tcp.StateListen
	if !again && ep.EndpointState() == tcp.StateInitial {
		// Linux binds to a port of its choice.
		if err := so.ep.Bind(tcpip.FullAddress{}); err != nil {
			return so.errno(err)
		}
	}
	// gVisor wants the queue's length, of which it leaves the handshakes one less
	// (Endpoint.handleListenSegment).
	if err := so.ep.Listen(min(max(backlog, 1), somaxconn) + 1); err != nil {
		return so.errno(err)
	}
	// Last, so that of two that listen at the same time at least one sees the
	// other.
	if !again && !so.ep.SocketOptions().GetReusePort() && overlaps(so.stack, ep) {
		// The way back from LISTEN that gVisor has.
		_ = so.ep.Shutdown(tcpip.ShutdownRead)
		return syscall.EADDRINUSE
	}
	return nil
}

// somaxconn is Linux's default (net.core.somaxconn).
const somaxconn = 4096

// Accept takes a connection that waits, like accept4(2). What was set on the
// listener before holds on it: the sizes of both buffers, low-water marks, and
// every option that Linux hands down (tcp(7), ip(7)).
//
// Errors: EAGAIN if none waits, EINVAL if the socket does not listen.
func (so *Socket) Accept() (*Socket, netip.AddrPort, error) {
	child := &Socket{}
	remote, err := so.accept(child)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return child, remote, nil
}

// accept fills child with a connection that waits.
func (so *Socket) accept(child *Socket) (netip.AddrPort, error) {
	if err := so.use(); err != nil {
		return netip.AddrPort{}, err
	}
	defer so.done()
	if so.kind != stream {
		return netip.AddrPort{}, syscall.EOPNOTSUPP
	}
	var remote tcpip.FullAddress
	ep, q, terr := so.ep.Accept(&remote)
	if terr != nil {
		return netip.AddrPort{}, so.errno(terr)
	}
	child.own(so.stack, ep, q, stream, so.v6)
	so.bequeath(child)
	return addrPort(so.stack, remote), nil
}

// Connect connects, like connect(2) of a non-blocking socket. For TCP it
// returns EINPROGRESS; the outcome is there when the socket is writable, and
// SO_ERROR or the next Connect tells it. UDP and ping sockets only remember
// remote; the zero address makes them forget it.
//
// Errors: EINPROGRESS, EALREADY, EISCONN; ECONNREFUSED, ETIMEDOUT,
// EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL; EAFNOSUPPORT.
func (so *Socket) Connect(remote netip.AddrPort) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	if !remote.Addr().IsValid() {
		if so.kind == stream {
			return syscall.EAFNOSUPPORT
		}
		return so.errno(so.ep.Disconnect())
	}
	fa, err := so.address(remote)
	if err != nil {
		return err
	}
	if fa.Addr.BitLen() == 0 && so.kind == stream {
		// Linux connects to loopback, which a stack of TAPs does not have.
		return syscall.ENETUNREACH
	}
	if ep := so.tcp(); ep != nil && ep.EndpointState() == tcp.StateListen {
		return syscall.EISCONN
	}
	if so.kind == stream && (remote.Addr().Unmap().IsMulticast() || so.isBroadcast(fa)) {
		// RFC 9293, MUST-46: gVisor would send SYNs to all.
		return syscall.ENETUNREACH
	}
	if so.kind != stream && fa.NIC == 0 && needsNoRoute(remote.Addr()) {
		fa.NIC = so.ifOfGroups(fa)
	}
	err = so.errno(so.ep.Connect(fa))
	if err == nil {
		so.startKeepAlive()
	}
	return err
}

// isBroadcast reports whether fa is the broadcast address of a network that we
// are on.
func (so *Socket) isBroadcast(fa tcpip.FullAddress) bool {
	if fa.Addr.BitLen() != 32 {
		return false
	}
	r, err := so.stack.Netstack().FindRoute(fa.NIC, tcpip.Address{}, fa.Addr, ipv4, false)
	if err != nil {
		return false
	}
	defer r.Release()
	return r.IsOutboundBroadcast()
}

// address is ap for gVisor, if the socket's family has it.
func (so *Socket) address(ap netip.AddrPort) (tcpip.FullAddress, error) {
	if a := ap.Addr(); a.IsValid() {
		is4 := a.Is4() || a.Is4In6()
		v6only := so.v6 && so.ep.SocketOptions().GetV6Only()
		switch {
		case !is4 && !so.v6:
			return tcpip.FullAddress{}, syscall.EAFNOSUPPORT
		case is4 && v6only:
			return tcpip.FullAddress{}, syscall.ENETUNREACH
		}
	}
	fa, err := fullAddress(so.stack, ap)
	if err != nil {
		return fa, syscall.ENODEV
	}
	if so.v6 && ap.Addr().Is4() && fa.Addr.BitLen() == 0 {
		// 0.0.0.0 in a dual-stack socket is IPv4 alone.
		fa.Addr = tcpip.AddrFrom16(netip.AddrFrom4([4]byte{}).As16())
	}
	return fa, nil
}

// How says which directions Shutdown ends.
type How uint8

// The directions, by shutdown(2)'s names.
const (
	ShutRD   How = 1 + iota // no more reading
	ShutWR                  // a FIN behind what was written
	ShutRDWR                // both
)

// Shutdown ends one direction or both, like shutdown(2). The peer hears of
// ShutWR alone: reading what is there goes on after it.
//
// Errors: ENOTCONN, EINVAL for another how.
func (so *Socket) Shutdown(how How) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	flags, ok := map[How]tcpip.ShutdownFlags{
		ShutRD: tcpip.ShutdownRead, ShutWR: tcpip.ShutdownWrite, ShutRDWR: tcpip.ShutdownRead | tcpip.ShutdownWrite,
	}[how]
	if !ok {
		return syscall.EINVAL
	}
	if err := so.ep.Shutdown(flags); err != nil {
		return so.errno(err)
	}
	if so.kind != stream {
		so.shut.Or(uint32(flags))
	}
	return nil
}

// Getsockname is the local address, like getsockname(2): unspecified parts are
// zero addresses of the socket's family. Errors: net.ErrClosed.
func (so *Socket) Getsockname() (netip.AddrPort, error) {
	if err := so.use(); err != nil {
		return netip.AddrPort{}, err
	}
	defer so.done()
	fa, err := so.ep.GetLocalAddress()
	if err != nil {
		return netip.AddrPort{}, so.errno(err)
	}
	return so.localAddrPort(fa), nil
}

func (so *Socket) anyAddr() netip.Addr {
	if so.v6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// Getpeername is the address connected to, like getpeername(2). ENOTCONN
// without one.
func (so *Socket) Getpeername() (netip.AddrPort, error) {
	if err := so.use(); err != nil {
		return netip.AddrPort{}, err
	}
	defer so.done()
	if ep := so.tcp(); ep != nil && ep.EndpointState() == tcp.StateTimeWait {
		return netip.AddrPort{}, syscall.ENOTCONN
	}
	fa, err := so.ep.GetRemoteAddress()
	if err != nil {
		return netip.AddrPort{}, so.errno(err)
	}
	return addrPort(so.stack, fa), nil
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
