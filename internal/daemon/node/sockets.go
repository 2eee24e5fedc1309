package node

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
)

func hasErrno(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// Sockets calls each for the stack's sockets, which is done with one when it
// returns.
func (n *Node) Sockets(q *api.SocketQuery, each func(*api.Socket) error) error {
	states, err := statesOf(q.States)
	if err != nil {
		return err
	}
	if q.TCP || !q.UDP {
		for _, g := range socketapi.GlanceTCP(n.s) {
			if states != nil && !states[g.State] {
				continue
			}
			one := tcpSocket(g, detail{q.Memory, q.Info, q.Holdup})
			if err := each(&one); err != nil {
				return err
			}
		}
	}
	if q.UDP || !q.TCP {
		list := socketapi.UDPSockets(n.s)
		for i := range list {
			one := udpSocket(&list[i], q.Memory)
			if err := each(&one); err != nil {
				return err
			}
		}
	}
	return nil
}

// statesOf are the states by their names, nil for all.
func statesOf(names []string) (map[socketapi.State]bool, error) {
	if len(names) == 0 {
		return nil, nil
	}
	out := make(map[socketapi.State]bool)
	for _, name := range names {
		found := false
		for st := socketapi.Closed; st <= socketapi.TimeWait; st++ {
			if strings.EqualFold(st.String(), name) {
				out[st], found = true, true
			}
		}
		if !found {
			return nil, api.Errorf(http.StatusBadRequest, "there is no state %q", name)
		}
	}
	return out, nil
}

// detail is how much of a socket to tell.
type detail struct{ memory, info, holdup bool }

func tcpSocket(g *socketapi.Glance, d detail) api.Socket {
	out := api.Socket{
		Protocol: "tcp", State: g.State.String(), Local: endpoint(g.Local), Remote: remote(g.Remote),
		RecvQ: g.ReceiveQueued, SendQ: g.SendQueued,
	}
	if g.State == socketapi.Listening || d == (detail{}) {
		return out
	}
	in := g.Look()
	out.State, out.RecvQ, out.SendQ = in.State.String(), in.Receive.Queued, in.Send.Queued
	if d.memory {
		out.Send = &api.SendBuffer{
			Size: in.Send.Size, Queued: in.Send.Queued, Unsent: in.Send.Unsent, Free: in.Send.Free, Window: in.Send.Window,
		}
		out.Receive = &api.ReceiveBuffer{
			Size: in.Receive.Size, Queued: in.Receive.Queued, Free: in.Receive.Free, Window: in.Receive.Window,
		}
	}
	if d.info {
		out.Info = make(api.Fields, 0, 28)
		in.Info.Each(func(name string, v int64) { out.Info = append(out.Info, api.Field{Name: name, Value: v}) })
	}
	if d.holdup && in.Holdup != nil {
		out.Holdup = holdupOf(in.Holdup)
	}
	return out
}

func holdupOf(h *holdup.Report) *api.Holdup {
	share := func(l holdup.Limit) float64 { return float64(h.Time(l)) / float64(max(1, h.Watched)) }
	return &api.Holdup{
		Verdict: h.Verdict(), Seconds: h.Watched.Seconds(),
		Application: share(holdup.AppLimited), SendBuffer: share(holdup.SndbufLimited),
		Congestion: share(holdup.CwndLimited), PeerWindow: share(holdup.RwndLimited),
		Device: share(holdup.DeviceLimited), Other: share(holdup.OtherLimited),
	}
}

func udpSocket(in *socketapi.UDPSocketInfo, memory bool) api.Socket {
	out := api.Socket{Protocol: "udp", Local: endpoint(in.Local), Remote: remote(in.Remote), RecvQ: in.Receive.Next}
	if memory {
		out.Receive = &api.ReceiveBuffer{Size: in.Receive.Size, Queued: in.Receive.Next, Dropped: in.Receive.Dropped}
		out.Receive.Free = max(0, out.Receive.Size-out.Receive.Queued)
	}
	return out
}

// Endpoint is the address of a TCP or UDP socket as the API writes it, "" for
// any other.
func Endpoint(a net.Addr) string {
	ap, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return ""
	}
	at := ap.AddrPort()
	if at.Addr().IsUnspecified() {
		return endpoint(netip.AddrPortFrom(netip.Addr{}, at.Port()))
	}
	return endpoint(netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
}

// endpoint is an address as the API writes it: "*" is any of ours.
func endpoint(ap netip.AddrPort) string {
	if !ap.Addr().IsValid() {
		return "*:" + strconv.Itoa(int(ap.Port()))
	}
	return ap.String()
}

func remote(ap netip.AddrPort) string {
	if !ap.Addr().IsValid() || ap.Port() == 0 {
		return ""
	}
	return ap.String()
}
