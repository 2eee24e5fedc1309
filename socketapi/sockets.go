package socketapi

import (
	"cmp"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/socketapi/holdup"
	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
)

// SocketInfo is one TCP socket of a stack, as ss(8) would list it.
type SocketInfo struct {
	State         State
	Local, Remote netip.AddrPort // an invalid address is any address of ours
	Send          SendBuffer     // zero for a listener; without its marks and AutotuneMax, which the Socket keeps
	Receive       ReceiveBuffer  // the same
	Info          Info           // tcp_info

	// Holdup is what has held the connection up, nil for one that keeps no
	// account (see [Socket.SetAccounting]).
	Holdup *holdup.Report
}

// TCPSockets lists the stack's TCP sockets, whoever made them: connections in
// every state, those that their program has closed included, and listeners, by
// state and addresses. Each is looked at by itself, so the list is not of one
// instant. For many of which little is wanted, see [GlanceTCP].
func TCPSockets(s *stack.Stack) []SocketInfo {
	list := GlanceTCP(s)
	out := make([]SocketInfo, len(list))
	for i, g := range list {
		out[i] = g.Look()
	}
	return out
}

// addresses are both ends, as far as there are any.
func addresses(s *stack.Stack, ep tcpip.Endpoint) (local, remote netip.AddrPort) {
	if a, err := ep.GetLocalAddress(); err == nil {
		local = addrPort(s, a)
	}
	if a, err := ep.GetRemoteAddress(); err == nil {
		remote = addrPort(s, a)
	}
	return local, remote
}

// UDPSocketInfo is one UDP socket of a stack.
type UDPSocketInfo struct {
	Local, Remote netip.AddrPort // an invalid address is any address of ours; no Remote unless connected
	Receive       UDPReceiveBuffer
	Traffic       Traffic // in datagrams; zero but in a Census

	ep tcpip.Endpoint
}

// UDPSockets lists the stack's UDP sockets, whoever made them, by addresses.
func UDPSockets(s *stack.Stack) []UDPSocketInfo {
	_, others := registered(s)
	return udpSockets(s, others)
}

func udpSockets(s *stack.Stack, eps []tcpip.Endpoint) []UDPSocketInfo {
	var out []UDPSocketInfo
	seen := make(map[tcpip.Endpoint]struct{})
	for _, ep := range eps {
		if _, again := seen[ep]; again || engine.Transport(ep) != udp {
			continue
		}
		seen[ep] = struct{}{}
		info := UDPSocketInfo{Receive: udpBuffer(ep), ep: ep}
		info.Local, info.Remote = addresses(s, ep)
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b UDPSocketInfo) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return out
}
