package drill

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
	"tapstack/tap"
)

// cut makes of a frame what a wire would carry: several if it is larger than a
// segment, each with its checksums. data is not kept.
func cut(data []byte, off tap.Offload) [][]byte {
	if !off.NeedsCsum {
		return [][]byte{append([]byte(nil), data...)}
	}
	l4 := int(off.CsumStart)
	head := l4 + header.UDPMinimumSize
	if off.GSO != tap.GSOUDP {
		head = l4 + int(header.TCP(data[l4:]).DataOffset())
	}
	if off.GSO == tap.GSONone || off.GSOSize == 0 || head > len(data) {
		piece := append([]byte(nil), data...)
		finish(piece, off)
		return [][]byte{piece}
	}
	var out [][]byte
	size, payload := int(off.GSOSize), data[head:]
	for at := 0; at < len(payload); at += size {
		part := payload[at:min(at+size, len(payload))]
		piece := append(append(make([]byte, 0, head+len(part)), data[:head]...), part...)
		shorten(piece, l4, len(out), off)
		if off.GSO != tap.GSOUDP {
			tcp := header.TCP(piece[l4:])
			tcp.SetSequenceNumber(tcp.SequenceNumber() + uint32(at))
			if at > 0 {
				piece[l4+13] &^= byte(script.CWR)
			}
			if at+size < len(payload) {
				piece[l4+13] &^= byte(script.FIN | script.PSH)
			}
		}
		finish(piece, off)
		out = append(out, piece)
	}
	return out
}

// shorten puts the lengths of the i-th piece into its headers, and the sum that
// goes with them where the checksum will be.
func shorten(piece []byte, l4, i int, off tap.Offload) {
	ip := piece[tap.EthernetHeaderLen:]
	n := len(piece) - l4
	var src, dst []byte
	proto := uint8(protoTCP)
	if off.GSO == tap.GSOUDP {
		proto = protoUDP
		binary.BigEndian.PutUint16(piece[l4+4:], uint16(n))
	}
	if ip[0]>>4 == 4 {
		h := header.IPv4(ip)
		h.SetTotalLength(uint16(len(ip)))
		h.SetID(h.ID() + uint16(i))
		h.SetChecksum(0)
		h.SetChecksum(^h.CalculateChecksum())
		src, dst = ip[12:16], ip[16:20]
	} else {
		header.IPv6(ip).SetPayloadLength(uint16(len(ip) - header.IPv6MinimumSize))
		src, dst = ip[8:24], ip[24:40]
	}
	sum := uint32(checksum(src, 0)) + uint32(checksum(dst, 0)) + uint32(proto) + uint32(n)
	binary.BigEndian.PutUint16(piece[l4+int(off.CsumOffset):], checksum(nil, sum))
}

// finish replaces the sum of the pseudo-header by that of everything.
func finish(piece []byte, off tap.Offload) {
	at := int(off.CsumStart) + int(off.CsumOffset)
	sum := ^checksum(piece[off.CsumStart:], 0)
	if sum == 0 && off.CsumOffset == 6 {
		sum = 0xffff // of UDP, where 0 is none (RFC 768)
	}
	binary.BigEndian.PutUint16(piece[at:], sum)
}
