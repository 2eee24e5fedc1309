package socketapi

import (
	"cmp"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/stack"
)

// SocketInfo is one TCP socket of a stack, as ss(8) would list it.
type SocketInfo struct {
	State         State
	Local, Remote netip.AddrPort // an invalid address is any address of ours
	Send          SendBuffer     // zero for a listener
	Receive       ReceiveBuffer  // zero for a listener
}

// TCPSockets lists the stack's TCP sockets, whoever made them: connections in
// every state, those that their program has closed included, and listeners.
// Each is looked at by itself, so the list is not of one instant.
func TCPSockets(s *stack.Stack) []SocketInfo {
	var out []SocketInfo
	// A dual-stack listener is registered once per family.
	seen := make(map[*tcp.Endpoint]bool)
	for _, te := range s.Netstack().RegisteredEndpoints() {
		ep, ok := te.(*tcp.Endpoint)
		if !ok || seen[ep] {
			continue
		}
		seen[ep] = true
		out = append(out, socketInfo(s, ep))
	}
	slices.SortFunc(out, func(a, b SocketInfo) int {
		return cmp.Or(cmp.Compare(a.State, b.State), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return out
}

func socketInfo(s *stack.Stack, ep *tcp.Endpoint) SocketInfo {
	info := SocketInfo{State: stateOf(ep.EndpointState())}
	if a, err := ep.GetLocalAddress(); err == nil {
		info.Local = addrPort(s, a)
	}
	if info.State == Listening {
		return info
	}
	if a, err := ep.GetRemoteAddress(); err == nil {
		info.Remote = addrPort(s, a)
	}
	info.Send, info.Receive = buffersOf(ep)
	return info
}
