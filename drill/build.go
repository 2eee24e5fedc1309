package drill

import (
	"encoding/binary"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
	"tapstack/tap"
)

// build makes the frame of a packet that the script sends into h.
func (r *run) build(h *host, pk *script.Packet) []byte {
	eth, inner := outer(pk)
	frame := r.body(h, pk)
	if inner {
		frame = r.wrap(pk, frame)
	}
	if eth != nil {
		copy(frame, eth.Dst[:])
		copy(frame[6:], eth.Src[:])
	}
	return frame
}

func (r *run) body(h *host, pk *script.Packet) []byte {
	switch b := pk.Body.(type) {
	case *script.TCP:
		f := r.flowIn(h, pk, protoTCP)
		return r.ip(h, f, pk, r.tcp(f, b))
	case *script.UDP:
		f := r.flowIn(h, pk, protoUDP)
		return r.ip(h, f, pk, r.udp(f, b))
	case *script.ICMP:
		return r.icmp(h, pk, b)
	case *script.ARP:
		return r.arp(h, b)
	case *script.NDP:
		return r.ndp(h, b)
	case *script.Raw:
		if b.More || slices.Contains(b.Wild, true) {
			fail(b.Pos, "a frame to be sent needs all of its bytes")
		}
		return slices.Clone(b.Data)
	default:
		unsupported(pk.Pos, "such packets")
		return nil
	}
}

// number is a value of a packet to be sent; what was not written is 0.
func (r *run) number(v script.Value) uint32 { return r.exact(v, 0) }

func (r *run) exact(v script.Value, otherwise uint32) uint32 {
	v = r.resolve(v)
	switch v.Kind {
	case script.Unset:
		return otherwise
	case script.Exact:
		return v.Lo
	default:
		fail(r.pos, "a packet to be sent needs numbers, found %s", v)
		return 0
	}
}

// resolve computes a value.
func (r *run) resolve(v script.Value) script.Value {
	v, err := v.Resolve(r.lookup)
	r.check(err)
	return v
}

// payload is what a packet carries: text, or zeros.
func (r *run) payload(n int, text *script.String) []byte {
	b := make([]byte, n)
	if text != nil {
		if len(text.Value) > n {
			fail(text.Pos, "%d bytes of text for a payload of %d", len(text.Value), n)
		}
		copy(b, text.Value)
	}
	return b
}

// maxPayload is the most that an IP packet carries.
const maxPayload = 65535

// length is the payload's length of a segment: by (len), or else by seq:end.
func (r *run) length(t *script.TCP) int {
	seq, end := r.number(t.Seq), r.number(t.End)
	n := end - seq
	if t.Len.IsSet() {
		n = r.number(t.Len)
		if t.End.IsSet() && end-seq != n {
			fail(t.Pos, "%d:%d is not of length %d", seq, end, n)
		}
	}
	if n > maxPayload {
		fail(t.Pos, "a segment of %d bytes is larger than any packet", n)
	}
	return int(n)
}

// tcp makes a segment without its checksum, and keeps track of the connection.
func (r *run) tcp(f *flow, t *script.TCP) []byte {
	n := r.length(t)
	opts := r.tcpOptions(f, t)
	b := make([]byte, header.TCPMinimumSize, header.TCPMinimumSize+len(opts)+n)
	b = append(b, opts...)
	b = append(b, r.payload(n, t.Payload)...)
	hlen := header.TCPMinimumSize + len(opts)
	h := header.TCP(b)
	h.SetSourcePort(f.remote.Port())
	h.SetDestinationPort(f.local.Port())
	h.SetSequenceNumber(r.number(t.Seq) + f.remoteISN)
	if t.Ack.IsSet() {
		h.SetAckNumber(r.number(t.Ack) + f.localISN)
	}
	b[12] = byte(hlen/4)<<4 | byte(t.Flags>>8)
	b[13] = byte(t.Flags)
	h.SetWindowSize(uint16(r.number(t.Win)))
	binary.BigEndian.PutUint16(b[18:], uint16(r.number(t.Urg)))

	switch {
	case t.Flags&script.SYN != 0 && !f.synIn:
		f.synIn, f.irs = true, r.number(t.Seq)
	case t.Flags&(script.ACK|script.SYN|script.RST) == script.ACK && f.knowsLocal:
		f.established = true
	}
	f.finIn = f.finIn || t.Flags&script.FIN != 0
	f.resetIn = f.resetIn || t.Flags&script.RST != 0
	return b
}

// tcpOptions are the options as bytes, padded to words by EOL.
func (r *run) tcpOptions(f *flow, t *script.TCP) []byte {
	if t.AnyOptions {
		fail(t.Pos, "a packet to be sent needs its options written")
	}
	var b []byte
	for _, o := range t.Options {
		b = append(b, r.tcpOption(f, o)...)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	if len(b) > header.TCPOptionsMaximumSize {
		fail(t.Pos, "%d bytes of options do not fit a TCP header", len(b))
	}
	return b
}

// Kinds of TCP options, by IANA's list.
const (
	kindEOL       = 0
	kindNOP       = 1
	kindMSS       = 2
	kindScale     = 3
	kindSackOK    = 4
	kindSACK      = 5
	kindTimestamp = 8
	kindMD5       = 19
	kindFastOpen  = 34
	kindExp253    = 253
	kindExp254    = 254
)

func (r *run) tcpOption(f *flow, o script.TCPOption) []byte {
	be := binary.BigEndian
	switch o := o.(type) {
	case *script.EOL:
		return []byte{kindEOL}
	case *script.NOP:
		return []byte{kindNOP}
	case *script.MSS:
		return be.AppendUint16([]byte{kindMSS, 4}, uint16(r.number(o.Size)))
	case *script.WindowScale:
		return []byte{kindScale, 3, byte(r.number(o.Shift))}
	case *script.SACKPermitted:
		return []byte{kindSackOK, 2}
	case *script.Timestamp:
		b := be.AppendUint32([]byte{kindTimestamp, 10}, r.number(o.Val))
		return be.AppendUint32(b, f.echo(r.number(o.Ecr)))
	case *script.SACK:
		b := []byte{kindSACK, byte(2 + 8*len(o.Blocks))}
		for _, s := range o.Blocks {
			b = be.AppendUint32(b, r.number(s.Start)+f.localISN)
			b = be.AppendUint32(b, r.number(s.End)+f.localISN)
		}
		return b
	case *script.MD5:
		return append([]byte{kindMD5, 18}, o.Digest[:]...)
	case *script.FastOpen:
		if o.Exp {
			return append([]byte{kindExp254, byte(4 + len(o.Cookie)), 0xf9, 0x89}, o.Cookie...)
		}
		return append([]byte{kindFastOpen, byte(2 + len(o.Cookie))}, o.Cookie...)
	case *script.Experiment:
		kind := byte(kindExp253)
		if o.Kind254 {
			kind = kindExp254
		}
		return append(be.AppendUint16([]byte{kind, byte(4 + len(o.Data))}, uint16(r.number(o.ID))), o.Data...)
	case *script.OtherOption:
		return append([]byte{byte(r.number(o.Kind)), byte(2 + len(o.Data))}, o.Data...)
	default:
		unsupported(o.At(), "TCP option %s", script.Format(o))
		return nil
	}
}

func (r *run) udp(f *flow, u *script.UDP) []byte {
	n := int(r.number(u.Len))
	if n > maxPayload-header.UDPMinimumSize {
		fail(u.Pos, "a datagram of %d bytes is larger than any packet", n)
	}
	b := append(make([]byte, header.UDPMinimumSize), r.payload(n, u.Payload)...)
	binary.BigEndian.PutUint16(b, f.remote.Port())
	binary.BigEndian.PutUint16(b[2:], f.local.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

// ip puts the headers in front of a flow's payload.
func (r *run) ip(h *host, f *flow, pk *script.Packet, payload []byte) []byte {
	at := map[uint8]int{protoTCP: 16, protoUDP: 6}[f.proto]
	sum := ^checksum(payload, pseudo(f.remote.Addr(), f.local.Addr(), f.proto, len(payload)))
	if f.proto == protoUDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(payload[at:], sum)
	return h.frame(r.ipPacket(addrs{f.remote.Addr(), f.local.Addr()}, f.proto, pk.IP, payload))
}

// ipPacket is an IP packet with what the script says of its header.
func (r *run) ipPacket(a addrs, proto uint8, info *script.IPInfo, payload []byte) []byte {
	if info == nil {
		info = &script.IPInfo{}
	}
	tos := byte(r.number(info.TOS))
	if info.ECN == script.ECT01 {
		tos |= byte(script.ECT0 - script.ECNNone)
	} else if info.ECN != script.ECNUnset {
		tos |= byte(info.ECN - script.ECNNone)
	}
	ttl := byte(r.exact(info.TTL, 255))
	more, from := false, 0
	if fr := info.Frag; fr != nil {
		first, last := int(r.number(fr.From)), int(r.number(fr.To))
		if first%8 != 0 || first > last || last > len(payload) {
			fail(fr.Pos, "no fragment %d:%d of %d bytes", first, last, len(payload))
		}
		payload, from, more = payload[first:last], first, fr.More
	}
	if a.src.Is4() {
		b := append(make([]byte, header.IPv4MinimumSize), payload...)
		h := header.IPv4(b)
		b[0] = 0x45
		h.SetTOS(tos, 0)
		h.SetTotalLength(uint16(len(b)))
		h.SetID(uint16(r.number(info.ID)))
		var flags uint8
		if info.DF {
			flags |= header.IPv4FlagDontFragment
		}
		if more {
			flags |= header.IPv4FlagMoreFragments
		}
		h.SetFlagsFragmentOffset(flags, uint16(from))
		h.SetTTL(ttl)
		b[9] = proto
		copy(b[12:], a.src.AsSlice())
		copy(b[16:], a.dst.AsSlice())
		h.SetChecksum(^h.CalculateChecksum())
		return b
	}
	if info.Frag != nil {
		ext := binary.BigEndian.AppendUint16([]byte{proto, 0}, uint16(from)|uint16(b2i(more)))
		ext = binary.BigEndian.AppendUint32(ext, r.number(info.ID))
		proto, payload = uint8(header.IPv6FragmentExtHdrIdentifier), append(ext, payload...)
	}
	b := append(make([]byte, header.IPv6MinimumSize), payload...)
	h := header.IPv6(b)
	b[0] = 0x60
	h.SetTOS(tos, r.number(info.FlowLabel))
	h.SetPayloadLength(uint16(len(payload)))
	b[6], b[7] = proto, ttl
	copy(b[8:], a.src.AsSlice())
	copy(b[24:], a.dst.AsSlice())
	return b
}

// frame puts an Ethernet header in front of a packet for h.
func (h *host) frame(ip []byte) []byte {
	b := make([]byte, tap.EthernetHeaderLen, tap.EthernetHeaderLen+len(ip))
	copy(b, h.mac)
	copy(b[6:], peerMAC)
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(b[12:], etherIPv6)
	}
	return append(b, ip...)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
