//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
)

// network is where the system under test takes its sockets from: all that the
// three targets differ in. The server (sut.go) is written once, over this.
type network interface {
	// Listen for TCP on one of our addresses.
	Listen(local netip.AddrPort) (net.Listener, error)
	// DialUDP makes a UDP socket connected to remote.
	DialUDP(local, remote netip.AddrPort) (net.Conn, error)
	// Describe says in a line what the network is.
	Describe() string
	io.Closer
}

// targets in the order in which they are measured. The last only forwards.
var targets = []string{"tapstack", "kernel", "plain", slirpName}

// openNetwork opens the target of that name in the process's namespace.
func openNetwork(o order) (network, error) {
	switch o.Target {
	case "tapstack":
		return openTapstack(o)
	case "kernel":
		return kernel{}, nil
	case "plain":
		return openNaive()
	}
	return nil, fmt.Errorf("no target %q", o.Target)
}

// The two ends of the link, TAP or veth.
var (
	peer4, peer6 = netip.MustParsePrefix("192.168.77.1/24"), netip.MustParsePrefix("fd00:77::1/64")
	sut4, sut6   = netip.MustParsePrefix("192.168.77.2/24"), netip.MustParsePrefix("fd00:77::2/64")
)

// Ports of the system under test.
const (
	echoPort    = 7
	discardPort = 9
	chargenPort = 19
	httpPort    = 80
	holdPort    = 81   // accepts and keeps
	visitPort   = 82   // a byte each way, and the first of visitPorts
	turnPort    = 90   // and the next two: see turnWays
	udpPort     = 5000 // both sides
)

// visitPorts spread short connections: one port of ours has 64 thousand ports
// of the peer's, each of which spends a minute in TIME-WAIT.
const visitPorts = 8

// sutAddr is where the server listens.
func sutAddr(port int, v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(sut6.Addr(), uint16(port))
	}
	return netip.AddrPortFrom(sut4.Addr(), uint16(port))
}

// ioSize is what one Read or Write of a bulk flow may move, as with iperf3.
const ioSize = 128 << 10

// Sizes of messages, in bytes.
const (
	pingSize     = 64
	datagramSize = 64
	pageSize     = 1 << 10
)
