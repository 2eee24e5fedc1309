package stack

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// NIC is one device with its addresses and neighbours. Its methods are safe
// for concurrent use.
type NIC struct {
	s    *Stack
	id   tcpip.NICID
	link *link
}

// newNIC makes the NIC known to gVisor, configured but not yet reading. On an
// error gVisor has forgotten it again; the device is the caller's to close.
func newNIC(s *Stack, id tcpip.NICID, dev tap.Device, cfg *NICConfig) (_ *NIC, err error) {
	addr := tcpip.LinkAddress(cfg.HardwareAddr)
	if len(addr) == 0 {
		if addr, err = randomLinkAddress(s.ns.SecureRNG().Reader); err != nil {
			return nil, fmt.Errorf("choosing a hardware address: %w", err)
		}
	}
	n := &NIC{s: s, id: id}
	n.link = newLink(dev, addr, func(err error) { s.deviceFailed(dev, err) })
	n.link.clock = s.clock
	n.link.onMTU = s.mtuChanged
	// Disabled until its DAD and RA settings stand: enabling starts both.
	opts := netstack.NICOptions{Name: dev.Name(), Disabled: true, QDisc: noQueue{n.link}}
	if err := s.ns.CreateNICWithOptions(id, n.link, opts); err != nil {
		return nil, Errno(err)
	}
	defer func() {
		if err != nil {
			s.ns.RemoveNIC(id)
		}
	}()
	if err := n.configureIPv6(cfg); err != nil {
		return nil, err
	}
	if err := s.ns.EnableNIC(id); err != nil {
		return nil, Errno(err)
	}
	if dev.MTU() < tap.MinMTU6 {
		// Enabling gave the NIC a link-local address, on a link that may not
		// carry IPv6 at all.
		if ep, e := s.ns.GetNetworkEndpoint(id, ipv6.ProtocolNumber); e == nil {
			ep.Disable()
		}
	}
	for _, a := range cfg.Addresses {
		if err := n.AddAddress(a); err != nil {
			return nil, err
		}
	}
	for _, r := range cfg.Routes {
		if err := n.AddRoute(r); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// configureIPv6 sets what gVisor would otherwise do by itself.
func (n *NIC) configureIPv6(cfg *NICConfig) error {
	ep, err := n.s.ns.GetNetworkEndpoint(n.id, ipv6.ProtocolNumber)
	if err != nil {
		return Errno(err)
	}
	dad := netstack.DefaultDADConfigurations()
	dad.DupAddrDetectTransmits = cfg.DADProbes
	ep.(netstack.DuplicateAddressDetector).SetDADConfigurations(dad)

	ndp := ipv6.DefaultNDPConfigurations()
	if !cfg.AcceptRA {
		ndp.HandleRAs = ipv6.HandlingRAsDisabled
		ndp.MaxRtrSolicitations = 0
	}
	ep.(ipv6.NDPEndpoint).SetNDPConfigurations(ndp)
	return nil
}

// randomLinkAddress makes a locally administered unicast address
// (IEEE 802, 8.4).
func randomLinkAddress(r io.Reader) (tcpip.LinkAddress, error) {
	var b [6]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return "", err
	}
	b[0] = b[0]&^1 | 2
	return tcpip.LinkAddress(b[:]), nil
}

// Name is the device's name.
func (n *NIC) Name() string { return n.link.dev.Name() }

// ID is gVisor's number of the NIC, for use with Stack.Netstack.
func (n *NIC) ID() tcpip.NICID { return n.id }

// MTU is the IP MTU in bytes.
func (n *NIC) MTU() int { return int(n.link.MTU()) }

// Up reports whether the operating system's end of the link is up. A pipe is
// always up.
func (n *NIC) Up() bool { return n.link.up.Load() }

// HardwareAddr is the stack's MAC on this network. The slice is the caller's.
func (n *NIC) HardwareAddr() net.HardwareAddr { return net.HardwareAddr(n.link.LinkAddress()) }

// Addresses are the NIC's addresses with their prefixes, link-local included.
func (n *NIC) Addresses() []netip.Prefix {
	var out []netip.Prefix
	for _, pa := range n.s.ns.NICInfo()[n.id].ProtocolAddresses {
		if a, ok := netip.AddrFromSlice(pa.AddressWithPrefix.Address.AsSlice()); ok {
			out = append(out, netip.PrefixFrom(a, pa.AddressWithPrefix.PrefixLen))
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// AddAddress gives the NIC an address and the route to its prefix. EEXIST if
// this or another NIC of the stack has it.
func (n *NIC) AddAddress(p netip.Prefix) error {
	if err := checkAddress(p, n.MTU()); err != nil {
		return err
	}
	pa := tcpip.ProtocolAddress{
		Protocol: protocolOf(p.Addr()),
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   tcpip.AddrFromSlice(p.Addr().AsSlice()),
			PrefixLen: p.Bits(),
		},
	}
	// gVisor refuses it on the same NIC only.
	if n.s.ns.CheckLocalAddress(0, pa.Protocol, pa.AddressWithPrefix.Address) != 0 {
		return fmt.Errorf("address %v: %w", p, syscall.EEXIST)
	}
	if err := n.s.ns.AddProtocolAddress(n.id, pa, netstack.AddressProperties{}); err != nil {
		return fmt.Errorf("address %v: %w", p, Errno(err))
	}
	onLink := tcpip.Route{Destination: pa.AddressWithPrefix.Subnet(), NIC: n.id}
	known := func(r tcpip.Route) bool {
		return r.NIC == n.id && r.Destination.Equal(onLink.Destination) && r.Gateway == onLink.Gateway
	}
	// gVisor would keep one for every address in the prefix.
	if !slices.ContainsFunc(n.s.ns.GetRouteTable(), known) {
		n.s.ns.AddRoute(onLink)
	}
	return nil
}

// AddRoute sends what matches r.Dst to r.Via over this NIC.
func (n *NIC) AddRoute(r Route) error {
	dst := r.Dst.Masked()
	if !dst.IsValid() || !r.Via.IsValid() || dst.Addr().Is4() != r.Via.Is4() {
		return fmt.Errorf("route to %v via %v: want a prefix and a neighbour of one family", r.Dst, r.Via)
	}
	n.s.ns.AddRoute(tcpip.Route{
		Destination: tcpip.AddressWithPrefix{
			Address:   tcpip.AddrFromSlice(dst.Addr().AsSlice()),
			PrefixLen: dst.Bits(),
		}.Subnet(),
		Gateway: tcpip.AddrFromSlice(r.Via.AsSlice()),
		NIC:     n.id,
	})
	return nil
}

// Neighbour is one entry of the neighbour table: ARP for IPv4, NDP for IPv6.
type Neighbour struct {
	Addr         netip.Addr
	HardwareAddr net.HardwareAddr // nil while unresolved
	State        string           // Incomplete, Reachable, Stale, ... (RFC 4861, 7.3.2)
}

// Neighbours are the neighbours the NIC knows, sorted by address.
func (n *NIC) Neighbours() []Neighbour {
	var out []Neighbour
	for _, proto := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		entries, err := n.s.ns.Neighbors(n.id, proto)
		if err != nil {
			continue // the NIC is gone: it has none
		}
		for _, e := range entries {
			if a, ok := netip.AddrFromSlice(e.Addr.AsSlice()); ok {
				out = append(out, Neighbour{a, net.HardwareAddr(e.LinkAddr), e.State.String()})
			}
		}
	}
	slices.SortFunc(out, func(a, b Neighbour) int { return a.Addr.Compare(b.Addr) })
	return out
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}
