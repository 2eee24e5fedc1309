package socketapi

import (
	"cmp"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

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
// every state, those that their program has closed included, and listeners.
// Each is looked at by itself, so the list is not of one instant.
func TCPSockets(s *stack.Stack) []SocketInfo {
	var out []SocketInfo
	for ep := range registered[*tcp.Endpoint](s) {
		out = append(out, socketInfo(s, ep))
	}
	slices.SortFunc(out, func(a, b SocketInfo) int {
		return cmp.Or(cmp.Compare(a.State, b.State), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return out
}

// registered are the endpoints of a kind, each once: one of both families is
// registered for each.
func registered[T comparable](s *stack.Stack) map[T]struct{} {
	seen := make(map[T]struct{})
	for _, te := range s.Netstack().RegisteredEndpoints() {
		if ep, ok := te.(T); ok {
			seen[ep] = struct{}{}
		}
	}
	return seen
}

func socketInfo(s *stack.Stack, ep *tcp.Endpoint) SocketInfo {
	st := engine.Read(ep)
	info := SocketInfo{State: stateOf(st.State), Info: infoOf(&st, s.Clock())}
	info.Local, info.Remote = addresses(s, ep)
	if info.State == Listening {
		info.Remote = netip.AddrPort{}
		return info
	}
	info.Send, info.Receive = buffersIn(&st, ep.SocketOptions())
	if a := engine.AccountOf(ep); a != nil {
		h := a.Holdup()
		info.Holdup = &h
	}
	return info
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
}

// UDPSockets lists the stack's UDP sockets, whoever made them.
func UDPSockets(s *stack.Stack) []UDPSocketInfo {
	var out []UDPSocketInfo
	for ep := range registered[tcpip.Endpoint](s) {
		if engine.Transport(ep) != udp {
			continue
		}
		info := UDPSocketInfo{Receive: udpBuffer(ep)}
		info.Local, info.Remote = addresses(s, ep)
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b UDPSocketInfo) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return out
}
