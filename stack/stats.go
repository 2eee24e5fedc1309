package stack

import (
	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/tap"
)

// Stats is a snapshot of the stack's counters since it was made. Counters are
// read one after the other, not at one instant.
type Stats struct {
	NICs []NICStats
	TCP  TCPStats
	UDP  UDPStats

	// Drops are the received packets that reached nobody, by cause.
	Drops Drops
}

// NICStats are one interface's counters. What the device itself lost is in
// Device; the others were lost between device and IP.
type NICStats struct {
	Name   string
	Device tap.Stats

	// KernelDropsIn are frames for us that the operating system dropped before
	// the device had them, because nobody read fast enough; KernelDropsOut
	// frames of ours that it took and dropped. Both are the interface's own
	// counters, since it was made; 0 where there is none, as with a pipe.
	KernelDropsIn, KernelDropsOut uint64

	DropOtherHost uint64 // frames for another MAC
	DropTooShort  uint64 // frames without a whole Ethernet header
	DropEtherType uint64 // frames of neither IPv4, IPv6 nor ARP
	DropUSO       uint64 // large UDP frames that cannot be cut

	// AcksJoined are TCP segments that are counted as sent and never left:
	// pure ACKs, each replaced by the flow's next segment microseconds later.
	AcksJoined uint64

	// Merged are datagrams that left several to a frame (see Batch); Device
	// counts such a frame once. DropMerged are those of frames that the device
	// did not take: whoever sent them was told that they were.
	Merged, DropMerged uint64
}

// TCPStats counts segments and connections.
type TCPStats struct {
	SegmentsSent, SegmentsReceived uint64

	// Retransmits are segments sent again; of these, FastRetransmits were
	// found lost by SACK or RACK and RTOs by the timer. TLPRecoveries are
	// the losses that a tail loss probe brought to light (RFC 8985, 7). The
	// probes themselves are among Retransmits; gVisor does not count them
	// apart, so the causes need not add up.
	Retransmits, FastRetransmits, RTOs, TLPRecoveries uint64

	// DSACKs are acknowledgements that reported a duplicate (RFC 2883): a
	// retransmission was needless.
	DSACKs uint64

	// SendErrors are segments the device did not take. Those of an interface
	// that is down, or too large for it (tap.ErrDown, tap.ErrFrame), were lost
	// without TCP noticing and are among SegmentsSent too; those of a full
	// device (tap.ErrFull) are not.
	SendErrors uint64

	ResetsSent, ResetsReceived uint64

	// ActiveOpens were dialled, PassiveOpens accepted; FailedOpens got no
	// further than the handshake. Established is how many there are now.
	ActiveOpens, PassiveOpens, FailedOpens, Established uint64

	// ListenOverflows are SYNs and handshakes dropped on a full backlog.
	ListenOverflows uint64
}

// UDPStats counts datagrams. SendErrors are those that the network layer or
// the device did not take, with TCPStats's distinction.
type UDPStats struct {
	Sent, Received, SendErrors uint64
}

// Drops counts received packets that were discarded, by cause. A packet counts
// once, with an exception that gVisor makes: of what is for no socket, a
// datagram with a wrong checksum is in UDPNoSocket, UDPChecksum and L4Malformed,
// one with a wrong length in UDPNoSocket, UDPMalformed and L4Malformed. So the
// sum of all causes may exceed the number of packets.
type Drops struct {
	IPMalformed      uint64 // truncated, or lengths or header checksum wrong
	IPNotForUs       uint64 // a destination that is none of our addresses
	IPBadSource      uint64 // a source that nobody may have
	IPFragment       uint64 // malformed fragments
	ARPMalformed     uint64
	ICMPMalformed    uint64
	TCPMalformed     uint64
	TCPChecksum      uint64
	UDPMalformed     uint64
	UDPChecksum      uint64
	UDPNoSocket      uint64 // no socket on that port
	UDPReceiveBuffer uint64 // the socket's receive buffer was full
	L4Malformed      uint64 // headers of TCP, UDP or ICMP truncated, or malformed and for no socket
	UnknownTransport uint64 // an IP protocol that is none of TCP, UDP, ICMP
}

// Stats reads all counters.
func (s *Stack) Stats() Stats {
	g := s.ns.Stats()
	t, u, ip := g.TCP, g.UDP, g.IP
	st := Stats{
		TCP: TCPStats{
			SegmentsSent:     t.SegmentsSent.Value(),
			SegmentsReceived: t.ValidSegmentsReceived.Value(),
			Retransmits:      t.Retransmits.Value(),
			FastRetransmits:  t.FastRetransmit.Value(),
			RTOs:             t.Timeouts.Value(),
			TLPRecoveries:    t.TLPRecovery.Value(),
			DSACKs:           t.SegmentsAckedWithDSACK.Value(),
			SendErrors:       t.SegmentSendErrors.Value(),
			ResetsSent:       t.ResetsSent.Value(),
			ResetsReceived:   t.ResetsReceived.Value(),
			ActiveOpens:      t.ActiveConnectionOpenings.Value(),
			PassiveOpens:     t.PassiveConnectionOpenings.Value(),
			FailedOpens:      t.FailedConnectionAttempts.Value(),
			Established:      t.CurrentEstablished.Value(),
			ListenOverflows:  t.ListenOverflowSynDrop.Value() + t.ListenOverflowAckDrop.Value(),
		},
		UDP: UDPStats{
			Sent:       u.PacketsSent.Value(),
			Received:   u.PacketsReceived.Value(),
			SendErrors: u.PacketSendErrors.Value(),
		},
		Drops: Drops{
			IPMalformed:      ip.MalformedPacketsReceived.Value(),
			IPNotForUs:       ip.InvalidDestinationAddressesReceived.Value(),
			IPBadSource:      ip.InvalidSourceAddressesReceived.Value(),
			IPFragment:       ip.MalformedFragmentsReceived.Value(),
			ARPMalformed:     g.ARP.MalformedPacketsReceived.Value(),
			ICMPMalformed:    g.ICMP.V4.PacketsReceived.Invalid.Value() + g.ICMP.V6.PacketsReceived.Invalid.Value(),
			TCPMalformed:     t.InvalidSegmentsReceived.Value(),
			TCPChecksum:      t.ChecksumErrors.Value(),
			UDPMalformed:     u.MalformedPacketsReceived.Value(),
			UDPChecksum:      u.ChecksumErrors.Value(),
			UDPNoSocket:      u.UnknownPortErrors.Value(),
			UDPReceiveBuffer: u.ReceiveBufferErrors.Value(),
			L4Malformed:      g.NICs.MalformedL4RcvdPackets.Value(),
			UnknownTransport: sumCounts(g.NICs.UnknownL4ProtocolRcvdPacketCounts),
		},
	}
	for _, n := range s.NICs() {
		st.NICs = append(st.NICs, n.stats())
		_, acks := n.link.acksLost()
		st.TCP.SendErrors += n.link.drops.tcpOut.Load() + acks
		st.UDP.SendErrors += n.link.drops.udpOut.Load()
	}
	return st
}

func (n *NIC) stats() NICStats {
	joined, _ := n.link.acksLost()
	st := NICStats{
		Name:          n.Name(),
		Device:        n.link.dev.Stats(),
		DropOtherHost: n.link.drops.otherHost.Load(),
		DropTooShort:  n.link.drops.tooShort.Load(),
		DropUSO:       n.link.drops.badUSO.Load(),
		AcksJoined:    joined,
		Merged:        n.link.merged.sent.Load(),
		DropMerged:    n.link.merged.lost.Load(),
	}
	if i, err := tap.InterfaceOf(n.link.dev); err == nil {
		st.KernelDropsIn, st.KernelDropsOut = i.TxDropped, i.RxDropped // from its point of view
	}
	if info, ok := n.s.ns.NICInfo()[n.id]; ok {
		st.DropEtherType = sumCounts(info.Stats.UnknownL3ProtocolRcvdPacketCounts)
	}
	return st
}

func sumCounts(m *tcpip.IntegralStatCounterMap) uint64 {
	var sum uint64
	for _, k := range m.Keys() {
		if c, ok := m.Get(k); ok {
			sum += c.Value()
		}
	}
	return sum
}
