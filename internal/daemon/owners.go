package daemon

import (
	"net"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/node"
	"tapstack/internal/proxy"
	"tapstack/socketapi"
)

// Sockets implements control.Backend: those of the stack, with whose each is if
// that was asked for.
func (h *instance) Sockets(q *api.SocketQuery, each func(*api.Socket) error) error {
	if !q.Service {
		return h.Node.Sockets(q, each)
	}
	owners := make(owners)
	h.services.own(owners)
	h.proxies.own(owners)
	return h.Node.Sockets(q, func(s *api.Socket) error {
		s.Service = owners[owned{s.Protocol, s.Local, s.Remote}]
		return each(s)
	})
}

// owned is a socket of the stack as the API has it; no two are the same but for
// those that share a port.
type owned struct{ network, local, remote string }

// owners are whose sockets are, by name.
type owners map[owned]string

// add enters a socket of the stack; all others it leaves out.
func (o owners) add(name string, s proxy.Socket) {
	switch c := s.(type) {
	case *socketapi.TCPConn:
		o.put(name, "tcp", c.LocalAddr(), c.RemoteAddr())
	case *socketapi.UDPConn:
		o.put(name, "udp", c.LocalAddr(), c.RemoteAddr())
	}
}

func (o owners) put(name, network string, local, remote net.Addr) {
	at := owned{network: network, local: node.Endpoint(local)}
	if remote != nil {
		at.remote = node.Endpoint(remote)
	}
	o[at] = name
}

// own enters the services' sockets.
func (s *Services) own(o owners) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.open {
		o.put(one.Name, one.Addr.Network(), one.Addr, nil)
	}
	for c := range s.conns {
		o.add(c.name, c.TCPConn)
	}
}

// own enters the sockets of forwards and proxies.
func (p *proxies) own(o owners) {
	for _, r := range p.all() {
		if r.side == onStack {
			o.put(r.section, r.svc.Addr().Network(), r.svc.Addr(), nil)
		}
		r.svc.Sockets(func(s proxy.Socket) { o.add(r.section, s) })
	}
}
