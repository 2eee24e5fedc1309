package stack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/tap"
)

// What can change while the stack runs. Connections that use what is taken
// away are not reset: like Linux's, they stall until it is back or time is up.

// SetTCP puts TCP settings in force, for sockets that are made from now on;
// zero fields take their defaults. With an error, which names the setting,
// nothing has changed.
func (s *Stack) SetTCP(c TCPConfig) error {
	c, err := c.withDefaults()
	if err != nil {
		return fmt.Errorf("TCP settings: %w", err)
	}
	return s.setTCP(c)
}

// NIC finds a NIC by its name; ok is false if there is none.
func (s *Stack) NIC(name string) (n *NIC, ok bool) {
	for _, n := range s.NICs() {
		if n.Name() == name {
			return n, true
		}
	}
	return nil, false
}

// RouteEntry is one route of a stack's table.
type RouteEntry struct {
	Dst netip.Prefix
	Via netip.Addr // invalid for a prefix that is on-link
	NIC string
}

// Routes are the stack's routes, in the order in which they are tried: the
// longest prefix first.
func (s *Stack) Routes() []RouteEntry {
	var out []RouteEntry
	for _, r := range s.ns.GetRouteTable() {
		id := r.Destination.ID()
		a, ok := netip.AddrFromSlice(id.AsSlice())
		if !ok {
			continue
		}
		e := RouteEntry{Dst: netip.PrefixFrom(a, r.Destination.Prefix()), NIC: s.ns.FindNICNameFromID(r.NIC)}
		e.Via, _ = netip.AddrFromSlice(r.Gateway.AsSlice())
		out = append(out, e)
	}
	return out
}

// RemoveAddress takes an address away, and the route to its prefix unless
// another address of the NIC is in it. EADDRNOTAVAIL if the NIC does not have
// it with this prefix.
func (n *NIC) RemoveAddress(p netip.Prefix) error {
	left := n.Addresses()
	i := slices.Index(left, p)
	if i < 0 {
		return fmt.Errorf("address %v: %w", p, syscall.EADDRNOTAVAIL)
	}
	if err := n.s.ns.RemoveAddress(n.id, tcpip.AddrFromSlice(p.Addr().AsSlice())); err != nil {
		return fmt.Errorf("address %v: %w", p, Errno(err))
	}
	left = slices.Delete(left, i, i+1)
	onLink := p.Masked()
	if slices.ContainsFunc(left, func(q netip.Prefix) bool { return q.Masked() == onLink }) {
		return nil // it needs the route
	}
	n.removeRoutes(Route{Dst: onLink})
	return nil
}

// RemoveRoute takes a route away; an invalid Via is the one to an on-link
// prefix. ESRCH if the NIC does not have it.
func (n *NIC) RemoveRoute(r Route) error {
	if !r.Dst.IsValid() {
		return errors.New("route: invalid prefix")
	}
	if n.removeRoutes(r) == 0 {
		return fmt.Errorf("route to %v: %w", r.Dst, syscall.ESRCH)
	}
	return nil
}

func (n *NIC) removeRoutes(r Route) int {
	dst := subnet(r.Dst)
	var via tcpip.Address
	if r.Via.IsValid() {
		via = tcpip.AddrFromSlice(r.Via.AsSlice())
	}
	return n.s.ns.RemoveRoutes(func(have tcpip.Route) bool {
		return have.NIC == n.id && have.Destination.Equal(dst) && have.Gateway == via
	})
}

// subnet is p as gVisor has it.
func subnet(p netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{
		Address:   tcpip.AddrFromSlice(p.Masked().Addr().AsSlice()),
		PrefixLen: p.Bits(),
	}.Subnet()
}

// AddNeighbour makes an entry of the neighbour table that stays as it is until
// it is removed or the NIC is set down, replacing what was learnt.
func (n *NIC) AddNeighbour(a netip.Addr, mac net.HardwareAddr) error {
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "":
		return fmt.Errorf("neighbour %v: want a unicast address without zone", a)
	case len(mac) != 6 || mac[0]&1 != 0:
		return fmt.Errorf("neighbour %v: hardware address %v: want six bytes, not a group address", a, mac)
	}
	err := n.s.ns.AddStaticNeighbor(n.id, protocolOf(a), tcpip.AddrFromSlice(a.AsSlice()), tcpip.LinkAddress(mac))
	if err != nil {
		return fmt.Errorf("neighbour %v: %w", a, Errno(err))
	}
	return nil
}

// RemoveNeighbour forgets a neighbour, learnt or not. ESRCH if there is none.
func (n *NIC) RemoveNeighbour(a netip.Addr) error {
	known := slices.ContainsFunc(n.Neighbours(), func(e Neighbour) bool { return e.Addr == a })
	if !known {
		return fmt.Errorf("neighbour %v: %w", a, syscall.ESRCH)
	}
	err := n.s.ns.RemoveNeighbor(n.id, protocolOf(a), tcpip.AddrFromSlice(a.AsSlice()))
	if err != nil {
		return fmt.Errorf("neighbour %v: %w", a, Errno(err))
	}
	return nil
}

// Enabled reports whether the stack's end of the link is up; Up is the other
// end.
func (n *NIC) Enabled() bool { return n.s.ns.CheckNIC(n.id) }

// SetEnabled sets the stack's end of the link up or down. Down, nothing is
// received or sent, and the neighbours are forgotten; addresses, routes and
// connections stay.
func (n *NIC) SetEnabled(on bool) error {
	set := n.s.ns.DisableNIC
	if on {
		set = n.s.ns.EnableNIC
	}
	if err := set(n.id); err != nil {
		return fmt.Errorf("nic %s: %w", n.Name(), Errno(err))
	}
	return nil
}

// SetMTU lowers the IP MTU of the stack's end, in bytes, or raises it again as
// far as the device's. New connections take their MSS from it. It holds until
// the device reports a change of its own.
func (n *NIC) SetMTU(mtu int) error {
	least, why := tap.MinMTU, ""
	if ip6 := func(p netip.Prefix) bool { return p.Addr().Is6() }; slices.ContainsFunc(n.Addresses(), ip6) {
		least, why = header.IPv6MinimumMTU, " with IPv6 addresses"
	}
	if most := n.link.dev.MTU(); mtu < least || mtu > most {
		return fmt.Errorf("nic %s: MTU %d: want %d to %d, the device's%s: %w", n.Name(), mtu, least, most, why, syscall.EINVAL)
	}
	if err := n.s.ns.SetNICMTU(n.id, uint32(mtu)); err != nil {
		return fmt.Errorf("nic %s: %w", n.Name(), Errno(err))
	}
	n.s.mtuChanged()
	return nil
}
