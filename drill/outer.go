package drill

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
	"tapstack/tap"
)

// Packets in packets, as the other end of a tunnel sends them: RFC 2003 and
// 2473 (IP in IP), 2784 and 2890 (GRE), 3032 and 4023 (MPLS). The stack has no
// tunnels, so it never sends any, and what a script shows is how it refuses
// them.

// Protocols of what an outer header carries.
const (
	protoIPv4, protoIPv6, protoGRE = 4, 41, 47
	protoMPLS                      = 137

	etherMPLS = 0x8847
)

// carried is a packet on its way into outer headers.
type carried struct {
	data      []byte
	etherType uint16
	proto     uint8
}

// wrap puts the outer headers of pk around the packet in a frame.
func (r *run) wrap(pk *script.Packet, frame []byte) []byte {
	in := carried{data: frame[tap.EthernetHeaderLen:], etherType: binary.BigEndian.Uint16(frame[12:])}
	switch in.etherType {
	case etherIPv4:
		in.proto = protoIPv4
	case etherIPv6:
		in.proto = protoIPv6
	default:
		fail(pk.Pos, "only IP packets go into others")
	}
	for i := len(pk.Outer) - 1; i >= 0; i-- {
		switch h := pk.Outer[i].(type) {
		case *script.IPHeader:
			in = r.inIP(h, in)
		case *script.GREHeader:
			in = r.inGRE(h, in)
		case *script.MPLSHeader:
			in = r.inMPLS(h, in)
		case *script.EthernetHeader:
			if i > 0 {
				unsupported(h.Pos, "Ethernet frames in packets")
			}
		}
	}
	if in.etherType == 0 {
		fail(pk.Pos, "GRE needs an IP header in front")
	}
	out := append(frame[:12:12], byte(in.etherType>>8), byte(in.etherType))
	return append(out, in.data...)
}

func (r *run) inIP(h *script.IPHeader, in carried) carried {
	out := carried{etherType: etherIPv4, proto: protoIPv4}
	if h.Src.Is6() {
		out = carried{etherType: etherIPv6, proto: protoIPv6}
	}
	if len(in.data) > maxPayload-header.IPv6MinimumSize {
		fail(h.Pos, "a packet of %d bytes does not fit into another", len(in.data))
	}
	out.data = r.ipPacket(addrs{h.Src, h.Dst}, in.proto, nil, in.data)
	return out
}

func (r *run) inGRE(h *script.GREHeader, in carried) carried {
	be := binary.BigEndian
	const sum, key, seq = 0x8000, 0x2000, 0x1000
	flags := r.number(h.Flags)
	for _, f := range []struct {
		v    script.Value
		flag uint32
	}{{h.Sum, sum}, {h.Off, sum}, {h.Key, key}, {h.Seq, seq}} {
		if f.v.IsSet() {
			flags |= f.flag
		}
	}
	b := be.AppendUint16(be.AppendUint16(nil, uint16(flags)), in.etherType)
	if flags&sum != 0 {
		b = be.AppendUint16(be.AppendUint16(b, uint16(r.number(h.Sum))), uint16(r.number(h.Off)))
	}
	if flags&key != 0 {
		b = be.AppendUint32(b, r.number(h.Key))
	}
	if flags&seq != 0 {
		b = be.AppendUint32(b, r.number(h.Seq))
	}
	b = append(b, in.data...)
	if flags&sum != 0 && !h.Sum.IsSet() {
		be.PutUint16(b[4:], ^checksum(b, 0))
	}
	return carried{data: b, proto: protoGRE}
}

func (r *run) inMPLS(h *script.MPLSHeader, in carried) carried {
	var b []byte
	for _, e := range h.Stack {
		entry := r.number(e.Label)<<12 | r.number(e.TC)<<9 | uint32(b2i(e.Bottom))<<8 | r.exact(e.TTL, 255)
		b = binary.BigEndian.AppendUint32(b, entry)
	}
	return carried{data: append(b, in.data...), etherType: etherMPLS, proto: protoMPLS}
}
