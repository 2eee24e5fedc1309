package stack

import (
	"hash/maphash"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// queueFor chooses the queue that a packet leaves by. Flows stay on one queue,
// so that their frames stay in order; and the kernel sends a flow's answers to
// the queue that it last saw the flow on.
func (l *link) queueFor(pkt *netstack.PacketBuffer) uint32 {
	if len(l.queues) == 1 {
		return 0
	}
	// gVisor gives a TCP connection's segments a hash, other packets none.
	hash := pkt.Hash
	if hash == 0 {
		hash = flowHash(l.seed, pkt)
	}
	return hash % uint32(len(l.queues))
}

// flowHash is a hash of a packet's addresses and protocol, and of its ports if
// it is whole: of a fragmented packet only the first piece has them.
func flowHash(seed maphash.Seed, pkt *netstack.PacketBuffer) uint32 {
	const v6 = header.IPv6AddressSize
	var key [2*v6 + 1 + 4]byte // addresses, protocol, ports
	k := key[:0]
	ip := pkt.NetworkHeader().Slice()
	var whole bool
	switch {
	case pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber && len(ip) >= header.IPv4MinimumSize:
		const src, end = 12, 20
		h := header.IPv4(ip)
		k = append(append(k, ip[src:end]...), h.Protocol())
		whole = !h.More() && h.FragmentOffset() == 0
	case pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber && len(ip) >= header.IPv6MinimumSize:
		const src, end = 8, 40
		k = append(append(k, ip[src:end]...), header.IPv6(ip).NextHeader())
		whole = true // a fragment's next header is neither TCP nor UDP
	default:
		return 0
	}
	if transport := pkt.TransportHeader().Slice(); whole && len(transport) >= 4 {
		switch k[len(k)-1] {
		case uint8(header.TCPProtocolNumber), uint8(header.UDPProtocolNumber):
			k = append(k, transport[:4]...)
		}
	}
	return uint32(maphash.Bytes(seed, k))
}
