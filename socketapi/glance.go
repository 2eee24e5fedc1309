package socketapi

import (
	"cmp"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
)

// Glance is one TCP socket of a stack in a few numbers: what it takes to choose
// among ten thousand of them those to look at.
type Glance struct {
	State         State
	Local, Remote netip.AddrPort // an invalid address is any address of ours

	// In payload bytes, 0 for a listener: what [SendBuffer] and
	// [ReceiveBuffer] call Queued and Unsent.
	SendQueued, Unsent, ReceiveQueued int

	Traffic Traffic // in payload bytes; zero but in a Census

	s        *stack.Stack
	ep       *tcp.Endpoint
	una, nxt uint32 // SND.UNA and RCV.NXT, without a FIN
	sync     bool   // these two mean something
}

// GlanceTCP lists the stack's TCP sockets as [TCPSockets] does, at a third of
// its price. The elements share their memory.
func GlanceTCP(s *stack.Stack) []*Glance {
	streams, _ := registered(s)
	return glances(s, streams)
}

// registered are the stack's endpoints, TCP's and others. One of both families
// is there for each.
func registered(s *stack.Stack) (streams []*tcp.Endpoint, others []tcpip.Endpoint) {
	if s == nil {
		return nil, nil
	}
	all := s.Netstack().RegisteredEndpoints()
	streams = make([]*tcp.Endpoint, 0, len(all))
	for _, te := range all {
		if ep, ok := te.(*tcp.Endpoint); ok {
			streams = append(streams, ep)
		} else if ep, ok := te.(tcpip.Endpoint); ok {
			others = append(others, ep)
		}
	}
	return streams, others
}

func glances(s *stack.Stack, eps []*tcp.Endpoint) []*Glance {
	all := make([]Glance, 0, len(eps))
	seen := make(map[*tcp.Endpoint]struct{})
	for _, ep := range eps {
		g := glance(s, ep)
		if g.Remote.Port() == 0 {
			// A connection is of one family.
			if _, again := seen[ep]; again {
				continue
			}
			seen[ep] = struct{}{}
		}
		all = append(all, g)
	}
	out := make([]*Glance, len(all))
	for i := range all {
		out[i] = &all[i]
	}
	slices.SortFunc(out, compareGlances)
	return out
}

func compareGlances(a, b *Glance) int {
	if c := cmp.Compare(a.State, b.State); c != 0 {
		return c
	}
	if c := a.Local.Compare(b.Local); c != 0 {
		return c
	}
	return a.Remote.Compare(b.Remote)
}

func glance(s *stack.Stack, ep *tcp.Endpoint) Glance {
	st := engine.Read(ep)
	g := Glance{s: s, ep: ep, State: stateOf(st.State)}
	g.Local, g.Remote = addresses(s, ep)
	if g.State == Listening {
		g.Remote = netip.AddrPort{}
		return g
	}
	g.SendQueued, g.Unsent, g.ReceiveQueued = st.Snd.Queued, st.Snd.Unsent, st.Rcv.Queued
	g.una, g.nxt, g.sync = st.Snd.Una, st.Rcv.Nxt, st.Synchronized
	if st.Snd.FinAcked {
		g.una--
	}
	if st.Rcv.Fin {
		g.nxt--
	}
	return g
}

// Look is everything about the socket, now.
func (g *Glance) Look() SocketInfo {
	st := engine.Read(g.ep)
	info := SocketInfo{
		State: stateOf(st.State), Local: g.Local, Remote: g.Remote,
		Info: infoOf(&st, g.s.Clock()),
	}
	if info.State == Listening {
		return info
	}
	info.Send, info.Receive = buffersIn(&st, g.ep.SocketOptions())
	if a := engine.AccountOf(g.ep); a != nil {
		h := a.Holdup()
		info.Holdup = &h
	}
	return info
}
