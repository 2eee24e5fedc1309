//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// ours is the target "tapstack": everything at its defaults, but for the
// congestion control, which is that of the kernel's sockets where we have it.
type ours struct {
	*stack.Stack
	about   tap.Description
	sockets string // how they are used; "" as everybody does
}

func openTapstack(o order) (network, error) {
	cfg := &tap.Config{Host: []netip.Prefix{peer4, peer6}}
	if o.NoSpin {
		cfg.Spin = -1
	}
	dev, err := tap.Open(cfg)
	if err != nil {
		return nil, err
	}
	s, err := stack.New(&stack.Config{TCP: stack.TCPConfig{CongestionControl: o.Congestion}})
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	if _, err := s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{sut4, sut6}}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return ours{s, tap.Describe(dev), o.Sockets}, nil
}

func (n ours) Listen(local netip.AddrPort) (net.Listener, error) {
	l, err := n.listenAs(local)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (n ours) DialUDP(local, remote netip.AddrPort) (net.Conn, error) {
	d := socketapi.Dialer{Stack: n.Stack, LocalAddr: net.UDPAddrFromAddrPort(local)}
	return d.Dial("udp", remote.String())
}

func (n ours) Describe() string {
	o := n.about.Offloads
	text := fmt.Sprintf("%s driver, %d queue(s), csum %v, TSO4 %v, TSO6 %v, USO %v, ECN %v",
		n.about.Driver, n.about.Queues, o.Csum, o.TSO4, o.TSO6, o.USO, o.ECN)
	if n.about.Note != "" {
		text += " (" + n.about.Note + ")"
	}
	return text
}
