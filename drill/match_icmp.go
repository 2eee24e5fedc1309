package drill

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
)

// icmp compares a message that left h, or reached it.
func (d *differ) icmp(h *host, left bool, want *script.ICMP, p *packet) {
	typ, code, ok := want.Number(p.v6)
	if !ok {
		d.add("there is no %s %s in this version of ICMP", want.Type, want.Code)
		return
	}
	be := binary.BigEndian
	if p.icmp[0] != typ {
		d.add("type %d, want %d", p.icmp[0], typ)
		return
	}
	if p.icmp[1] != code {
		d.add("code %d, want %d", p.icmp[1], code)
	}
	mtu := uint32(be.Uint16(p.icmp[6:]))
	if p.v6 {
		mtu = be.Uint32(p.icmp[4:])
	}
	d.value("mtu", want.MTU, mtu)
	if id := d.r.resolve(want.ID); id.Kind == script.Exact {
		live := be.Uint16(p.icmp[4:])
		if known := h.pings[uint16(id.Lo)]; known != 0 && known != live {
			d.add("id %d, want %d", live, known)
		}
		h.pings[uint16(id.Lo)] = live
	}
	d.value("seq", want.Seq, uint32(be.Uint16(p.icmp[6:])))
	d.value("length", want.Len, uint32(len(p.icmp)-8))
	d.payload(want.Payload, p.icmp[8:])
	if want.Quote != nil {
		d.quote(h, left, want.Quote, p)
	}
}

// quote compares the packet that an ICMP error is about, as far as the error
// has it: its protocol, TCP's sequence number, and how much it carried.
func (d *differ) quote(h *host, left bool, want *script.Quote, p *packet) {
	be := binary.BigEndian
	b := p.icmp[8:]
	q, ok := quoted(b, p.v6)
	if !ok {
		d.add("no packet is quoted")
		return
	}
	proto := map[bool]uint8{false: protoTCP, true: protoUDP}[want.UDP]
	if q.proto != proto {
		d.add("a packet of protocol %d is quoted, want %d", q.proto, proto)
		return
	}
	if want.UDP {
		d.value("quoted length", want.Len, uint32(q.size-header.UDPMinimumSize))
		return
	}
	// An error that leaves is about a packet of the other side's.
	local, remote := netip.AddrPortFrom(q.src, be.Uint16(q.head)), netip.AddrPortFrom(q.dst, be.Uint16(q.head[2:]))
	if left {
		local, remote = remote, local
	}
	var isn uint32
	if f := h.find(flowKey{proto, local, remote}); f != nil {
		if isn = f.localISN; left {
			isn = f.remoteISN
		}
	}
	seq, hlen := be.Uint32(q.head[4:])-isn, header.TCPMinimumSize
	if len(q.head) > header.TCPDataOffset {
		hlen = int(q.head[header.TCPDataOffset]>>4) * 4
	}
	n := uint32(q.size - hlen)
	d.value("quoted seq", want.Seq, seq)
	d.value("quoted end", want.End, seq+n)
	d.value("quoted length", want.Len, n)
}

// quotation is the beginning of a packet.
type quotation struct {
	src, dst netip.Addr
	proto    uint8
	size     int    // of what the whole packet carried
	head     []byte // of that, 8 bytes at least
}

// quoted takes the packet apart that an ICMP error quotes.
func quoted(b []byte, v6 bool) (q quotation, ok bool) {
	hlen := header.IPv6MinimumSize
	switch {
	case v6 && len(b) >= hlen:
		h := header.IPv6(b)
		q.src, q.dst = netip.AddrFrom16(h.SourceAddress().As16()), netip.AddrFrom16(h.DestinationAddress().As16())
		q.proto, q.size = h.NextHeader(), int(h.PayloadLength())
	case !v6 && len(b) >= header.IPv4MinimumSize:
		h := header.IPv4(b)
		hlen = int(h.HeaderLength())
		q.src, q.dst = netip.AddrFrom4(h.SourceAddress().As4()), netip.AddrFrom4(h.DestinationAddress().As4())
		q.proto, q.size = h.Protocol(), int(h.TotalLength())-hlen
	default:
		return q, false
	}
	const least = 8 // RFC 792
	if len(b) < hlen+least {
		return q, false
	}
	q.head = b[hlen:]
	return q, true
}
