package drill

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
	"tapstack/tap"
)

// packet is a frame taken apart.
type packet struct {
	at    time.Time
	frame []byte

	etherType uint16
	ip        bool // the fields from here on mean something
	v6        bool
	src, dst  netip.Addr
	tos, ttl  uint8
	flowLabel uint32
	id        uint16
	df        bool
	fragment  bool // not a whole datagram: transport is not looked at
	fragFrom  int
	fragMore  bool
	proto     uint8
	payload   []byte // of the IP packet
	bad       string // what is wrong with it, such as a checksum

	tcp  *segment
	udp  *datagram
	icmp []byte // the whole message
}

// segment is a TCP segment.
type segment struct {
	srcPort, dstPort uint16
	seq, ack         uint32
	flags            script.TCPFlags
	win, urg         uint16
	options          []byte
	data             []byte
}

type datagram struct {
	srcPort, dstPort uint16
	data             []byte
}

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// pureACK reports whether a segment says nothing but ACK.
func (s *segment) pureACK() bool { return s.flags == script.ACK && len(s.data) == 0 }

// dissect takes a frame apart as far as it is well-formed.
func dissect(f frame) *packet {
	p := &packet{at: f.at, frame: f.data}
	if len(f.data) < tap.EthernetHeaderLen {
		p.bad = "shorter than an Ethernet header"
		return p
	}
	p.etherType = binary.BigEndian.Uint16(f.data[12:])
	switch b := f.data[tap.EthernetHeaderLen:]; p.etherType {
	case etherIPv4:
		p.dissect4(b)
	case etherIPv6:
		p.dissect6(b)
	}
	if p.ip && !p.fragment && p.bad == "" {
		p.transport()
	}
	return p
}

func (p *packet) dissect4(b []byte) {
	h := header.IPv4(b)
	if !h.IsValid(len(b)) {
		p.bad = "malformed IPv4 header"
		return
	}
	p.ip = true
	p.src, p.dst = netip.AddrFrom4(h.SourceAddress().As4()), netip.AddrFrom4(h.DestinationAddress().As4())
	p.tos, _ = h.TOS()
	p.ttl, p.id, p.proto = h.TTL(), h.ID(), h.Protocol()
	p.df = h.Flags()&header.IPv4FlagDontFragment != 0
	p.fragFrom, p.fragMore = int(h.FragmentOffset()), h.More()
	p.fragment = p.fragFrom > 0 || p.fragMore
	p.payload = h.Payload()
	if !h.IsChecksumValid() {
		p.bad = "wrong IPv4 header checksum"
	}
}

func (p *packet) dissect6(b []byte) {
	h := header.IPv6(b)
	if !h.IsValid(len(b)) {
		p.bad = "malformed IPv6 header"
		return
	}
	p.ip, p.v6 = true, true
	p.src, p.dst = netip.AddrFrom16(h.SourceAddress().As16()), netip.AddrFrom16(h.DestinationAddress().As16())
	p.tos, p.flowLabel = h.TOS()
	p.ttl, p.proto = h.HopLimit(), h.NextHeader()
	p.payload = b[header.IPv6MinimumSize:][:h.PayloadLength()]
	if p.proto == uint8(header.IPv6FragmentExtHdrIdentifier) && len(p.payload) >= 8 {
		off := binary.BigEndian.Uint16(p.payload[2:])
		p.fragFrom, p.fragMore, p.fragment = int(off&^7), off&1 != 0, true
		p.id = uint16(binary.BigEndian.Uint32(p.payload[4:]))
		p.proto, p.payload = p.payload[0], p.payload[8:]
	}
}

// transport takes the IP payload apart and checks its checksum.
func (p *packet) transport() {
	b := p.payload
	sum := checksum(b, 0)
	if p.proto != protoICMP {
		sum = checksum(b, pseudo(p.src, p.dst, p.proto, len(b)))
	}
	switch p.proto {
	case protoTCP:
		h := header.TCP(b)
		if len(b) < header.TCPMinimumSize || int(h.DataOffset()) < header.TCPMinimumSize || int(h.DataOffset()) > len(b) {
			p.bad = "malformed TCP header"
			return
		}
		p.tcp = &segment{
			srcPort: h.SourcePort(), dstPort: h.DestinationPort(),
			seq: h.SequenceNumber(), ack: h.AckNumber(),
			flags: script.TCPFlags(b[13]) | script.TCPFlags(b[12]&1)<<8,
			win:   h.WindowSize(), urg: binary.BigEndian.Uint16(b[18:]),
			options: b[header.TCPMinimumSize:h.DataOffset()], data: b[h.DataOffset():],
		}
	case protoUDP:
		h := header.UDP(b)
		if len(b) < header.UDPMinimumSize || int(h.Length()) != len(b) {
			p.bad = "malformed UDP header"
			return
		}
		p.udp = &datagram{h.SourcePort(), h.DestinationPort(), b[header.UDPMinimumSize:]}
		if h.Checksum() == 0 && !p.v6 {
			sum = 0xffff
		}
	case protoICMP, protoICMPv6:
		if len(b) < 8 {
			p.bad = "malformed ICMP message"
			return
		}
		p.icmp = b
	default:
		return
	}
	if sum != 0xffff {
		p.bad = fmt.Sprintf("wrong checksum of protocol %d", p.proto)
	}
}

// checksum is the sum of RFC 1071 over b, not complemented.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// pseudo is the sum of a pseudo-header.
func pseudo(src, dst netip.Addr, proto uint8, n int) uint32 {
	sum := uint32(checksum(src.AsSlice(), 0)) + uint32(checksum(dst.AsSlice(), 0))
	return sum + uint32(proto) + uint32(n>>16) + uint32(n&0xffff)
}
