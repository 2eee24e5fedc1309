package drill

import (
	"net"
	"net/netip"
	"time"

	"tapstack/drill/script"
	"tapstack/netem"
	"tapstack/stack"
	"tapstack/tap"
)

// Several hosts, each a stack of its own, joined by links. What leaves a host
// at one instant is put on its link when nothing is in flight any more, and
// what arrives is delivered by the clock: one frame at a time, with a barrier
// after each.

// hostPatience is how long a call may take that a link is the reason of.
const hostPatience = time.Hour

// port is one end of a link.
type port struct {
	host *host
	wire *wire
	path *netem.Path // to the other end
}

// schedule makes the clock one of netem's.
type schedule struct{ *run }

func (s schedule) Now() time.Time                     { return s.clock.Now() }
func (s schedule) Schedule(d time.Duration, f func()) { s.clock.after(d, f) }

// newHosts makes the hosts and the links of a script.
func (r *run) newHosts() {
	if rt := r.cfg.RealTime; rt != nil && rt.Open != nil {
		unsupported(r.script.Hosts[0].Pos, "several hosts over a device of the machine's")
	}
	for i, sh := range r.script.Hosts {
		r.pos = sh.Pos
		h := r.newStack(sh.Name)
		h.mac = net.HardwareAddr{2, 0, 0, 0, 1, byte(i + 1)}
		if len(sh.Addrs) == 0 {
			fail(sh.Pos, "host %s needs an address", sh.Name)
		}
		h.local = sh.Addrs[0].Addr()
	}
	both := make(map[[2]string]bool)
	for _, l := range r.script.Links {
		key := [2]string{min(l.A, l.B), max(l.A, l.B)}
		if !both[key] {
			both[key] = true
			r.connect(l)
		}
	}
}

// declared is the line of a host.
func (r *run) declared(name string) (*script.Host, *host) {
	for i, sh := range r.script.Hosts {
		if sh.Name == name {
			return sh, r.hosts[i]
		}
	}
	return nil, nil
}

// connect makes the two ends of a link.
func (r *run) connect(l *script.Link) {
	r.pos = l.Pos
	shA, a := r.declared(l.A)
	shB, b := r.declared(l.B)
	pa, pb := r.port(a, shA, shB, b), r.port(b, shB, shA, a)
	pa.path = r.path(l.A, l.B, pb)
	pb.path = r.path(l.B, l.A, pa)
	for _, p := range []struct {
		h     *host
		other *script.Host
		to    *host
	}{{a, shB, b}, {b, shA, a}} {
		if !p.h.remote.IsValid() {
			p.h.remote = p.other.Addrs[0].Addr()
		}
		for _, addr := range p.other.Addrs {
			r.check(p.h.nic.AddNeighbour(addr.Addr(), p.to.mac))
		}
	}
}

// port gives a host a device with those of its addresses that share a network
// with the other side; all, if this is its first link and none does.
func (r *run) port(h *host, mine, theirs *script.Host, to *host) *port {
	mtu := int(r.exact(mine.MTU, ethernetMTU))
	w := newWire(h.name+"-"+to.name, mtu, r.clock)
	var dev tap.Device = w
	if r.cfg.Capture != nil {
		dev = r.startCapture(h, w)
	}
	var addrs []netip.Prefix
	for _, a := range mine.Addrs {
		for _, b := range theirs.Addrs {
			if a.Masked() == b.Masked() {
				addrs = append(addrs, a)
				break
			}
		}
	}
	if addrs == nil {
		_ = dev.Close()
		fail(r.pos, "hosts %s and %s have no network in common", h.name, to.name)
	}
	var err error
	h.nic, err = h.stack.AddNIC(dev, &stack.NICConfig{HardwareAddr: h.mac, Addresses: addrs})
	r.check(err)
	w.settle()
	p := &port{host: h, wire: w}
	h.links = append(h.links, p)
	return p
}

// path is one direction of a link: what its lines say, the later over the
// earlier ones.
func (r *run) path(from, to string, end *port) *netem.Path {
	var cfg netem.PathConfig
	for _, l := range r.script.Links {
		same := l.A == from && l.B == to
		if !same && (l.OneWay || l.A != to || l.B != from) {
			continue
		}
		if l.Delay > 0 {
			cfg.Delay = l.Delay
		}
		if l.Rate > 0 {
			cfg.Rate = l.Rate
		}
		if l.Queue.IsSet() {
			cfg.Queue = int(r.number(l.Queue))
		}
		if len(l.Loss) > 0 {
			cfg.Lose = r.losses(l)
		}
	}
	path, err := netem.NewPath(cfg, schedule{r}, end.arrived)
	r.check(err)
	return path
}

// losses tells which packets of a direction are lost.
func (r *run) losses(l *script.Link) func(int) bool {
	type span struct{ from, to, step int64 }
	var spans []span
	for _, s := range l.Loss {
		from, to, step, err := s.Bounds(r.lookup)
		r.check(err)
		spans = append(spans, span{from, to, step})
	}
	return func(n int) bool {
		for _, s := range spans {
			at := int64(n) - s.from
			if at%s.step == 0 && at/s.step >= 0 && (s.step > 0 && int64(n) <= s.to || s.step < 0 && int64(n) >= s.to) {
				return true
			}
		}
		return false
	}
}

// forward puts what the host has sent on the link.
func (p *port) forward() {
	for _, f := range p.wire.take() {
		pk := dissect(f)
		p.host.learn(pk, false)
		p.host.sent = append(p.host.sent, pk)
		p.path.Send(f.data)
	}
}

// arrived delivers a frame to the host.
func (p *port) arrived(data []byte) {
	pk := dissect(frame{p.wire.pace.Now(), data})
	p.host.learn(pk, true)
	p.host.reached = append(p.host.reached, pk)
	_ = p.wire.inject(data)
}

// learn maps the numbers of a connection between hosts: each side's begin at 0
// with its SYN.
func (h *host) learn(p *packet, in bool) {
	k, ok := p.keyOf(in)
	if !ok {
		return
	}
	f := h.find(k)
	if f == nil {
		f = h.add(&flow{proto: k.proto, local: k.local, remote: k.remote})
	}
	if p.tcp == nil || p.tcp.flags&script.SYN == 0 {
		return
	}
	if in {
		f.remoteISN = p.tcp.seq
	} else {
		f.localISN, f.knowsLocal = p.tcp.seq, true
	}
}
