package drill

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
)

type addrs struct{ src, dst netip.Addr }

// icmp makes an ICMP message: an error about a packet of ours, or an echo.
func (r *run) icmp(h *host, pk *script.Packet, m *script.ICMP) []byte {
	v6 := h.remote.Is6()
	typ, code, ok := m.Number(v6)
	if !ok {
		fail(m.Pos, "there is no %s %s in this version of ICMP", m.Type, m.Code)
	}
	b := []byte{typ, code, 0, 0, 0, 0, 0, 0}
	a := addrs{h.remote, h.local}
	if mtu := r.number(m.MTU); v6 {
		binary.BigEndian.PutUint32(b[4:], mtu)
	} else {
		binary.BigEndian.PutUint16(b[6:], uint16(mtu))
	}
	if m.ID.IsSet() || m.Seq.IsSet() {
		id := r.number(m.ID)
		if f := h.pings[uint16(id)]; f != 0 {
			id = uint32(f)
		}
		binary.BigEndian.PutUint16(b[4:], uint16(id))
		binary.BigEndian.PutUint16(b[6:], uint16(r.number(m.Seq)))
	}
	if m.Quote != nil {
		b = append(b, r.quote(h, pk, m.Quote)...)
	} else {
		n := int(r.number(m.Len))
		if n > maxPayload-len(b) {
			fail(m.Pos, "an echo of %d bytes is larger than any packet", n)
		}
		b = append(b, r.payload(n, m.Payload)...)
	}
	proto, sum := uint8(protoICMP), uint32(0)
	if v6 {
		proto, sum = protoICMPv6, pseudo(a.src, a.dst, protoICMPv6, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^checksum(b, sum))
	return h.frame(r.ipPacket(a, proto, pk.IP, b))
}

// quote is the beginning of a packet that we sent, as an error quotes it: the
// IP header and as much of the transport's as there is.
func (r *run) quote(h *host, pk *script.Packet, q *script.Quote) []byte {
	proto := uint8(protoTCP)
	if q.UDP {
		proto = protoUDP
	}
	f := h.current[proto]
	if pk.Conn != "" {
		f = h.named(pk.Pos, pk.Conn)
	}
	if f == nil {
		fail(q.Pos, "there is no connection yet for this message to be about")
	}
	var b []byte
	var n int
	if q.UDP {
		n = int(r.number(q.Len))
		b = make([]byte, header.UDPMinimumSize)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)+n))
	} else {
		seq := r.number(q.Seq)
		n = int(int32(r.number(q.End) - seq))
		if q.Len.IsSet() {
			n = int(r.number(q.Len))
		}
		b = make([]byte, header.TCPMinimumSize)
		binary.BigEndian.PutUint32(b[4:], seq+f.localISN)
		b[12], b[13] = 5<<4, byte(script.ACK)
	}
	binary.BigEndian.PutUint16(b, f.local.Port())
	binary.BigEndian.PutUint16(b[2:], f.remote.Port())
	ip := r.ipPacket(addrs{f.local.Addr(), f.remote.Addr()}, proto, nil, b)
	// The length is that of the whole packet, of which this is the head.
	if f.local.Addr().Is4() {
		v4 := header.IPv4(ip)
		v4.SetTotalLength(uint16(len(ip) + n))
		v4.SetChecksum(0)
		v4.SetChecksum(^v4.CalculateChecksum())
	} else {
		header.IPv6(ip).SetPayloadLength(uint16(len(b) + n))
	}
	return ip
}
