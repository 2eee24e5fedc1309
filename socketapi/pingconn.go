package socketapi

import (
	"net"
	"net/netip"

	"tapstack/stack"
)

// PingConn sends ICMP echo requests and receives the replies to them, like
// Linux's ping sockets (icmp(7), SOCK_DGRAM). A message is a whole ICMP
// message, header included; the stack sets the identifier and the checksum.
type PingConn struct{ datagrams }

var _ net.PacketConn = (*PingConn)(nil)

// Socket is the socket underneath, for its options, for a Poller, and for calls
// that do not wait. Closing either closes both.
func (c *PingConn) Socket() *Socket {
	if c == nil {
		return nil
	}
	return c.socket()
}

// ListenPing opens a ping socket on a local address of s, "" for any. The
// network is "ping4" or "ping6".
//
// Errors: EADDRNOTAVAIL; *net.AddrError for an address that cannot be read.
func ListenPing(s *stack.Stack, network, address string) (*PingConn, error) {
	c, err := listenPing(s, network, address)
	if err != nil {
		return nil, opErr("listen", network, nil, nil, err)
	}
	return c, nil
}

func listenPing(s *stack.Stack, network, address string) (*PingConn, error) {
	k, f, err := kindOf(network)
	if err == nil && k != ping {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, err
	}
	var local netip.AddrPort
	if address != "" {
		a, err := netip.ParseAddr(address)
		if err != nil || !f.takes(a) {
			return nil, &net.AddrError{Err: "no suitable address", Addr: address}
		}
		local = netip.AddrPortFrom(a, 0)
	}
	c := &PingConn{datagrams{network: "ping"}}
	if err := c.so.open(s, ping, f); err != nil {
		return nil, inCall("socket", err)
	}
	if err := c.so.Bind(local); err != nil {
		_ = c.so.Close()
		return nil, inCall("bind", err)
	}
	c.opened()
	return c, nil
}

// echoHeader is the length of an echo request's header.
const echoHeader = 8

// echoRequest is its type.
func echoRequest(v6 bool) byte {
	if v6 {
		return 128
	}
	return 8
}

// Echo makes an echo request for a ping socket of the given family; seq tells
// its reply from others.
func Echo(v6 bool, seq uint16, payload []byte) []byte {
	// Both families have the same layout: type, code, checksum, identifier,
	// sequence number (RFC 792, RFC 4443 4.1); only the type differs.
	b := make([]byte, echoHeader, echoHeader+len(payload))
	b[0] = echoRequest(v6)
	b[6], b[7] = byte(seq>>8), byte(seq)
	return append(b, payload...)
}

// ReadFrom receives one echo reply; addr is a *net.IPAddr. What does not fit p
// is lost. Errors: net.ErrClosed, os.ErrDeadlineExceeded.
func (c *PingConn) ReadFrom(p []byte) (int, net.Addr, error) {
	if c == nil {
		return 0, nil, errNil
	}
	n, from, err := c.receive(p)
	if err != nil {
		return 0, nil, err
	}
	return n, c.netAddr(from), nil
}

// WriteTo sends p, an echo request, to addr: a *net.IPAddr, or any address
// whose port is then ignored. It waits for room in the send buffer.
//
// Errors: *net.AddrError for an address that cannot be read, and for an IPv6 one
// on a socket of IPv4; EINVAL for what is no echo request; EMSGSIZE, EHOSTUNREACH,
// ENETUNREACH; net.ErrClosed, os.ErrDeadlineExceeded.
func (c *PingConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	if c == nil {
		return 0, errNil
	}
	to, err := netAddrPort(addr)
	if err != nil {
		return 0, c.opErr("write", addr, err)
	}
	return c.send(p, to)
}
