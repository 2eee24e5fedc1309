package proxy

import (
	"errors"
	"net"
	"sync/atomic"
)

// Descriptors bounds how many of a process's file descriptors the connections
// of all services together may hold, so that some are left for everything else
// that the process does. It is safe for concurrent use; nil bounds nothing.
//
// A connection of the kernel's is one, and another while it is dialled, for
// looking up a name. What services listen on does not count: that is as much as
// the configuration says.
type Descriptors struct {
	most int64
	used atomic.Int64
}

// NewDescriptors allows for most of them.
func NewDescriptors(most int) *Descriptors { return &Descriptors{most: int64(most)} }

// take takes n of them, or none if there are not so many left.
func (d *Descriptors) take(n int64) bool {
	if d == nil || d.used.Add(n) <= d.most {
		return true
	}
	d.give(n)
	return false
}

func (d *Descriptors) give(n int64) {
	if d != nil {
		d.used.Add(-n)
	}
}

// dialling is what a connection takes until it is there.
const dialling = 2

// hold is a connection that gives back the one that was taken for it when it is
// closed.
func (d *Descriptors) hold(c net.Conn) net.Conn {
	if d == nil {
		return c
	}
	switch c := c.(type) {
	case *net.TCPConn:
		return &heldTCP{TCPConn: c, hold: hold{d: d}}
	case *net.UDPConn:
		return &heldUDP{UDPConn: c, hold: hold{d: d}}
	}
	d.give(1) // not the kernel's
	return c
}

// holdPackets is hold for a UDP socket that is served from.
func (d *Descriptors) holdPackets(c packetConn) packetConn {
	if d == nil {
		return c
	}
	return &heldPackets{packetConn: c, hold: hold{d: d}}
}

var errDescriptors = errors.New("too many connections for the descriptors that this process may have (RLIMIT_NOFILE)")

// hold is one that was taken, until release.
type hold struct {
	d    *Descriptors
	over atomic.Bool
}

func (h *hold) release() {
	if !h.over.Swap(true) {
		h.d.give(1)
	}
}

type heldTCP struct {
	*net.TCPConn
	hold
}

// Close implements net.Conn.
func (c *heldTCP) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}

type heldUDP struct {
	*net.UDPConn
	hold
}

// Close implements net.Conn.
func (c *heldUDP) Close() error {
	defer c.release()
	return c.UDPConn.Close()
}

type heldPackets struct {
	packetConn
	hold
}

// Close implements net.PacketConn.
func (c *heldPackets) Close() error {
	defer c.release()
	return c.packetConn.Close()
}
