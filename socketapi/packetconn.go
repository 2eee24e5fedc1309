package socketapi

import (
	"net"
	"net/netip"
	"time"
)

// datagrams is what UDP and ping sockets share: every read and write is one
// message.
type datagrams struct {
	waiting
	network       string         // "udp" or "ping"
	local, remote netip.AddrPort // remote is zero unless connected
}

// opened begins to use a socket that is bound, and connected if it ever will
// be.
func (c *datagrams) opened() {
	c.register()
	if a, err := c.so.ep.GetLocalAddress(); err == nil {
		c.local = c.so.localAddrPort(a)
	}
}

func (c *datagrams) valid() bool { return c != nil && c.so.ep != nil }

func (c *datagrams) socket() *Socket {
	if !c.valid() {
		return nil
	}
	return &c.so
}

func (c *datagrams) opErr(op string, to net.Addr, err error) error {
	if err == nil {
		return nil
	}
	if to == nil && c.remote.IsValid() {
		to = c.netAddr(c.remote)
	}
	return opErr(op, c.network, c.LocalAddr(), to, err)
}

// netAddr is ap in the type of the network.
func (c *datagrams) netAddr(ap netip.AddrPort) net.Addr {
	if c.network == "ping" {
		return &net.IPAddr{IP: ap.Addr().AsSlice(), Zone: ap.Addr().Zone()}
	}
	return udpAddr(ap)
}

// receive waits for one message and copies its start to p.
func (c *datagrams) receive(p []byte) (n int, from netip.AddrPort, err error) {
	if !c.valid() {
		return 0, from, errNil
	}
	if err := c.so.use(); err != nil {
		return 0, from, c.opErr("read", nil, err)
	}
	defer c.so.done()
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	err = c.attempt(&c.rd, "recvfrom", func() error {
		res, got, err := c.so.recvDatagram(p, nil, 0)
		if err == nil {
			n, from = got, addrPort(c.so.stack, res.RemoteAddr)
		}
		return err
	})
	return n, from, c.opErr("read", nil, err)
}

// receiveMsg waits for one message and fills m.
func (c *datagrams) receiveMsg(m *Message) (n int, err error) {
	if !c.valid() {
		return 0, errNil
	}
	if err := c.so.use(); err != nil {
		return 0, c.opErr("read", nil, err)
	}
	defer c.so.done()
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	err = c.attempt(&c.rd, "recvmsg", func() (err error) {
		n, err = c.so.RecvMsg(m, 0)
		return err
	})
	return n, c.opErr("read", nil, err)
}

// send passes one message on, to the connected address if to is not valid.
func (c *datagrams) send(p []byte, to netip.AddrPort) (int, error) {
	return c.sendMsg(to, "sendto", func() (int, error) { return c.so.SendTo(p, 0, to) })
}

// sendMsg waits until try has sent a message to an address.
func (c *datagrams) sendMsg(to netip.AddrPort, call string, try func() (int, error)) (n int, err error) {
	if !c.valid() {
		return 0, errNil
	}
	if err := c.refuses(to); err != nil {
		return 0, c.writeErr(to, err)
	}
	if err := c.so.use(); err != nil {
		return 0, c.writeErr(to, err)
	}
	defer c.so.done()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	err = c.attempt(&c.wr, call, func() (err error) {
		n, err = try()
		return err
	})
	if err != nil {
		return 0, c.writeErr(to, err)
	}
	return n, nil
}

// refuses is what package net says of an address before it looks at the socket.
func (c *datagrams) refuses(to netip.AddrPort) error {
	if to.IsValid() && c.remote.IsValid() {
		return net.ErrWriteToConnected
	}
	if a := to.Addr(); a.Is6() && !a.Is4In6() && !c.so.v6 {
		return &net.AddrError{Err: "non-IPv4 address", Addr: a.String()}
	}
	return nil
}

// writeErr wraps the error of a message to an address.
func (c *datagrams) writeErr(to netip.AddrPort, err error) error {
	if !to.IsValid() {
		return c.opErr("write", nil, err)
	}
	return c.opErr("write", c.netAddr(to), err)
}

// Close ends the socket. Unread messages are dropped; calls that wait return
// net.ErrClosed, and so does a second Close.
func (c *datagrams) Close() error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("close", nil, c.close(nil))
}

// LocalAddr is our end.
func (c *datagrams) LocalAddr() net.Addr {
	if !c.valid() {
		return nil
	}
	return c.netAddr(c.local)
}

// SetDeadline sets both deadlines; the zero time means none. It applies to
// calls under way too.
func (c *datagrams) SetDeadline(t time.Time) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, c.setDeadline(t, &c.rd, &c.wr))
}

// SetReadDeadline sets the deadline of reads.
func (c *datagrams) SetReadDeadline(t time.Time) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, c.setDeadline(t, &c.rd))
}

// SetWriteDeadline sets the deadline of writes.
func (c *datagrams) SetWriteDeadline(t time.Time) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, c.setDeadline(t, &c.wr))
}

func (c *datagrams) set(settings ...setting) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, c.waiting.set(settings...))
}

// SetReadBuffer sets the size of the receive buffer to n payload bytes, within
// what the stack allows. What finds it full is lost.
func (c *datagrams) SetReadBuffer(n int) error { return c.set(setting{option: SO_RCVBUF, value: n}) }

// SetWriteBuffer sets what the stack lets a socket have on its way to the
// device.
func (c *datagrams) SetWriteBuffer(n int) error { return c.set(setting{option: SO_SNDBUF, value: n}) }

// SetTTL sets the hops of what is sent: IPv4's TTL, IPv6's hop limit.
func (c *datagrams) SetTTL(hops int) error {
	if !c.valid() {
		return errNil
	}
	return c.set(c.so.perFamily(IP_TTL, IPV6_UNICAST_HOPS, hops)...)
}

// SetTOS sets IPv4's type of service, IPv6's traffic class.
func (c *datagrams) SetTOS(tos int) error {
	if !c.valid() {
		return errNil
	}
	return c.set(c.so.perFamily(IP_TOS, IPV6_TCLASS, tos)...)
}

// JoinGroup receives what is sent to a multicast group through a NIC, "" for
// the one that the routes choose. Errors: as [Socket.JoinGroup].
func (c *datagrams) JoinGroup(group netip.Addr, nic string) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, inCall("setsockopt", c.so.JoinGroup(group, nic)))
}

// LeaveGroup undoes JoinGroup.
func (c *datagrams) LeaveGroup(group netip.Addr, nic string) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, inCall("setsockopt", c.so.LeaveGroup(group, nic)))
}

// SetMulticastInterface sends what goes to groups through one NIC; "" leaves the
// choice to the stack. Errors: as [Socket.SetMulticastInterface].
func (c *datagrams) SetMulticastInterface(nic string) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", nil, inCall("setsockopt", c.so.SetMulticastInterface(nic)))
}

// SetMulticastTTL sets the hops of what goes to groups, 1 unless set.
func (c *datagrams) SetMulticastTTL(hops int) error {
	return c.set(setting{option: IP_MULTICAST_TTL, value: hops})
}

// SetMulticastLoopback lets members of a group here receive what is sent to it
// from here, as they do unless this is switched off.
func (c *datagrams) SetMulticastLoopback(on bool) error {
	return c.set(setting{option: IP_MULTICAST_LOOP, value: b2i(on)})
}
