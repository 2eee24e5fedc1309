package daemon

import (
	"slices"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/metrics"
	"tapstack/internal/proxy"
)

// Services implements control.Backend.
func (h *instance) Services() []api.Service {
	return append(h.services.list(), h.proxies.list()...)
}

// Stats implements control.Backend: the stack's counters, and those of services
// summed up by name.
func (h *instance) Stats() api.Stats {
	st := h.Node.Stats()
	sums := make(map[string]*serviceSum)
	var order []string
	for _, s := range h.Services() {
		name := s.Name
		if s.Kind == "forward" {
			name = "forward." + name
		}
		sum := sums[name]
		if sum == nil {
			sum = &serviceSum{}
			sums[name] = sum
			order = append(order, name)
		}
		sum.add(&s)
	}
	for _, name := range order {
		for _, c := range sums[name].counters() {
			c.Name += "." + name
			st.Counters = append(st.Counters, c)
		}
	}
	return st
}

// serviceSum is what nstat shows of a service.
type serviceSum struct {
	opened, active, refused, in, out, datagramsIn, datagramsOut, dropped uint64
}

func (c *serviceSum) add(s *api.Service) {
	c.opened += s.Opened
	c.active += uint64(max(0, s.Active))
	for _, n := range s.Refused {
		c.refused += n
	}
	c.in += s.BytesIn
	c.out += s.BytesOut
	c.datagramsIn += s.DatagramsIn
	c.datagramsOut += s.DatagramsOut
	c.dropped += s.Dropped
}

func (c *serviceSum) counters() []api.Counter {
	return []api.Counter{
		{Name: "ServiceOpens", Value: c.opened},
		{Name: "ServiceCurrOpen", Value: c.active, Gauge: true},
		{Name: "ServiceRefused", Value: c.refused},
		{Name: "ServiceInBytes", Value: c.in},
		{Name: "ServiceOutBytes", Value: c.out},
		{Name: "ServiceInDatagrams", Value: c.datagramsIn},
		{Name: "ServiceOutDatagrams", Value: c.datagramsOut},
		{Name: "ServiceDatagramDrops", Value: c.dropped},
	}
}

// list are the services, one for each socket that listens. What both networks
// of a service have done is with its TCP, but for datagrams.
func (s *Services) list() []api.Service {
	out := []api.Service{}
	for _, a := range s.Addrs() {
		n := s.countsOf(a.Name)
		one := api.Service{Kind: "service", Name: a.Name, Network: a.Addr.Network(), Side: string(onStack), Address: a.Addr.String()}
		if one.Network == "udp" {
			one.BytesIn, one.BytesOut = n.udpIn.Load(), n.udpOut.Load()
			one.DatagramsIn, one.DatagramsOut, one.Dropped = n.datagramsIn.Load(), n.datagramsOut.Load(), n.dropped.Load()
		} else {
			over := n.over.Load() // before opened: what is over was opened before
			one.Opened = n.opened.Load()
			one.Active = int(one.Opened - over)
			one.BytesIn, one.BytesOut = n.received.Load(), n.sent.Load()
		}
		out = append(out, one)
	}
	return out
}

// list are forwards and proxies, in the order in which they were started, then
// those that are retired.
func (p *proxies) list() []api.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []api.Service
	for i, r := range slices.Concat(p.running, p.retired) {
		one := serviceOf(r)
		one.Retired = i >= len(p.running)
		out = append(out, one)
	}
	return out
}

// kinds are package proxy's by the names that the API has for them.
var kinds = map[string]string{"forward-tcp": "forward", "forward-udp": "forward", "socks5": "socks5", "http": "http-proxy"}

func serviceOf(r *running) api.Service {
	s := r.svc.Snapshot()
	return api.Service{
		Kind: kinds[s.Kind], Name: s.Name, Network: r.svc.Addr().Network(), Side: string(r.side),
		Address: s.Address, Target: s.Target,
		Opened: s.Opened, Active: s.Active,
		Refused: byCause(s.Refused), Ended: byCause(s.Ended), Denied: byCause(s.Denied),
		BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		DatagramsIn: s.DatagramsIn, DatagramsOut: s.DatagramsOut, Dropped: s.Dropped,
		Associations: s.Associations,
	}
}

func byCause(m map[proxy.Cause]uint64) map[string]uint64 {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]uint64, len(m))
	for cause, n := range m {
		out[string(cause)] = n
	}
	return out
}

// counts are those of forwards and proxies, by section, for metrics. What a
// retired one still does counts for its successor.
func (p *proxies) counts() (out []metrics.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range slices.Concat(p.running, p.retired) {
		s := r.svc.Snapshot()
		one := metrics.Service{
			Name: r.section, Opened: s.Opened, Active: uint64(max(0, s.Active)),
			Received: s.BytesOut, Sent: s.BytesIn, Refused: byCause(s.Refused),
		}
		if r.side == onStack {
			one.Received, one.Sent = s.BytesIn, s.BytesOut
		}
		out = append(out, one)
	}
	return out
}
