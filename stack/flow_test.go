package stack

import (
	"encoding/binary"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// manyQueues is a sinkDevice with several queues, which counts by queue.
type manyQueues struct {
	sinkDevice
	queues []tap.Queue
	writes []int
}

type countingQueue struct {
	dev *manyQueues
	i   int
}

func (*countingQueue) Read([][]byte) (int, tap.Offload, error) { panic("nobody reads") }

func (q *countingQueue) Write([][]byte, tap.Offload) error {
	q.dev.writes[q.i]++
	return nil
}

func (d *manyQueues) Queues() []tap.Queue { return d.queues }

func newManyQueues(n int) *manyQueues {
	d := &manyQueues{writes: make([]int, n)}
	for i := range n {
		d.queues = append(d.queues, &countingQueue{d, i})
	}
	return d
}

// flowPacket is a packet with these parts as gVisor hands it over.
func flowPacket(v6 bool, host byte, proto tcpip.TransportProtocolNumber, port uint16, fragment uint16, whole bool) *netstack.PacketBuffer {
	pkt := netstack.NewPacketBuffer(netstack.PacketBufferOptions{
		ReserveHeaderBytes: 100,
		Payload:            buffer.MakeWithView(buffer.NewViewSize(100)),
	})
	if whole || fragment == 0 {
		binary.BigEndian.PutUint16(pkt.TransportHeader().Push(8), port)
	}
	if v6 {
		b := pkt.NetworkHeader().Push(header.IPv6MinimumSize)
		b[39] = host
		header.IPv6(b).SetNextHeader(uint8(proto))
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
		return pkt
	}
	b := pkt.NetworkHeader().Push(header.IPv4MinimumSize)
	h := header.IPv4(b)
	h.Encode(&header.IPv4Fields{Protocol: uint8(proto), FragmentOffset: fragment})
	if !whole {
		h.SetFlagsFragmentOffset(header.IPv4FlagMoreFragments, fragment)
	}
	b[19] = host
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	return pkt
}

// used is how many queues n packets leave by.
func used(t *testing.T, n int, packet func(i int) *netstack.PacketBuffer) (queues int) {
	t.Helper()
	dev := newManyQueues(4)
	l := newLink(dev, testAddr, nil)
	for i := range n {
		pkt := packet(i)
		if err := l.write(pkt); err != nil {
			t.Fatal(err)
		}
		pkt.DecRef()
	}
	for _, w := range dev.writes {
		if w > 0 {
			queues++
		}
	}
	return queues
}

// TestFlowsAreSpread: many flows leave by all queues, one flow by one.
func TestFlowsAreSpread(t *testing.T) {
	const udp, icmp, fragmentHeader = header.UDPProtocolNumber, header.ICMPv4ProtocolNumber, header.IPv6FragmentExtHdrIdentifier
	const n = 200 // by chance: all on three of four queues once in 10^24
	for name, c := range map[string]struct {
		want   int
		packet func(i int) *netstack.PacketBuffer
	}{
		"UDP, ports":       {4, func(i int) *netstack.PacketBuffer { return flowPacket(false, 1, udp, uint16(i), 0, true) }},
		"UDP, ports, v6":   {4, func(i int) *netstack.PacketBuffer { return flowPacket(true, 1, udp, uint16(i), 0, true) }},
		"UDP, one flow":    {1, func(int) *netstack.PacketBuffer { return flowPacket(false, 1, udp, 53, 0, true) }},
		"UDP, one flow v6": {1, func(int) *netstack.PacketBuffer { return flowPacket(true, 1, udp, 53, 0, true) }},
		"ICMP, hosts":      {4, func(i int) *netstack.PacketBuffer { return flowPacket(false, byte(i), icmp, 0, 0, true) }},
		"ICMP, one host":   {1, func(i int) *netstack.PacketBuffer { return flowPacket(false, 1, icmp, uint16(i), 0, true) }},
		"fragments": {1, func(i int) *netstack.PacketBuffer {
			return flowPacket(false, 1, udp, uint16(i), uint16(i%3*8), false)
		}},
		"fragments v6": {1, func(i int) *netstack.PacketBuffer {
			return flowPacket(true, 1, tcpip.TransportProtocolNumber(fragmentHeader), uint16(i), 0, true)
		}},
		"TCP as gVisor hashes": {1, func(i int) *netstack.PacketBuffer {
			pkt := flowPacket(false, byte(i), header.TCPProtocolNumber, uint16(i), 0, true)
			pkt.Hash = 77
			return pkt
		}},
		"ARP": {1, func(int) *netstack.PacketBuffer {
			pkt := netstack.NewPacketBuffer(netstack.PacketBufferOptions{ReserveHeaderBytes: 50})
			pkt.NetworkProtocolNumber = header.ARPProtocolNumber
			pkt.NetworkHeader().Push(header.ARPSize)
			return pkt
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := used(t, n, c.packet); got != c.want {
				t.Errorf("%d of 4 queues used, want %d", got, c.want)
			}
		})
	}
	pkt := flowPacket(true, 1, udp, 53, 0, true)
	defer pkt.DecRef()
	l := newLink(newManyQueues(2), testAddr, nil)
	if n := testing.AllocsPerRun(100, func() { l.queueFor(pkt) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
