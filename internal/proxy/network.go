package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"tapstack/socketapi"
	"tapstack/stack"
)

// Network is one side of a service: where it listens, or where it dials.
// [Kernel] and [Stack] make the two there are; any four functions with the
// contract of package net will do. A side that only listens needs no dial
// function, and the other way round.
//
// Connections need CloseWrite and Abort or SetLinger, to carry half-closes and
// resets; packet connections need the methods for netip.AddrPort that
// *net.UDPConn and *socketapi.UDPConn have.
type Network struct {
	DialContext  func(ctx context.Context, network, address string) (net.Conn, error)
	Listen       func(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)

	// LookupNetIP finds the addresses of names in UDP datagrams of SOCKS5;
	// DialContext looks up its own. nil: literal addresses only.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

	// Descriptors bounds this network's connections, those of other services
	// that have the same one included. It is for the kernel's: a stack's are
	// no descriptors. nil: no bound.
	Descriptors *Descriptors
}

// Kernel is the network of the host's own kernel.
func Kernel() Network {
	var d net.Dialer
	var lc net.ListenConfig
	return Network{
		DialContext:  d.DialContext,
		Listen:       lc.Listen,
		ListenPacket: lc.ListenPacket,
		LookupNetIP:  net.DefaultResolver.LookupNetIP,
	}
}

// Stack is the network that s is on. Names are looked up with r, which has to
// ask in that network; nil: literal addresses only. s stays the caller's, who
// shuts the services down before it closes s.
func Stack(s *stack.Stack, r socketapi.Resolver) Network {
	d := socketapi.Dialer{Stack: s, Resolver: r}
	lc := socketapi.ListenConfig{Stack: s}
	n := Network{
		DialContext:  d.DialContext,
		Listen:       lc.Listen,
		ListenPacket: lc.ListenPacket,
	}
	if r != nil {
		n.LookupNetIP = r.LookupNetIP
	}
	return n
}

// packetConn is what both kinds of UDP socket have: receiving and sending
// without an allocation.
type packetConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error)
}

func (n *Network) packets(ctx context.Context, address string) (packetConn, error) {
	if n.ListenPacket == nil {
		return nil, errNoListen
	}
	c, err := n.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	pc, ok := c.(packetConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("%T is no UDP socket that can be served from", c)
	}
	return pc, nil
}

// counted is packets for a socket that a client has us open.
func (n *Network) counted(ctx context.Context, address string) (packetConn, error) {
	if !n.Descriptors.take(1) {
		return nil, refuse(CauseExhausted, errDescriptors)
	}
	c, err := n.packets(ctx, address)
	if err != nil {
		n.Descriptors.give(1)
		return nil, err
	}
	return n.Descriptors.holdPackets(c), nil
}

var (
	errNoListen = errors.New("this network does not listen")
	errNoDial   = errors.New("this network does not dial")
)

// halfCloser ends one direction, as both kinds of TCP connection do.
type halfCloser interface{ CloseWrite() error }

// closeWrite sends a FIN, as far as c can.
func closeWrite(c net.Conn) error {
	if hc, ok := c.(halfCloser); ok {
		return hc.CloseWrite()
	}
	return nil
}

// reset closes c so that its peer gets a RST, as far as c can.
func reset(c net.Conn) {
	switch c := c.(type) {
	case interface{ Abort() error }:
		_ = c.Abort() // net.ErrClosed if it was closed before
		return
	case interface{ SetLinger(sec int) error }:
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}

// addrPort is the address and port of a, invalid for an address without them.
// An IPv4 address mapped into IPv6 is the IPv4 address.
func addrPort(a net.Addr) netip.AddrPort {
	ap, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	return unmap(ap.AddrPort())
}

func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
