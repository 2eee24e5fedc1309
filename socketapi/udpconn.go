package socketapi

import (
	"context"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// UDPConn is a UDP socket, connected (from a Dialer) or not (from ListenUDP).
// It implements net.Conn and net.PacketConn with the methods and the behaviour
// of net.UDPConn (but for File and SyscallConn: there is no descriptor).
type UDPConn struct{ datagrams }

var (
	_ net.Conn       = (*UDPConn)(nil)
	_ net.PacketConn = (*UDPConn)(nil)
)

// Socket is the socket underneath, for its options, for a Poller, and for calls
// that do not wait. Closing either closes both.
func (c *UDPConn) Socket() *Socket {
	if c == nil {
		return nil
	}
	return c.socket()
}

// ListenUDP opens a socket on a local UDP address of s, such as ":53" or
// "[fd00:77::2]:0". The network is "udp", "udp4" or "udp6". [ListenConfig] has
// more to choose from.
//
// Errors: EADDRINUSE, EADDRNOTAVAIL; *net.AddrError for an address that cannot
// be read.
func ListenUDP(s *stack.Stack, network, address string) (*UDPConn, error) {
	return (&ListenConfig{Stack: s}).ListenUDP(context.Background(), network, address)
}

// ListenMulticastUDP opens a socket that receives what is sent to a group and
// port, such as "239.1.2.3:5000", through a NIC of s, "" for the one that the
// routes choose. Other sockets may listen to the same group. As in package net
// nothing that this host sends to the group comes back, and what is sent to the
// port at other addresses of ours arrives too.
//
// Errors: EINVAL for an address that is no group's, ENODEV for a NIC there is
// not and when no route leads to the group; as [ListenUDP].
func ListenMulticastUDP(s *stack.Stack, network, nic, group string) (*UDPConn, error) {
	ap, err := netip.ParseAddrPort(group)
	if err != nil {
		return nil, opErr("listen", network, nil, nil, &net.AddrError{Err: "not an IP address and port", Addr: group})
	}
	join := func(_, _ string, so *Socket) error {
		err := so.SetOption(SO_REUSEADDR, 1)
		if err == nil {
			err = so.SetOption(IP_MULTICAST_LOOP, 0)
		}
		if err == nil {
			err = so.JoinGroup(ap.Addr(), nic)
		}
		return inCall("setsockopt", err)
	}
	_, f, err := kindOf(network)
	if err == nil && !f.takes(ap.Addr()) {
		err = &net.AddrError{Err: "no suitable address", Addr: group}
	}
	if err != nil {
		return nil, opErr("listen", network, nil, udpAddr(ap), err)
	}
	local := netip.IPv6Unspecified()
	if ap.Addr().Unmap().Is4() {
		local, f = netip.IPv4Unspecified(), onlyIPv4
	}
	c := &UDPConn{datagrams{network: "udp"}}
	lc := &ListenConfig{Stack: s, Control: join}
	if err := lc.openAt(&c.so, datagram, f, netip.AddrPortFrom(local, ap.Port())); err != nil {
		return nil, opErr("listen", network, nil, udpAddr(ap), err)
	}
	c.opened()
	return c, nil
}

// Read receives one datagram; what does not fit p is lost, but an empty p takes
// none. A connected socket
// reports ECONNREFUSED when nobody listens at the other end. Other errors:
// net.ErrClosed, os.ErrDeadlineExceeded.
func (c *UDPConn) Read(p []byte) (int, error) {
	if len(p) == 0 && c != nil && c.valid() {
		// Package net's way: no read(2), which would take a datagram.
		err := c.so.use()
		if err == nil {
			c.so.done()
		}
		return 0, c.opErr("read", nil, err)
	}
	n, _, err := c.ReadFromUDPAddrPort(p)
	return n, err
}

// ReadFrom is Read, with the sender as *net.UDPAddr. An empty p takes a
// datagram. Errors: as Read.
func (c *UDPConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(p)
	if err != nil {
		return 0, nil, err
	}
	return n, udpAddr(from), nil
}

// ReadFromUDP is ReadFrom with the sender's own type. An empty p takes a
// datagram. Errors: as Read.
func (c *UDPConn) ReadFromUDP(p []byte) (int, *net.UDPAddr, error) {
	n, from, err := c.ReadFromUDPAddrPort(p)
	if err != nil {
		return 0, nil, err
	}
	return n, udpAddr(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without an allocation. An empty p takes a
// datagram. Errors: as Read.
func (c *UDPConn) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	if c == nil {
		return 0, netip.AddrPort{}, errNil
	}
	return c.receive(p)
}

// ReadMsgUDPAddrPort is ReadFromUDPAddrPort with what came with the datagram:
// oob gets the control messages that an option asked for (IP_PKTINFO and so
// on), oobn bytes laid out as 64-bit little-endian Linux has them (cmsg(3)), and
// flags MSG_TRUNC (0x20) or MSG_CTRUNC (0x8) where p or oob was too short; the
// control message that oob has no room for is then cut off, as Linux does it. To
// read them as a struct use [UDPConn.ReadMessage]. Errors: as [UDPConn.Read].
func (c *UDPConn) ReadMsgUDPAddrPort(p, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error) {
	if c == nil {
		return 0, 0, 0, from, errNil
	}
	m := Message{Buffers: [][]byte{p}}
	n, err = c.receiveMsg(&m)
	if err != nil {
		return 0, 0, 0, from, err
	}
	oobn, fits := m.Control.put(oob, c.so.v6)
	if !fits {
		m.Flags |= msgCTrunc
	}
	return n, oobn, int(m.Flags), m.Addr, nil
}

// ReadMsgUDP is ReadMsgUDPAddrPort with the sender's type of package net.
// Errors: as [UDPConn.Read].
func (c *UDPConn) ReadMsgUDP(p, oob []byte) (n, oobn, flags int, from *net.UDPAddr, err error) {
	n, oobn, flags, ap, err := c.ReadMsgUDPAddrPort(p, oob)
	if err != nil {
		return n, oobn, flags, nil, err
	}
	return n, oobn, flags, udpAddr(ap), nil
}

// ReadMessage receives one datagram into m and returns its length, as far as
// m.Buffers hold it. The Message is the caller's again when it returns. Errors:
// as [UDPConn.Read].
func (c *UDPConn) ReadMessage(m *Message) (int, error) {
	if c == nil || m == nil {
		return 0, errNil
	}
	return c.receiveMsg(m)
}

// Write sends p as one datagram to the connected address. Errors:
// EDESTADDRREQ if there is none, EMSGSIZE beyond 65,507 bytes (65,527 over
// IPv6), ECONNREFUSED, EHOSTUNREACH, ENETUNREACH without a route or while the NIC
// is set down (stack.NIC.SetEnabled), net.ErrClosed, os.ErrDeadlineExceeded. That
// the other end of the link is down is no error, as on Linux: the datagram is
// lost, and counted by the stack.
func (c *UDPConn) Write(p []byte) (int, error) {
	if c == nil {
		return 0, errNil
	}
	return c.send(p, netip.AddrPort{})
}

// WriteTo sends p as one datagram to addr, usually a *net.UDPAddr.
// Errors: net.ErrWriteToConnected on a connected socket, *net.AddrError for an
// address that cannot be read and for an IPv6 one on a socket of IPv4 alone;
// ENETUNREACH for an IPv4 one on a socket of IPv6 alone; else as Write.
func (c *UDPConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	if c == nil {
		return 0, errNil
	}
	to, err := netAddrPort(addr)
	if c.remote.IsValid() {
		err = net.ErrWriteToConnected // whatever addr is
	}
	if err != nil {
		return 0, c.opErr("write", addr, err)
	}
	return c.send(p, to)
}

// WriteToUDP is WriteTo for a *net.UDPAddr. Errors: as WriteTo.
func (c *UDPConn) WriteToUDP(p []byte, addr *net.UDPAddr) (int, error) {
	if addr == nil {
		return c.WriteTo(p, nil)
	}
	return c.WriteTo(p, addr)
}

// WriteToUDPAddrPort is WriteTo without an allocation. *net.AddrError for an
// invalid address.
func (c *UDPConn) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if c == nil {
		return 0, errNil
	}
	switch {
	case to.IsValid():
	case c.remote.IsValid():
		return 0, c.opErr("write", nil, net.ErrWriteToConnected)
	default:
		return 0, c.opErr("write", nil, &net.AddrError{Err: "missing address", Addr: to.String()})
	}
	return c.send(p, to)
}

// WriteMsgUDPAddrPort sends p with the control messages in oob, which are laid
// out as ReadMsgUDPAddrPort does: IP_TTL, IPV6_HOPLIMIT, IP_TOS, IPV6_TCLASS,
// IP_PKTINFO and IPV6_PKTINFO. An invalid address is the connected one. Control
// messages of other levels than IP's, and what is left over and too short for
// one, are ignored, as on Linux.
//
// Errors: EINVAL for control messages that cannot be read or sent, and for an
// IPv6 source that is not ours (ENETUNREACH for an IPv4 one); EADDRNOTAVAIL for an
// IPv4 source that is ours but neither what the socket is bound to nor what the
// route would choose, which gVisor cannot do; as [UDPConn.WriteTo].
func (c *UDPConn) WriteMsgUDPAddrPort(p, oob []byte, to netip.AddrPort) (n, oobn int, err error) {
	if c == nil {
		return 0, 0, errNil
	}
	m := Message{Buffers: [][]byte{p}, Addr: to}
	if err := m.Control.parse(oob, c.so.v6); err != nil {
		return 0, 0, c.writeErr(to, inCall("sendmsg", err))
	}
	n, err = c.WriteMessage(&m)
	if err != nil {
		return 0, 0, err
	}
	return n, len(oob), nil
}

// WriteMsgUDP is WriteMsgUDPAddrPort with an address of package net. Errors: as
// WriteMsgUDPAddrPort.
func (c *UDPConn) WriteMsgUDP(p, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if c == nil {
		return 0, 0, errNil
	}
	var to netip.AddrPort
	if addr != nil {
		if to, err = netAddrPort(addr); err != nil {
			return 0, 0, c.opErr("write", addr, err)
		}
	}
	return c.WriteMsgUDPAddrPort(p, oob, to)
}

// WriteMessage sends m.Buffers as one datagram to m.Addr, invalid for the
// connected address. The Message is the caller's again when it returns. Errors:
// net.ErrWriteToConnected; as [Socket.SendMsg], and os.ErrDeadlineExceeded.
func (c *UDPConn) WriteMessage(m *Message) (int, error) {
	if c == nil || m == nil {
		return 0, errNil
	}
	return c.sendMsg(m.Addr, "sendmsg", func() (int, error) { return c.so.SendMsg(m, 0) })
}

// RemoteAddr is the connected address, nil without one.
func (c *UDPConn) RemoteAddr() net.Addr {
	if c == nil || !c.remote.IsValid() {
		return nil
	}
	return udpAddr(c.remote)
}

// ReceiveBuffer looks at the socket's receive buffer. Datagrams that find it
// full are lost; Dropped counts them.
func (c *UDPConn) ReceiveBuffer() UDPReceiveBuffer {
	if c == nil || !c.valid() {
		return UDPReceiveBuffer{}
	}
	return udpBuffer(c.so.ep)
}

func udpBuffer(ep tcpip.Endpoint) UDPReceiveBuffer {
	b := UDPReceiveBuffer{Size: int(ep.SocketOptions().GetReceiveBufferSize())}
	if st, ok := ep.Stats().(*tcpip.TransportEndpointStats); ok {
		b.Dropped = st.ReceiveErrors.ReceiveBufferOverflow.Value()
	}
	if n, err := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil {
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
