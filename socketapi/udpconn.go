package socketapi

import (
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// UDPConn is a UDP socket, connected (from a Dialer) or not (from ListenUDP).
// It implements net.Conn and net.PacketConn with the behaviour of net.UDPConn.
type UDPConn struct{ datagrams }

var (
	_ net.Conn       = (*UDPConn)(nil)
	_ net.PacketConn = (*UDPConn)(nil)
)

// ListenUDP opens a socket on a local UDP address of s, such as ":53" or
// "[fd00:77::2]:0". The network is "udp", "udp4" or "udp6".
//
// Errors: EADDRINUSE, EADDRNOTAVAIL; *net.AddrError for an address that cannot
// be read.
func ListenUDP(s *stack.Stack, network, address string) (*UDPConn, error) {
	f, err := familyOf(network, "udp")
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	ap, err := parseLocal(f, address)
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	c, err := openUDP(s, f, ap, ap.Addr())
	if err != nil {
		return nil, opErr("listen", network, nil, udpAddr(ap), err)
	}
	return c, nil
}

// openUDP makes a bound socket in the family that example belongs to.
func openUDP(s *stack.Stack, f family, local netip.AddrPort, example netip.Addr) (*UDPConn, error) {
	fa, err := fullAddress(s, local)
	if err != nil {
		return nil, err
	}
	proto, v6only := f.local(example)
	ep, q, err := newEndpoint(s, udp, proto)
	if err != nil {
		return nil, err
	}
	o := ep.SocketOptions()
	o.SetV6Only(v6only)
	o.SetBroadcast(true) // as package net does
	if err := ep.Bind(fa); err != nil {
		ep.Close()
		return nil, sysErr("bind", err)
	}
	c := &UDPConn{datagrams{network: "udp"}}
	c.init(s, ep, q)
	c.findLocal()
	return c, nil
}

// findLocal remembers the address the stack has chosen.
func (c *datagrams) findLocal() {
	if a, err := c.ep.GetLocalAddress(); err == nil {
		c.local = addrPort(c.stack, a)
	}
}

// dialUDP makes a connected socket: it receives from remote alone, and hears
// that nobody listens there.
func dialUDP(s *stack.Stack, f family, local, remote netip.AddrPort) (*UDPConn, error) {
	to, err := fullAddress(s, remote)
	if err != nil {
		return nil, err
	}
	c, err := openUDP(s, f, local, remote.Addr())
	if err != nil {
		return nil, err
	}
	if err := c.ep.Connect(to); err != nil {
		_ = c.Close()
		return nil, sysErr("connect", err)
	}
	c.findLocal()
	c.remote = remote
	return c, nil
}

// Read receives one datagram; what does not fit p is lost. A connected socket
// reports ECONNREFUSED when nobody listens at the other end. Other errors:
// net.ErrClosed, os.ErrDeadlineExceeded.
func (c *UDPConn) Read(p []byte) (int, error) {
	n, _, err := c.receive(p)
	return n, err
}

// ReadFrom is Read, with the sender as *net.UDPAddr.
func (c *UDPConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.receive(p)
	if err != nil {
		return 0, nil, err
	}
	return n, udpAddr(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without an allocation.
func (c *UDPConn) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	return c.receive(p)
}

// Write sends p as one datagram to the connected address. Errors:
// EDESTADDRREQ if there is none, EMSGSIZE beyond 65,507 bytes (65,527 over
// IPv6), ECONNREFUSED, EHOSTUNREACH, net.ErrClosed, os.ErrDeadlineExceeded.
func (c *UDPConn) Write(p []byte) (int, error) { return c.send(p, netip.AddrPort{}) }

// WriteTo sends p as one datagram to addr, usually a *net.UDPAddr.
// net.ErrWriteToConnected on a connected socket; else as Write.
func (c *UDPConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, err := netAddrPort(addr)
	if err != nil {
		return 0, c.opErr("write", addr, err)
	}
	return c.send(p, to)
}

// WriteToUDPAddrPort is WriteTo without an allocation.
func (c *UDPConn) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if !to.IsValid() {
		return 0, c.opErr("write", nil, errInvalid("sendto"))
	}
	return c.send(p, to)
}

// RemoteAddr is the connected address, nil without one.
func (c *UDPConn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return nil
	}
	return udpAddr(c.remote)
}

// ReceiveBuffer looks at the socket's receive buffer. Datagrams that find it
// full are lost; Dropped counts them.
func (c *UDPConn) ReceiveBuffer() UDPReceiveBuffer {
	b := UDPReceiveBuffer{Size: int(c.ep.SocketOptions().GetReceiveBufferSize())}
	if st, ok := c.ep.Stats().(*tcpip.TransportEndpointStats); ok {
		b.Dropped = st.ReceiveErrors.ReceiveBufferOverflow.Value()
	}
	if n, err := c.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil {
		b.Next = n
	}
	return b
}

// UDPReceiveBuffer is one instant of a UDP socket's receive buffer.
type UDPReceiveBuffer struct {
	Size    int    // capacity in payload bytes
	Next    int    // length of the datagram that the next read returns, 0 if there is none
	Dropped uint64 // datagrams lost because the buffer was full
}
