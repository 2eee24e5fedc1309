package drill

import (
	"strings"
	"time"

	"tapstack/drill/script"
)

// patience is how long past its time a packet is waited for.
const patience = 2 * time.Second

// longPatience is how long one is waited for that may come at any time.
const longPatience = 10 * time.Minute

// expect waits for a packet and compares it.
func (r *run) expect(h *host, e *script.Event, pk *script.Packet) {
	if _, inner := outer(pk); inner {
		unsupported(pk.Pos, "packets in packets from the stack: it has no tunnels")
	}
	prev := r.prev
	from, to := r.times(e, false)
	limit := to.Add(patience)
	if e.Time.Kind == script.TimeAny {
		limit = to.Add(longPatience)
	}
	queue := &h.sent
	if !pk.Outbound {
		queue = &h.reached
	}
	if h.wire == nil {
		// What passed before is of no interest where packets are not the
		// script's own.
		r.skip(queue, from.Add(-r.tolerance(from, prev)))
	}
	if limit.Before(r.clock.Now()) {
		limit = r.clock.Now()
	}
	x := &expectation{run: r, host: h, queue: queue, event: e, packet: pk, from: from, to: to, limit: limit}
	p, f := x.next()
	if p == nil {
		x.nothing()
	}
	for {
		x.learn(f, p)
		p = x.join(f, p)
		diffs := r.match(h, f.seenBy(pk), pk, p)
		if len(diffs) == 0 {
			break
		}
		if r.cfg.Mode&SkipExtraACKs == 0 || p.tcp == nil || !p.tcp.pureACK() {
			x.differs(f, p, diffs)
		}
		// The next one, unless nothing else comes: then this is the failure.
		after, g := x.next()
		if after == nil {
			x.differs(f, p, diffs)
		}
		p, f = after, g
	}
	x.matched(f, p)
	if e.Time.Kind != script.TimeAny {
		x.timing(f, p, prev)
	}
	r.prev, r.prevInbound = r.clock.Now(), false
}

// skip forgets packets that passed before t.
func (r *run) skip(queue *[]*packet, t time.Time) {
	q := *queue
	for len(q) > 0 && q[0].at.Before(t) {
		q = q[1:]
	}
	*queue = q
}

// expectation is an outbound packet that is waited for.
type expectation struct {
	*run
	host   *host
	event  *script.Event
	packet *script.Packet
	queue  *[]*packet // what left the host, or reached it

	from, to time.Time // when it is due
	limit    time.Time // when to give up
}

// next takes the next packet that the expectation is about, or nil if none
// comes in time.
func (x *expectation) next() (*packet, *flow) {
	for {
		if p, f := x.take(); p != nil {
			return p, f
		}
		if !x.stepOnce(x.limit) {
			// In real time one may have come in the moment in which time was up.
			x.settle()
			return x.take()
		}
	}
}

// take takes the first packet that the expectation is about from those that
// came.
func (x *expectation) take() (*packet, *flow) {
	for i, p := range *x.queue {
		if f, ok := x.candidate(p); ok {
			*x.queue = append((*x.queue)[:i:i], (*x.queue)[i+1:]...)
			return p, f
		}
	}
	return nil, nil
}

// candidate reports whether a packet is to be compared: it is of the right
// protocol, and of the right connection, or of none that is known.
func (x *expectation) candidate(p *packet) (*flow, bool) {
	h, pk := x.host, x.packet
	var proto uint8
	switch pk.Body.(type) {
	case *script.TCP:
		if proto = protoTCP; p.tcp == nil {
			return nil, false
		}
	case *script.UDP:
		if proto = protoUDP; p.udp == nil {
			return nil, false
		}
	case *script.ICMP:
		return nil, p.icmp != nil && !p.isNDP()
	case *script.ARP:
		return nil, p.etherType == etherARP
	case *script.NDP:
		return nil, p.isNDP()
	default:
		return nil, true
	}
	key, _ := p.keyOf(!pk.Outbound)
	f := h.find(key)
	if pk.Conn != "" {
		want := h.named(pk.Pos, pk.Conn)
		if f == nil && want.proto == 0 && want.remote == key.remote {
			// Our end of a connection that we open has a port of the stack's
			// choice.
			want.proto, want.local = proto, key.local
			f = want
		}
		return f, f == want
	}
	if pk.Ports != nil {
		src, dst := uint16(x.number(pk.Ports.Src)), uint16(x.number(pk.Ports.Dst))
		if f != nil && f.scriptLocal == 0 && f.scriptRemote == 0 && key.remote.Port() == dst {
			f.scriptLocal, f.scriptRemote = src, dst
		}
		if f == nil && key.remote.Port() == dst {
			f = x.adopt(key)
			f.scriptLocal, f.scriptRemote = src, dst
		}
		return f, f != nil && f.scriptLocal == src && f.scriptRemote == dst
	}
	if f == nil {
		return x.adopt(key), true
	}
	return f, f == h.current[proto]
}

// adopt makes the flow of a packet that we began.
func (x *expectation) adopt(k flowKey) *flow {
	return x.host.add(&flow{proto: k.proto, local: k.local, remote: k.remote})
}

// learn maps our sequence numbers when our SYN is seen.
func (x *expectation) learn(f *flow, p *packet) {
	want, ok := x.packet.Body.(*script.TCP)
	if !ok || x.host.wire == nil || p.tcp.flags&script.SYN == 0 || want.Flags&script.SYN == 0 {
		return
	}
	seq := x.resolve(want.Seq)
	if f.finIn && f.finOut {
		// A new connection in the place of one that is in TIME-WAIT.
		f.knowsLocal, f.finIn, f.finOut, f.established = false, false, false, false
	}
	if !f.knowsLocal && seq.Kind == script.Exact {
		f.localISN, f.knowsLocal = p.tcp.seq-seq.Lo, true
	}
}

// join puts segments together that the script has as one, unless it forbids
// that: they differ in nothing but their place and the flags of the last.
func (x *expectation) join(f *flow, p *packet) *packet {
	want, ok := x.packet.Body.(*script.TCP)
	if !ok || x.opts.strictSegments || len(p.tcp.data) == 0 {
		return p
	}
	n := x.resolve(want.Len)
	if n.Kind != script.Exact {
		return p
	}
	for uint32(len(p.tcp.data)) < n.Lo {
		q, g := x.next()
		if q == nil {
			return p
		}
		if g != f || !joins(p.tcp, q.tcp) || len(p.tcp.data)+len(q.tcp.data) > int(n.Lo) {
			*x.queue = append([]*packet{q}, *x.queue...)
			return p
		}
		both, s := *p, *p.tcp
		s.data = append(s.data[:len(s.data):len(s.data)], q.tcp.data...)
		s.flags |= q.tcp.flags
		both.tcp, both.at = &s, q.at
		if q.bad != "" {
			both.bad = q.bad
		}
		p = &both
	}
	return p
}

func joins(a, b *segment) bool {
	const loose = script.FIN | script.PSH | script.CWR
	return len(b.data) > 0 && b.seq == a.seq+uint32(len(a.data)) && a.flags&^loose == b.flags&^loose && a.flags&(script.FIN|script.PSH) == 0 &&
		a.ack == b.ack && a.win == b.win && string(a.options) == string(b.options)
}

// matched remembers what a packet tells of its connection.
func (x *expectation) matched(f *flow, p *packet) {
	want, ok := x.packet.Body.(*script.TCP)
	if !ok || !x.packet.Outbound {
		return
	}
	f.finOut = f.finOut || p.tcp.flags&script.FIN != 0
	f.reset = f.reset || p.tcp.flags&script.RST != 0
	for _, o := range want.Options {
		ts, ok := o.(*script.Timestamp)
		if !ok {
			continue
		}
		val := x.resolve(ts.Val)
		for _, got := range parseOptions(p.tcp.options) {
			if got.kind == kindTimestamp && len(got.data) == 8 && val.Kind == script.Exact {
				f.stamp(val.Lo, be32(got.data), p.at)
			}
		}
	}
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// timing checks when the packet came.
func (x *expectation) timing(f *flow, p *packet, prev time.Time) {
	early := p.at.Before(x.from.Add(-x.tolerance(x.from, prev)))
	if e := &x.event.Time; x.cfg.RealTime != nil && e.Kind == script.TimeRelative && e.From == 0 && e.Expr == nil {
		early = false // it came while the script was kept from looking
	}
	late := p.at.After(x.to.Add(x.tolerance(x.to, prev)))
	if early && x.cfg.Mode&AllowEarly != 0 || !early && !late {
		return
	}
	panic(&stop{
		pos: x.event.Pos, outcome: Fail, reason: map[bool]string{true: "packet came too early", false: "packet came too late"}[early],
		want: x.wantText(), got: x.stamped(p.at, describe(f.seenBy(x.packet), p, x.packet)),
		diffs: []string{"time " + seconds(p.at.Sub(x.start))},
	})
}

func (x *expectation) wantText() string {
	at := seconds(x.from.Sub(x.start))
	if !x.from.Equal(x.to) {
		at += "~" + seconds(x.to.Sub(x.start))
	}
	return at + " " + x.text()
}

// text is the expected packet with its formulas computed.
func (x *expectation) text() string { return script.Format(x.packet) }

func (x *expectation) differs(f *flow, p *packet, diffs []string) {
	panic(&stop{
		pos: x.event.Pos, outcome: Fail, reason: "another packet: " + strings.Join(diffs, "; "),
		want: x.wantText(), got: x.stamped(p.at, describe(f.seenBy(x.packet), p, x.packet)), diffs: diffs,
	})
}

func (x *expectation) nothing() {
	got := "nothing until " + seconds(x.limit.Sub(x.start))
	if len(*x.queue) > 0 {
		p := (*x.queue)[0]
		var f *flow
		if k, ok := p.keyOf(!x.packet.Outbound); ok {
			f = x.host.find(k)
		}
		got += "; of another connection: " + x.stamped(p.at, describe(f, p, nil))
	}
	panic(&stop{pos: x.event.Pos, outcome: Fail, reason: "no packet came", want: x.wantText(), got: got})
}

// expectNothing lets time pass in which no packet may be sent.
func (r *run) expectNothing(h *host, x *script.ExpectNothing) {
	limit := r.clock.Now().Add(x.For)
	if h.wire == nil {
		r.skip(&h.sent, r.clock.Now())
	}
	for {
		for _, p := range h.sent {
			if p.tcp == nil && p.udp == nil && p.icmp == nil {
				continue
			}
			var f *flow
			if k, ok := p.keyOf(false); ok {
				f = h.find(k)
			}
			panic(&stop{
				pos: x.Pos, outcome: Fail, reason: "a packet came",
				want: script.Format(x), got: r.stamped(p.at, describe(f, p, nil)),
			})
		}
		if !r.stepOnce(limit) {
			return
		}
	}
}
