package drill

import (
	"net/netip"
	"time"

	"tapstack/drill/script"
)

// flow is a connection, or a pair of ports, that a script speaks of. It maps
// the script's numbers to those on the wire.
type flow struct {
	name          string // declared by "conn", or ""
	proto         uint8
	local, remote netip.AddrPort

	// What the script calls the ports, 0 where it does not.
	scriptLocal, scriptRemote uint16

	// localISN is what to add to the script's sequence numbers of our side to
	// get those on the wire; known once our SYN was seen. remoteISN is the same
	// of the other side, 0 where the script itself is that.
	localISN, remoteISN           uint32
	knowsLocal                    bool
	stamps                        map[uint32]uint32 // TS val: the script's to the wire's
	firstStamp, firstLive         uint32
	firstAt                       time.Time
	irs                           uint32 // the sequence number of the remote's SYN
	synIn, established            bool
	finIn, finOut, reset, resetIn bool
}

// seenBy is the flow as the packet's numbers are mapped: those of one that came
// in are the other side's.
func (f *flow) seenBy(pk *script.Packet) *flow {
	if f == nil || pk.Outbound {
		return f
	}
	return &flow{localISN: f.remoteISN, remoteISN: f.localISN}
}

// key is what a flow is found by.
type flowKey struct {
	proto         uint8
	local, remote netip.AddrPort
}

func (f *flow) key() flowKey { return flowKey{f.proto, f.local, f.remote} }

// keyOf is the flow that a packet leaving (or, with in, reaching) a host is of.
func (p *packet) keyOf(in bool) (flowKey, bool) {
	var src, dst uint16
	switch {
	case p.tcp != nil:
		src, dst = p.tcp.srcPort, p.tcp.dstPort
	case p.udp != nil:
		src, dst = p.udp.srcPort, p.udp.dstPort
	default:
		return flowKey{}, false
	}
	k := flowKey{p.proto, netip.AddrPortFrom(p.src, src), netip.AddrPortFrom(p.dst, dst)}
	if in {
		k.local, k.remote = k.remote, k.local
	}
	return k, true
}

// stamp learns what the script calls a timestamp of ours.
func (f *flow) stamp(name, live uint32, at time.Time) {
	if f.stamps == nil {
		f.stamps = make(map[uint32]uint32)
		f.firstStamp, f.firstLive, f.firstAt = name, live, at
	}
	f.stamps[name] = live
}

// echo is what the other side echoes when the script says ecr: our timestamp
// of that name, or the one that is as far from the first as the names are.
func (f *flow) echo(name uint32) uint32 {
	if live, ok := f.stamps[name]; ok {
		return live
	}
	if f.stamps == nil || name == 0 {
		return name
	}
	return f.firstLive + (name - f.firstStamp)
}

// named finds the flow of a "conn" line.
func (h *host) named(pos script.Pos, name string) *flow {
	for _, f := range h.flows {
		if f.name == name {
			return f
		}
	}
	fail(pos, "connection %s has not begun", name)
	return nil
}

// find is the flow with a key, or nil.
func (h *host) find(k flowKey) *flow {
	for _, f := range h.flows {
		if f.key() == k {
			return f
		}
	}
	return nil
}

// add makes f known and current.
func (h *host) add(f *flow) *flow {
	h.flows = append(h.flows, f)
	h.current[f.proto] = f
	return f
}

// flowIn is the flow of a packet that the script sends, made if it is the first
// of one.
func (r *run) flowIn(h *host, pk *script.Packet, proto uint8) *flow {
	if pk.Conn != "" {
		if f := h.named(pk.Pos, pk.Conn); f != nil {
			if f.proto == 0 {
				f.proto = proto
			}
			return f
		}
	}
	var src, dst uint16
	if pk.Ports != nil {
		src, dst = uint16(r.number(pk.Ports.Src)), uint16(r.number(pk.Ports.Dst))
		for i := len(h.flows) - 1; i >= 0; i-- {
			if f := h.flows[i]; f.proto == proto && f.scriptRemote == src && f.scriptLocal == dst {
				return f
			}
		}
	}
	cur := h.current[proto]
	if cur != nil && pk.Ports == nil && !r.startsFlow(h, cur, pk) {
		return cur
	}
	f := &flow{
		proto: proto, scriptLocal: dst, scriptRemote: src,
		local:  netip.AddrPortFrom(h.local, or(dst, localPort)),
		remote: netip.AddrPortFrom(h.remote, or(src, h.nextPort)),
	}
	if src == 0 {
		h.nextPort++
	}
	return h.add(f)
}

// startsFlow reports whether a packet begins another connection than the
// current one: a SYN for a listener, where the current connection was reset, or
// is established or closed and began with the same number. (Another number is
// an attempt on the current one, which may be in TIME-WAIT.)
func (r *run) startsFlow(h *host, cur *flow, pk *script.Packet) bool {
	tcp, ok := pk.Body.(*script.TCP)
	if !ok || tcp.Flags&(script.SYN|script.ACK|script.RST|script.FIN) != script.SYN || !h.listening() {
		return false
	}
	same := cur.synIn && r.number(tcp.Seq) == cur.irs
	return cur.reset || cur.resetIn || same && (cur.established || cur.finIn && cur.finOut)
}

// Ports and addresses that a script does not choose itself.
const (
	localPort       = 8080
	remotePort      = 8080
	firstRemotePort = 40001
)

func or(a, b uint16) uint16 {
	if a != 0 {
		return a
	}
	return b
}
