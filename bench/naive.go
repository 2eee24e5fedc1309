//go:build linux

package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// naive is the target "plain": what one gets by putting the parts together as
// their examples do. A TAP from package water, gVisor's fdbased link endpoint
// on its file, gVisor's gonet for the sockets, and every default left alone.
type naive struct {
	*netstack.Stack
	tap *water.Interface // has a finalizer that would close the file under the link
}

const naiveNIC tcpip.NICID = 1

func openNaive() (network, error) {
	iface, err := water.New(water.Config{DeviceType: water.TAP})
	if err != nil {
		return nil, err
	}
	mtu, err := configureTAP(iface.Name())
	if err != nil {
		return nil, err
	}
	link, err := fdbased.New(&fdbased.Options{
		FDs:            []int{int(iface.ReadWriteCloser.(*os.File).Fd())},
		MTU:            mtu,
		EthernetHeader: true,
		Address:        randomMAC(),
	})
	if err != nil {
		return nil, err
	}
	s := netstack.New(netstack.Options{
		NetworkProtocols:   []netstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []netstack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := s.CreateNIC(naiveNIC, link); err != nil {
		return nil, fmt.Errorf("create the NIC: %s", err)
	}
	for _, p := range []netip.Prefix{sut4, sut6} {
		addr := tcpip.ProtocolAddress{
			Protocol: protocolOf(p.Addr()),
			AddressWithPrefix: tcpip.AddressWithPrefix{
				Address:   tcpip.AddrFromSlice(p.Addr().AsSlice()),
				PrefixLen: p.Bits(),
			},
		}
		if err := s.AddProtocolAddress(naiveNIC, addr, netstack.AddressProperties{}); err != nil {
			return nil, fmt.Errorf("add %v: %s", p, err)
		}
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: naiveNIC},
		{Destination: header.IPv6EmptySubnet, NIC: naiveNIC},
	})
	return naive{s, iface}, nil
}

// configureTAP sets up the kernel's end and returns its MTU.
func configureTAP(name string) (uint32, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return uint32(link.Attrs().MTU), bringUp(link, peer4, peer6)
}

// randomMAC is a locally administered address.
func randomMAC() tcpip.LinkAddress {
	mac := make([]byte, 6)
	_, _ = rand.Read(mac) // never fails
	mac[0] = mac[0]&^1 | 2
	return tcpip.LinkAddress(mac)
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: naiveNIC, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

func (n naive) Listen(local netip.AddrPort) (net.Listener, error) {
	return gonet.ListenTCP(n.Stack, fullAddress(local), protocolOf(local.Addr()))
}

func (n naive) DialUDP(local, remote netip.AddrPort) (net.Conn, error) {
	l, r := fullAddress(local), fullAddress(remote)
	return gonet.DialUDP(n.Stack, &l, &r, protocolOf(local.Addr()))
}

func (naive) Describe() string {
	return "water, gVisor's link/fdbased and gonet at their defaults: no offloads"
}

func (n naive) Close() error { return n.tap.Close() }
