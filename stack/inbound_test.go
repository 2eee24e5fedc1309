package stack_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/stack"
	"tapstack/tap"
)

// The peer of these tests is the test itself: it writes frames by hand.
var (
	ourMAC  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	peerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

func tcpipAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

// ethernet puts a frame's header before packet.
func ethernet(dst net.HardwareAddr, proto tcpip.NetworkProtocolNumber, packet []byte) []byte {
	b := make([]byte, header.EthernetMinimumSize, header.EthernetMinimumSize+len(packet))
	header.Ethernet(b).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(peerMAC), DstAddr: tcpip.LinkAddress(dst), Type: proto,
	})
	return append(b, packet...)
}

// ip4 makes an IPv4 packet from the peer to us.
func ip4(proto tcpip.TransportProtocolNumber, payload []byte) []byte {
	b := make([]byte, header.IPv4MinimumSize, header.IPv4MinimumSize+len(payload))
	h := header.IPv4(b)
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(header.IPv4MinimumSize + len(payload)),
		TTL:         64, Protocol: uint8(proto),
		SrcAddr: tcpipAddr(peer4.Addr()), DstAddr: tcpipAddr(our4.Addr()),
	})
	h.SetChecksum(^h.CalculateChecksum())
	return append(b, payload...)
}

// ip6 makes an IPv6 packet from the peer to us.
func ip6(proto tcpip.TransportProtocolNumber, payload []byte) []byte {
	b := make([]byte, header.IPv6MinimumSize, header.IPv6MinimumSize+len(payload))
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(payload)), TransportProtocol: proto, HopLimit: 64,
		SrcAddr: tcpipAddr(peer6.Addr()), DstAddr: tcpipAddr(our6.Addr()),
	})
	return append(b, payload...)
}

func pseudo(proto tcpip.TransportProtocolNumber, v6 bool, n int) uint16 {
	if v6 {
		return header.PseudoHeaderChecksum(proto, tcpipAddr(peer6.Addr()), tcpipAddr(our6.Addr()), uint16(n))
	}
	return header.PseudoHeaderChecksum(proto, tcpipAddr(peer4.Addr()), tcpipAddr(our4.Addr()), uint16(n))
}

// syn makes a SYN segment.
func syn(v6 bool, port uint16) []byte {
	b := make([]byte, header.TCPMinimumSize)
	h := header.TCP(b)
	h.Encode(&header.TCPFields{
		SrcPort: 1234, DstPort: port, SeqNum: 0xffffd8ef, // -10001: a stream that wraps
		DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 65535,
	})
	h.SetChecksum(^h.CalculateChecksum(pseudo(header.TCPProtocolNumber, v6, len(b))))
	return b
}

// datagram makes a UDP datagram.
func datagram(v6 bool, port uint16, payload []byte) []byte {
	b := append(make([]byte, header.UDPMinimumSize), payload...)
	h := header.UDP(b)
	h.Encode(&header.UDPFields{SrcPort: 1234, DstPort: port, Length: uint16(len(b))})
	xsum := checksum.Checksum(payload, pseudo(header.UDPProtocolNumber, v6, len(b)))
	h.SetChecksum(^h.CalculateChecksum(xsum))
	return b
}

// echo makes an ICMP echo request.
func echo(v6 bool) []byte {
	if v6 {
		h := header.ICMPv6(make([]byte, header.ICMPv6EchoMinimumSize))
		h.SetType(header.ICMPv6EchoRequest)
		h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{
			Header: h, Src: tcpipAddr(peer6.Addr()), Dst: tcpipAddr(our6.Addr()),
		}))
		return h
	}
	h := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize))
	h.SetType(header.ICMPv4Echo)
	h.SetChecksum(header.ICMPv4Checksum(h, 0))
	return h
}

// damaged is b with the byte at i changed.
func damaged(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 0x55
	return b
}

// TestDropsByCause sends one bad frame at a time: none may be answered to as
// if it were good, each must move exactly the counter of its cause.
func TestDropsByCause(t *testing.T) {
	const v4, v6 = header.IPv4ProtocolNumber, header.IPv6ProtocolNumber
	goodTCP := ethernet(ourMAC, v4, ip4(header.TCPProtocolNumber, syn(false, 80)))
	goodUDP := ethernet(ourMAC, v4, ip4(header.UDPProtocolNumber, datagram(false, 53, []byte("hello"))))
	eth, l4 := tap.EthernetHeaderLen, tap.EthernetHeaderLen+header.IPv4MinimumSize

	for name, c := range map[string]struct {
		frame []byte
		cause func(stack.Stats) uint64
	}{
		"another MAC": {ethernet(net.HardwareAddr{2, 9, 9, 9, 9, 9}, v4, ip4(header.TCPProtocolNumber, syn(false, 80))),
			func(s stack.Stats) uint64 { return s.NICs[0].DropOtherHost }},
		"unknown EtherType": {ethernet(ourMAC, 0x88b5, make([]byte, 46)),
			func(s stack.Stats) uint64 { return s.NICs[0].DropEtherType }},
		"no packet":                 {ethernet(ourMAC, v4, nil), func(s stack.Stats) uint64 { return s.Drops.IPMalformed }},
		"truncated IPv4 header":     {goodTCP[:eth+19], func(s stack.Stats) uint64 { return s.Drops.IPMalformed }},
		"IPv4 length beyond frame":  {goodTCP[:eth+30], func(s stack.Stats) uint64 { return s.Drops.IPMalformed }},
		"IPv4 header checksum":      {damaged(goodTCP, eth+10), func(s stack.Stats) uint64 { return s.Drops.IPMalformed }},
		"truncated IPv6 header":     {ethernet(ourMAC, v6, make([]byte, 39)), func(s stack.Stats) uint64 { return s.Drops.IPMalformed }},
		"truncated ARP":             {ethernet(ourMAC, header.ARPProtocolNumber, make([]byte, 20)), func(s stack.Stats) uint64 { return s.Drops.ARPMalformed }},
		"TCP checksum":              {damaged(goodTCP, l4+16), func(s stack.Stats) uint64 { return s.Drops.TCPChecksum }},
		"TCP checksum over IPv6":    {damaged(ethernet(ourMAC, v6, ip6(header.TCPProtocolNumber, syn(true, 80))), 14+40+16), func(s stack.Stats) uint64 { return s.Drops.TCPChecksum }},
		"truncated TCP header":      {ethernet(ourMAC, v4, ip4(header.TCPProtocolNumber, make([]byte, 10))), func(s stack.Stats) uint64 { return s.Drops.L4Malformed }},
		"UDP checksum":              {damaged(goodUDP, len(goodUDP)-1), func(s stack.Stats) uint64 { return s.Drops.UDPChecksum }},
		"UDP to no socket":          {goodUDP, func(s stack.Stats) uint64 { return s.Drops.UDPNoSocket }},
		"truncated UDP header":      {ethernet(ourMAC, v4, ip4(header.UDPProtocolNumber, make([]byte, 4))), func(s stack.Stats) uint64 { return s.Drops.L4Malformed }},
		"ICMPv4 checksum":           {damaged(ethernet(ourMAC, v4, ip4(header.ICMPv4ProtocolNumber, echo(false))), l4+2), func(s stack.Stats) uint64 { return s.Drops.ICMPMalformed }},
		"ICMPv6 checksum":           {damaged(ethernet(ourMAC, v6, ip6(header.ICMPv6ProtocolNumber, echo(true))), 14+40+2), func(s stack.Stats) uint64 { return s.Drops.ICMPMalformed }},
		"unknown transport":         {ethernet(ourMAC, v4, ip4(200, make([]byte, 20))), func(s stack.Stats) uint64 { return s.Drops.UnknownTransport }},
		"another host's IP address": {ethernet(ourMAC, v4, toOther(goodTCP[eth:])), func(s stack.Stats) uint64 { return s.Drops.IPNotForUs }},
	} {
		t.Run(name, func(t *testing.T) {
			ours, peer := tap.Pipe(nil)
			defer peer.Close()
			s, _ := newStack(t, ours, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}, HardwareAddr: ourMAC})
			listen(t, s, 80)
			if n := c.cause(s.Stats()); n != 0 {
				t.Fatalf("the counter starts at %d", n)
			}
			if err := peer.Queues()[0].Write([][]byte{c.frame}, tap.Offload{}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the counter moves", func() bool { return c.cause(s.Stats()) > 0 })
			if st := s.Stats(); c.cause(st) != 1 || st.TCP.SegmentsSent != 0 {
				t.Errorf("counted %d times, %d segments sent in answer", c.cause(st), st.TCP.SegmentsSent)
			}
		})
	}
}

// TestDropsCountedTwice holds what Drops says of the packets that gVisor counts
// under several causes. Where it fails, gVisor has changed, and Drops is to.
func TestDropsCountedTwice(t *testing.T) {
	const v4 = header.IPv4ProtocolNumber
	udp := datagram(false, 53, []byte("hello"))
	short := slices.Clone(udp)
	header.UDP(short).SetLength(uint16(len(udp) + 1))
	for name, c := range map[string]struct {
		datagram []byte
		want     stack.Drops
	}{
		"checksum": {damaged(udp, len(udp)-1), stack.Drops{UDPNoSocket: 1, UDPChecksum: 1, L4Malformed: 1}},
		"length":   {short, stack.Drops{UDPNoSocket: 1, UDPMalformed: 1, L4Malformed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			ours, peer := tap.Pipe(nil)
			defer peer.Close()
			s, _ := newStack(t, ours, &stack.NICConfig{Addresses: []netip.Prefix{our4}, HardwareAddr: ourMAC})
			write(t, peer.Queues()[0], ethernet(ourMAC, v4, ip4(header.UDPProtocolNumber, c.datagram)), tap.Offload{})
			write(t, peer.Queues()[0], ethernet(net.HardwareAddr{2, 9, 9, 9, 9, 9}, v4, nil), tap.Offload{})
			eventually(t, "the second frame", func() bool { return s.Stats().NICs[0].DropOtherHost == 1 })
			if got := s.Stats().Drops; got != c.want {
				t.Errorf("%+v\nwant %+v", got, c.want)
			}
		})
	}
}

// toOther is an IPv4 packet sent to a host that is not ours.
func toOther(packet []byte) []byte {
	h := header.IPv4(slices.Clone(packet))
	h.SetDestinationAddress(tcpip.AddrFrom4([4]byte{192, 0, 2, 77}))
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
	return h
}

// TestEchoIsAnswered is the control: the same builders make frames that work.
func TestEchoIsAnswered(t *testing.T) {
	for name, frame := range map[string][]byte{
		"IPv4": ethernet(ourMAC, header.IPv4ProtocolNumber, ip4(header.ICMPv4ProtocolNumber, echo(false))),
		"IPv6": ethernet(ourMAC, header.IPv6ProtocolNumber, ip6(header.ICMPv6ProtocolNumber, echo(true))),
	} {
		t.Run(name, func(t *testing.T) {
			ours, peer := tap.Pipe(nil)
			defer peer.Close()
			s, n := newStack(t, ours, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}, HardwareAddr: ourMAC})
			// The stack asks who we are before it answers: it is told first.
			static(t, s, n)
			q := peer.Queues()[0]
			write(t, q, frame, tap.Offload{})
			b := make([]byte, 2048)
			for {
				n, _, err := q.Read([][]byte{b})
				if err != nil {
					t.Fatal(err)
				}
				if isEchoReply(b[:n]) {
					return
				}
			}
		})
	}
}

// static tells a NIC who the peer is.
func static(t testing.TB, s *stack.Stack, n *stack.NIC) {
	t.Helper()
	for _, a := range []netip.Addr{peer4.Addr(), peer6.Addr()} {
		proto := header.IPv4ProtocolNumber
		if a.Is6() {
			proto = header.IPv6ProtocolNumber
		}
		if err := s.Netstack().AddStaticNeighbor(n.ID(), proto, tcpipAddr(a), tcpip.LinkAddress(peerMAC)); err != nil {
			t.Fatal(err)
		}
	}
}

// isEchoReply looks for an answer to one of our echo requests, sent to us.
func isEchoReply(frame []byte) bool {
	eth := header.Ethernet(frame)
	if eth.DestinationAddress() != tcpip.LinkAddress(peerMAC) {
		return false
	}
	switch packet := frame[header.EthernetMinimumSize:]; eth.Type() {
	case header.IPv4ProtocolNumber:
		h := header.IPv4(packet)
		return h.TransportProtocol() == header.ICMPv4ProtocolNumber && header.ICMPv4(h.Payload()).Type() == header.ICMPv4EchoReply
	case header.IPv6ProtocolNumber:
		h := header.IPv6(packet)
		return h.NextHeader() == uint8(header.ICMPv6ProtocolNumber) && header.ICMPv6(h.Payload()).Type() == header.ICMPv6EchoReply
	default:
		return false
	}
}

// FuzzInbound feeds frames to a live stack that listens: whatever arrives, the
// stack must neither panic nor leak a packet, and must still answer after it.
func FuzzInbound(f *testing.F) {
	const v4, v6 = header.IPv4ProtocolNumber, header.IPv6ProtocolNumber
	for _, frame := range [][]byte{
		{}, make([]byte, 13), make([]byte, 14),
		ethernet(ourMAC, v4, ip4(header.TCPProtocolNumber, syn(false, 80))),
		ethernet(ourMAC, v6, ip6(header.TCPProtocolNumber, syn(true, 80))),
		ethernet(ourMAC, v4, ip4(header.UDPProtocolNumber, datagram(false, 53, []byte("hello")))),
		ethernet(ourMAC, v4, ip4(header.ICMPv4ProtocolNumber, echo(false))),
		ethernet(ourMAC, v6, ip6(header.ICMPv6ProtocolNumber, echo(true))),
		ethernet(ourMAC, header.ARPProtocolNumber, make([]byte, 28)),
	} {
		f.Add(frame)
	}
	ours, peer := tap.Pipe(nil)
	f.Cleanup(func() { _ = peer.Close() })
	s, _ := newStack(f, ours, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}, HardwareAddr: ourMAC})
	listen(f, s, 80)
	q := peer.Queues()[0]
	p := &prober{q: q, buf: make([]byte, tap.MaxFrame)}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if err := q.Write([][]byte{frame}, tap.Offload{}); err != nil {
			return // no device would have carried it
		}
		p.probe(t, s)
	})
}

// prober asks a stack for its address and waits for the answer: what was sent
// before has then been handled. Every question comes from another hardware
// address, so that no frame of a fuzzer's is taken for one.
type prober struct {
	q   tap.Queue
	buf []byte
	n   uint32
}

func (p *prober) probe(t testing.TB, s *stack.Stack) {
	t.Helper()
	p.n++
	mac := slices.Clone(peerMAC)
	mac[0] = 6
	binary.BigEndian.PutUint32(mac[2:], p.n)
	frame := ethernet(ourMAC, header.ARPProtocolNumber, arpRequest(mac))
	if err := p.q.Write([][]byte{frame}, tap.Offload{}); err != nil {
		t.Fatal(err)
	}
	for {
		n, _, err := p.q.Read([][]byte{p.buf})
		if err != nil {
			t.Fatalf("%v; the stack: %v", err, s.Err())
		}
		arp := header.ARP(p.buf[header.EthernetMinimumSize:n])
		if header.Ethernet(p.buf).Type() == header.ARPProtocolNumber && arp.Op() == header.ARPReply &&
			slices.Equal(arp.HardwareAddressTarget(), mac) {
			return
		}
	}
}

// arpRequest asks for our IPv4 address, from mac.
func arpRequest(mac net.HardwareAddr) []byte {
	h := header.ARP(make([]byte, header.ARPSize))
	h.SetIPv4OverEthernet()
	h.SetOp(header.ARPRequest)
	copy(h.HardwareAddressSender(), mac)
	copy(h.ProtocolAddressSender(), peer4.Addr().AsSlice())
	copy(h.ProtocolAddressTarget(), our4.Addr().AsSlice())
	return h
}

// listen makes the stack accept TCP on a port, without package socketapi.
func listen(t testing.TB, s *stack.Stack, port uint16) {
	t.Helper()
	ep, err := newTCPEndpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := ep.Bind(tcpip.FullAddress{Port: port}); err != nil {
		t.Fatal(err)
	}
	if err := ep.Listen(8); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ep.Close)
}
