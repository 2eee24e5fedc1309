package node

import (
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/stack"
)

// Stats are the stack's counters, by the names that Linux's nstat(8) has for
// them; those that Linux has not are named in its manner.
func (n *Node) Stats() api.Stats {
	st := n.s.Stats()
	out := api.Stats{Time: time.Now()}
	add := func(name string, v uint64) { out.Counters = append(out.Counters, api.Counter{Name: name, Value: v}) }

	add("IpInHdrErrors", st.Drops.IPMalformed)
	add("IpInAddrErrors", st.Drops.IPNotForUs)
	add("IpInBadSource", st.Drops.IPBadSource)
	add("IpReasmFails", st.Drops.IPFragment)
	add("IpInUnknownProtos", st.Drops.UnknownTransport)
	add("IpInTruncated", st.Drops.L4Malformed)
	add("ArpInErrors", st.Drops.ARPMalformed)
	add("IcmpInErrors", st.Drops.ICMPMalformed)

	t := &st.TCP
	add("TcpActiveOpens", t.ActiveOpens)
	add("TcpPassiveOpens", t.PassiveOpens)
	add("TcpAttemptFails", t.FailedOpens)
	out.Counters = append(out.Counters, api.Counter{Name: "TcpCurrEstab", Value: t.Established, Gauge: true})
	add("TcpInSegs", t.SegmentsReceived)
	add("TcpOutSegs", t.SegmentsSent)
	add("TcpRetransSegs", t.Retransmits)
	add("TcpInErrs", st.Drops.TCPMalformed)
	add("TcpInCsumErrors", st.Drops.TCPChecksum)
	add("TcpOutRsts", t.ResetsSent)
	add("TcpInRsts", t.ResetsReceived)
	add("TcpOutErrors", t.SendErrors)
	add("TcpExtTCPFastRetrans", t.FastRetransmits)
	add("TcpExtTCPTimeouts", t.RTOs)
	add("TcpExtTCPLossProbeRecovery", t.TLPRecoveries)
	add("TcpExtTCPDSACKRecv", t.DSACKs)
	add("TcpExtListenOverflows", t.ListenOverflows)

	add("UdpInDatagrams", st.UDP.Received)
	add("UdpOutDatagrams", st.UDP.Sent)
	add("UdpNoPorts", st.Drops.UDPNoSocket)
	add("UdpInErrors", st.Drops.UDPMalformed)
	add("UdpRcvbufErrors", st.Drops.UDPReceiveBuffer)
	add("UdpSndbufErrors", st.UDP.SendErrors)
	add("UdpInCsumErrors", st.Drops.UDPChecksum)
	for i := range st.NICs {
		nicCounters(&st.NICs[i], add)
	}
	return out
}

// nicCounters are those of one NIC, with its name behind a dot.
func nicCounters(n *stack.NICStats, add func(string, uint64)) {
	d := &n.Device
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"NicRxFrames", d.RxFrames}, {"NicRxBytes", d.RxBytes}, {"NicRxDrops", d.RxDrops.Total()},
		{"NicTxFrames", d.TxFrames}, {"NicTxBytes", d.TxBytes}, {"NicTxDrops", d.TxDrops.Total()},
		{"NicRxOtherHost", n.DropOtherHost}, {"NicRxTooShort", n.DropTooShort},
		{"NicRxNoProtocol", n.DropEtherType}, {"NicRxBadOffload", n.DropUSO}, {"NicTxAcksJoined", n.AcksJoined},
	} {
		add(c.name+"."+n.Name, c.value)
	}
}
