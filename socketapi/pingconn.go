package socketapi

import (
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// PingConn sends ICMP echo requests and receives the replies to them, like
// Linux's ping sockets (icmp(7), SOCK_DGRAM). A message is a whole ICMP
// message, header included; the stack sets the identifier and the checksum.
type PingConn struct{ datagrams }

var _ net.PacketConn = (*PingConn)(nil)

// ListenPing opens a ping socket on a local address of s, "" for any. The
// network is "ping4" or "ping6".
func ListenPing(s *stack.Stack, network, address string) (*PingConn, error) {
	var (
		proto     tcpip.NetworkProtocolNumber
		transport tcpip.TransportProtocolNumber
	)
	switch network {
	case "ping4":
		proto, transport = ipv4, icmpv4
	case "ping6":
		proto, transport = ipv6, icmpv6
	default:
		return nil, opErr("listen", network, nil, nil, net.UnknownNetworkError(network))
	}
	var local netip.AddrPort
	if address != "" {
		a, err := netip.ParseAddr(address)
		if err != nil || a.Is4() != (proto == ipv4) {
			return nil, opErr("listen", network, nil, nil, &net.AddrError{Err: "no suitable address", Addr: address})
		}
		local = netip.AddrPortFrom(a, 0)
	}
	fa, err := fullAddress(s, local)
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	ep, q, err := newEndpoint(s, transport, proto)
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	if err := ep.Bind(fa); err != nil {
		ep.Close()
		return nil, opErr("listen", network, nil, nil, sysErr("bind", err))
	}
	c := &PingConn{datagrams{network: "ping"}}
	c.init(s, ep, q)
	c.findLocal()
	return c, nil
}

// Echo makes an echo request for a ping socket of the given family; seq tells
// its reply from others.
func Echo(v6 bool, seq uint16, payload []byte) []byte {
	// Both families have the same layout: type, code, checksum, identifier,
	// sequence number (RFC 792, RFC 4443 4.1); only the type differs.
	b := make([]byte, 8, 8+len(payload))
	b[0] = 8
	if v6 {
		b[0] = 128
	}
	b[6], b[7] = byte(seq>>8), byte(seq)
	return append(b, payload...)
}

// ReadFrom receives one echo reply; addr is a *net.IPAddr.
func (c *PingConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.receive(p)
	if err != nil {
		return 0, nil, err
	}
	return n, c.netAddr(from), nil
}

// WriteTo sends p, an echo request, to addr: a *net.IPAddr, or any address
// whose port is then ignored.
func (c *PingConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, err := netAddrPort(addr)
	if err != nil {
		return 0, c.opErr("write", addr, err)
	}
	return c.send(p, to)
}
