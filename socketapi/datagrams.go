package socketapi

import (
	"net"
	"net/netip"
	"time"
)

// The methods that UDPConn and PingConn share, written out for each: promoted
// from the struct they embed, a nil connection would panic before they run.

// base is what the two share, nil for a nil connection.
func (c *UDPConn) base() *datagrams {
	if c == nil {
		return nil
	}
	return &c.datagrams
}

func (c *PingConn) base() *datagrams {
	if c == nil {
		return nil
	}
	return &c.datagrams
}

// Close ends the socket. Unread messages are dropped; calls that wait return
// net.ErrClosed, and so does a second Close. It may be called beside every
// other method.
func (c *UDPConn) Close() error { return c.base().Close() }

// LocalAddr is our end.
func (c *UDPConn) LocalAddr() net.Addr { return c.base().LocalAddr() }

// SetDeadline sets both deadlines; the zero time means none. It applies to
// calls under way too. Errors: net.ErrClosed after Close.
func (c *UDPConn) SetDeadline(t time.Time) error { return c.base().SetDeadline(t) }

// SetReadDeadline sets the deadline of reads. Errors: net.ErrClosed after
// Close.
func (c *UDPConn) SetReadDeadline(t time.Time) error { return c.base().SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes. Errors: net.ErrClosed after
// Close.
func (c *UDPConn) SetWriteDeadline(t time.Time) error { return c.base().SetWriteDeadline(t) }

// SetReadBuffer sets the size of the receive buffer to n payload bytes, within
// what the stack allows. What finds it full is lost. Errors: net.ErrClosed
// after Close.
func (c *UDPConn) SetReadBuffer(n int) error { return c.base().SetReadBuffer(n) }

// SetWriteBuffer sets what the stack lets a socket have on its way to the
// device. Errors: net.ErrClosed after Close.
func (c *UDPConn) SetWriteBuffer(n int) error { return c.base().SetWriteBuffer(n) }

// SetTTL sets the hops of what is sent: IPv4's TTL, IPv6's hop limit; -1 is the
// default. Errors: EINVAL outside of 1 to 255 (IPv6 has 0 too); net.ErrClosed.
func (c *UDPConn) SetTTL(hops int) error { return c.base().SetTTL(hops) }

// SetTOS sets IPv4's type of service, IPv6's traffic class. IPv4 takes the
// lower eight bits, IPv6 has -1 for 0. Errors: EINVAL for IPv6 outside of 0 to
// 255; net.ErrClosed.
func (c *UDPConn) SetTOS(tos int) error { return c.base().SetTOS(tos) }

// JoinGroup receives what is sent to a multicast group through a NIC, "" for
// the one that the routes choose. Errors: as [Socket.JoinGroup].
func (c *UDPConn) JoinGroup(group netip.Addr, nic string) error {
	return c.base().JoinGroup(group, nic)
}

// LeaveGroup undoes JoinGroup. Errors: EADDRNOTAVAIL for a group that was not
// joined; as JoinGroup.
func (c *UDPConn) LeaveGroup(group netip.Addr, nic string) error {
	return c.base().LeaveGroup(group, nic)
}

// SetMulticastInterface sends what goes to groups through one NIC; "" leaves the
// choice to the stack. Errors: as [Socket.SetMulticastInterface].
func (c *UDPConn) SetMulticastInterface(nic string) error { return c.base().SetMulticastInterface(nic) }

// SetMulticastTTL sets the hops of what goes to groups, 1 unless set. Errors:
// EINVAL outside of 0 to 255; net.ErrClosed.
func (c *UDPConn) SetMulticastTTL(hops int) error { return c.base().SetMulticastTTL(hops) }

// SetMulticastLoopback lets members of a group here receive what is sent to it
// from here, as they do unless this is switched off. Errors: net.ErrClosed
// after Close.
func (c *UDPConn) SetMulticastLoopback(on bool) error { return c.base().SetMulticastLoopback(on) }

// Close ends the socket. Unread messages are dropped; calls that wait return
// net.ErrClosed, and so does a second Close. It may be called beside every
// other method.
func (c *PingConn) Close() error { return c.base().Close() }

// LocalAddr is our end.
func (c *PingConn) LocalAddr() net.Addr { return c.base().LocalAddr() }

// SetDeadline sets both deadlines; the zero time means none. It applies to
// calls under way too. Errors: net.ErrClosed after Close.
func (c *PingConn) SetDeadline(t time.Time) error { return c.base().SetDeadline(t) }

// SetReadDeadline sets the deadline of reads. Errors: net.ErrClosed after
// Close.
func (c *PingConn) SetReadDeadline(t time.Time) error { return c.base().SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes. Errors: net.ErrClosed after
// Close.
func (c *PingConn) SetWriteDeadline(t time.Time) error { return c.base().SetWriteDeadline(t) }

// SetReadBuffer sets the size of the receive buffer to n payload bytes, within
// what the stack allows. What finds it full is lost. Errors: net.ErrClosed
// after Close.
func (c *PingConn) SetReadBuffer(n int) error { return c.base().SetReadBuffer(n) }

// SetWriteBuffer sets what the stack lets a socket have on its way to the
// device. Errors: net.ErrClosed after Close.
func (c *PingConn) SetWriteBuffer(n int) error { return c.base().SetWriteBuffer(n) }

// SetTTL sets the hops of what is sent: IPv4's TTL, IPv6's hop limit; -1 is the
// default. Errors: EINVAL outside of 1 to 255 (IPv6 has 0 too); net.ErrClosed.
func (c *PingConn) SetTTL(hops int) error { return c.base().SetTTL(hops) }

// SetTOS sets IPv4's type of service, IPv6's traffic class. IPv4 takes the
// lower eight bits, IPv6 has -1 for 0. Errors: EINVAL for IPv6 outside of 0 to
// 255; net.ErrClosed.
func (c *PingConn) SetTOS(tos int) error { return c.base().SetTOS(tos) }

// JoinGroup receives what is sent to a multicast group through a NIC, "" for
// the one that the routes choose. Errors: as [Socket.JoinGroup].
func (c *PingConn) JoinGroup(group netip.Addr, nic string) error {
	return c.base().JoinGroup(group, nic)
}

// LeaveGroup undoes JoinGroup. Errors: EADDRNOTAVAIL for a group that was not
// joined; as JoinGroup.
func (c *PingConn) LeaveGroup(group netip.Addr, nic string) error {
	return c.base().LeaveGroup(group, nic)
}

// SetMulticastInterface sends what goes to groups through one NIC; "" leaves the
// choice to the stack. Errors: as [Socket.SetMulticastInterface].
func (c *PingConn) SetMulticastInterface(nic string) error {
	return c.base().SetMulticastInterface(nic)
}

// SetMulticastTTL sets the hops of what goes to groups, 1 unless set. Errors:
// EINVAL outside of 0 to 255; net.ErrClosed.
func (c *PingConn) SetMulticastTTL(hops int) error { return c.base().SetMulticastTTL(hops) }

// SetMulticastLoopback lets members of a group here receive what is sent to it
// from here, as they do unless this is switched off. Errors: net.ErrClosed
// after Close.
func (c *PingConn) SetMulticastLoopback(on bool) error { return c.base().SetMulticastLoopback(on) }
