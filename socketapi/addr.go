package socketapi

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// Protocol numbers as gVisor wants them: EtherTypes, and IANA's list of
// transports (TCP's comes with its package).
const (
	ipv4   tcpip.NetworkProtocolNumber   = 0x0800
	ipv6   tcpip.NetworkProtocolNumber   = 0x86dd
	icmpv4 tcpip.TransportProtocolNumber = 1
	udp    tcpip.TransportProtocolNumber = 17
	icmpv6 tcpip.TransportProtocolNumber = 58
)

// family is what the 4 or 6 at the end of a network's name restricts it to.
type family uint8

const (
	anyFamily family = iota
	onlyIPv4
	onlyIPv6
)

// familyOf splits "tcp", "tcp4", "udp6" and so on; base is "tcp" or "udp".
func familyOf(network, base string) (family, error) {
	switch network {
	case base:
		return anyFamily, nil
	case base + "4":
		return onlyIPv4, nil
	case base + "6":
		return onlyIPv6, nil
	}
	return 0, net.UnknownNetworkError(network)
}

// takes reports whether an address can be used in the family.
func (f family) takes(a netip.Addr) bool {
	switch f {
	case onlyIPv4:
		return a.Is4() || a.Is4In6()
	case onlyIPv6:
		return a.Is6() && !a.Is4In6()
	default:
		return true
	}
}

// local is the family to open a socket in that binds or connects to a: without
// an address, both.
func (f family) local(a netip.Addr) family {
	if f == anyFamily && (a.Is4() || a.Is4In6()) {
		return onlyIPv4
	}
	return f
}

// fullAddress is ap for gVisor. A zone must name one of the stack's NICs.
func fullAddress(s *stack.Stack, ap netip.AddrPort) (tcpip.FullAddress, error) {
	a := ap.Addr().Unmap()
	fa := tcpip.FullAddress{Port: ap.Port()}
	if !a.IsValid() || a.IsUnspecified() {
		return fa, nil // any address of ours
	}
	fa.Addr = tcpip.AddrFromSlice(a.AsSlice())
	if zone := a.Zone(); zone != "" {
		for _, n := range s.NICs() {
			if n.Name() == zone {
				fa.NIC = n.ID()
				return fa, nil
			}
		}
		return fa, &net.AddrError{Err: "no such network interface", Addr: ap.String()}
	}
	return fa, nil
}

// addrPort is fa as the application sees it: IPv4 as IPv4, and link-local
// addresses with the NIC's name as their zone.
func addrPort(s *stack.Stack, fa tcpip.FullAddress) netip.AddrPort {
	a, ok := netip.AddrFromSlice(fa.Addr.AsSlice())
	if !ok {
		return netip.AddrPortFrom(netip.Addr{}, fa.Port)
	}
	a = a.Unmap()
	if a.IsLinkLocalUnicast() && a.Is6() && fa.NIC != 0 {
		for _, n := range s.NICs() {
			if n.ID() == fa.NIC {
				a = a.WithZone(n.Name())
			}
		}
	}
	return netip.AddrPortFrom(a, fa.Port)
}

// localAddrPort is fa, a socket's own address: any address prints as "[::]:80",
// or "0.0.0.0:80" for a socket of IPv4 alone, as in package net.
func (so *Socket) localAddrPort(fa tcpip.FullAddress) netip.AddrPort {
	ap := addrPort(so.stack, fa)
	if !ap.Addr().IsValid() {
		ap = netip.AddrPortFrom(so.anyAddr(), ap.Port())
	}
	return ap
}

// tcpAddr and udpAddr print an unspecified address as "[::]:80".
func tcpAddr(ap netip.AddrPort) *net.TCPAddr {
	if !ap.Addr().IsValid() {
		return &net.TCPAddr{IP: net.IPv6unspecified, Port: int(ap.Port())}
	}
	return net.TCPAddrFromAddrPort(ap)
}

func udpAddr(ap netip.AddrPort) *net.UDPAddr {
	if !ap.Addr().IsValid() {
		return &net.UDPAddr{IP: net.IPv6unspecified, Port: int(ap.Port())}
	}
	return net.UDPAddrFromAddrPort(ap)
}

// splitHostPort is net.SplitHostPort with a numeric port, or one of the names
// that this package knows without a services file.
func splitHostPort(address string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if p, ok := map[string]uint16{"": 0, "http": 80, "https": 443}[service]; ok {
		return host, p, nil
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: "invalid port", Addr: address}
	}
	return host, uint16(n), nil
}

// parseLocal reads an address to bind to, such as ":80" or "[fd00::2]:80".
func parseLocal(f family, address string) (netip.AddrPort, error) {
	if address == "" {
		return netip.AddrPort{}, nil
	}
	host, port, err := splitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var a netip.Addr
	if host != "" {
		if a, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, &net.AddrError{Err: "not an IP address", Addr: address}
		}
		if !f.takes(a) {
			return netip.AddrPort{}, &net.AddrError{Err: "no suitable address", Addr: address}
		}
		if f == anyFamily && a.Unmap().IsUnspecified() {
			a = netip.Addr{} // "0.0.0.0:80" is both families, as in package net
		}
	}
	return netip.AddrPortFrom(a, port), nil
}

// netAddrPort reads the net.Addr of a caller, whatever type it has.
func netAddrPort(addr net.Addr) (netip.AddrPort, error) {
	switch a := addr.(type) {
	case *net.UDPAddr:
		if a != nil && usable(a.IP, a.Port) {
			return a.AddrPort(), nil
		}
	case *net.TCPAddr:
		if a != nil && usable(a.IP, a.Port) {
			return a.AddrPort(), nil
		}
	case *net.IPAddr:
		if a != nil {
			ip, ok := netip.AddrFromSlice(a.IP)
			if ok {
				return netip.AddrPortFrom(ip.Unmap().WithZone(a.Zone), 0), nil
			}
		}
	case nil:
	default:
		if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
			return ap, nil
		}
	}
	return netip.AddrPort{}, &net.AddrError{Err: "missing or unusable address", Addr: fmt.Sprint(addr)}
}

// usable reports whether AddrPort says the same as an address of package net,
// which cuts off a port and forgets an IP of a wrong length.
func usable(ip net.IP, port int) bool {
	return (len(ip) == 0 || len(ip) == net.IPv4len || len(ip) == net.IPv6len) && port >= 0 && port <= math.MaxUint16
}

// needsNoRoute reports whether an address is a group's, or that of all on the
// link: the NIC is enough to send there.
func needsNoRoute(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// nicName is the name of a NIC of s, "" if it has gone.
func nicName(s *stack.Stack, id tcpip.NICID) string {
	for _, n := range s.NICs() {
		if n.ID() == id {
			return n.Name()
		}
	}
	return ""
}

// nicID is the NIC of s with a name.
func nicID(s *stack.Stack, name string) (tcpip.NICID, bool) {
	for _, n := range s.NICs() {
		if n.Name() == name {
			return n.ID(), true
		}
	}
	return 0, false
}
