package metrics

import (
	"slices"

	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/stack"
	"tapstack/tap"
)

// families are all metrics that are read at a scrape.
var families = slices.Concat(nicFamilies, kernelFamilies, tcpFamilies, otherFamilies, socketFamilies, serviceFamilies)

// perNIC is a family with a series for each NIC.
func perNIC(get func(*stack.NICStats) uint64) func(*snapshot, add) {
	return func(s *snapshot, to add) {
		for i := range s.stats.NICs {
			n := &s.stats.NICs[i]
			to(float64(get(n)), valid(n.Name))
		}
	}
}

// perCause is one with a series for each NIC and cause.
func perCause(get func(n *stack.NICStats, to func(cause string, v uint64))) func(*snapshot, add) {
	return func(s *snapshot, to add) {
		for i := range s.stats.NICs {
			n := &s.stats.NICs[i]
			get(n, func(cause string, v uint64) { to(float64(v), valid(n.Name), cause) })
		}
	}
}

func deviceDrops(d tap.Drops, to func(string, uint64)) {
	to("full", d.Full)
	to("too_short", d.TooShort)
	to("too_large", d.TooLarge)
	to("offload", d.Offload)
	to("down", d.Down)
	to("error", d.Error)
}

var nicFamilies = []family{
	gauge("nic_up", "Whether the operating system's end of the link is up.", func(s *snapshot, to add) {
		for _, n := range s.nics {
			to(float64(b2i(n.up)), valid(n.name))
		}
	}, "nic"),
	gauge("nic_mtu_bytes", "IP MTU.", func(s *snapshot, to add) {
		for _, n := range s.nics {
			to(float64(n.mtu), valid(n.name))
		}
	}, "nic"),
	counter("nic_receive_frames_total", "Frames read from the device; a large one is one.",
		perNIC(func(n *stack.NICStats) uint64 { return n.Device.RxFrames }), "nic"),
	counter("nic_receive_bytes_total", "Bytes of frames read from the device.",
		perNIC(func(n *stack.NICStats) uint64 { return n.Device.RxBytes }), "nic"),
	counter("nic_transmit_frames_total", "Frames written to the device; a large one is one.",
		perNIC(func(n *stack.NICStats) uint64 { return n.Device.TxFrames }), "nic"),
	counter("nic_transmit_bytes_total", "Bytes of frames written to the device.",
		perNIC(func(n *stack.NICStats) uint64 { return n.Device.TxBytes }), "nic"),
	counter("nic_receive_drops_total", "Received frames dropped before IP, by cause.",
		perCause(func(n *stack.NICStats, to func(string, uint64)) {
			deviceDrops(n.Device.RxDrops, to)
			to("other_host", n.DropOtherHost)
			to("ethernet_header", n.DropTooShort)
			to("ethertype", n.DropEtherType)
			to("uso", n.DropUSO)
		}), "nic", "cause"),
	counter("nic_transmit_drops_total", "Frames that the device did not take, by cause.",
		perCause(func(n *stack.NICStats, to func(string, uint64)) { deviceDrops(n.Device.TxDrops, to) }), "nic", "cause"),
	counter("nic_acks_joined_total", "Pure ACKs replaced by the flow's next segment before they left.",
		perNIC(func(n *stack.NICStats) uint64 { return n.AcksJoined }), "nic"),
	counter("nic_merged_datagrams_total", "Datagrams that left several to a frame.",
		perNIC(func(n *stack.NICStats) uint64 { return n.Merged }), "nic"),
	counter("nic_merged_datagrams_dropped_total", "Datagrams of merged frames that the device did not take.",
		perNIC(func(n *stack.NICStats) uint64 { return n.DropMerged }), "nic"),
}

func perKernel(get func(*kernel, add)) func(*snapshot, add) {
	return func(s *snapshot, to add) {
		for i := range s.kernel {
			get(&s.kernel[i], to)
		}
	}
}

// The kernel counts from its point of view: what it transmits we receive.
var kernelFamilies = []family{
	counter("nic_kernel_drops_total", "Frames that the kernel dropped at its end of the link: on their way to the stack (its queue was full) or from it.",
		perKernel(func(k *kernel, to add) {
			to(float64(k.TxDropped), valid(k.name), "to_stack")
			to(float64(k.RxDropped), valid(k.name), "from_stack")
		}), "nic", "direction"),
	counter("nic_kernel_errors_total", "Errors that the kernel counted at its end of the link.",
		perKernel(func(k *kernel, to add) {
			to(float64(k.TxErrors), valid(k.name), "to_stack")
			to(float64(k.RxErrors), valid(k.name), "from_stack")
		}), "nic", "direction"),
	gauge("nic_kernel_queue_frames", "Frames that the kernel keeps for the stack before it drops: the queue's size.",
		perKernel(func(k *kernel, to add) { to(float64(k.TxQueueLen), valid(k.name)) }), "nic"),
}

func ofTCP(get func(*stack.TCPStats) uint64) func(*snapshot, add) {
	return number(func(s *snapshot) uint64 { return get(&s.stats.TCP) })
}

var tcpFamilies = []family{
	counter("tcp_segments_sent_total", "TCP segments sent; a large one is one.", ofTCP(func(t *stack.TCPStats) uint64 { return t.SegmentsSent })),
	counter("tcp_segments_received_total", "TCP segments received.", ofTCP(func(t *stack.TCPStats) uint64 { return t.SegmentsReceived })),
	counter("tcp_retransmits_total", "TCP segments sent again.", ofTCP(func(t *stack.TCPStats) uint64 { return t.Retransmits })),
	counter("tcp_fast_retransmits_total", "Of the segments sent again, those found lost by SACK or RACK.", ofTCP(func(t *stack.TCPStats) uint64 { return t.FastRetransmits })),
	counter("tcp_timeouts_total", "Retransmission timeouts.", ofTCP(func(t *stack.TCPStats) uint64 { return t.RTOs })),
	counter("tcp_tlp_recoveries_total", "Losses that a tail loss probe brought to light.", ofTCP(func(t *stack.TCPStats) uint64 { return t.TLPRecoveries })),
	counter("tcp_dsacks_total", "Acknowledgements that reported a needless retransmission.", ofTCP(func(t *stack.TCPStats) uint64 { return t.DSACKs })),
	counter("tcp_send_errors_total", "TCP segments that the device did not take.", ofTCP(func(t *stack.TCPStats) uint64 { return t.SendErrors })),
	counter("tcp_resets_sent_total", "RSTs sent.", ofTCP(func(t *stack.TCPStats) uint64 { return t.ResetsSent })),
	counter("tcp_resets_received_total", "RSTs received.", ofTCP(func(t *stack.TCPStats) uint64 { return t.ResetsReceived })),
	counter("tcp_active_opens_total", "Connections dialled.", ofTCP(func(t *stack.TCPStats) uint64 { return t.ActiveOpens })),
	counter("tcp_passive_opens_total", "Connections accepted.", ofTCP(func(t *stack.TCPStats) uint64 { return t.PassiveOpens })),
	counter("tcp_failed_opens_total", "Connections that got no further than the handshake.", ofTCP(func(t *stack.TCPStats) uint64 { return t.FailedOpens })),
	counter("tcp_listen_overflows_total", "SYNs and handshakes dropped on a full backlog.", ofTCP(func(t *stack.TCPStats) uint64 { return t.ListenOverflows })),
	gauge("tcp_established_connections", "Connections that can carry data, as the stack counts them.", ofTCP(func(t *stack.TCPStats) uint64 { return t.Established })),
}

var otherFamilies = []family{
	counter("udp_datagrams_sent_total", "UDP datagrams sent.", number(func(s *snapshot) uint64 { return s.stats.UDP.Sent })),
	counter("udp_datagrams_received_total", "UDP datagrams received.", number(func(s *snapshot) uint64 { return s.stats.UDP.Received })),
	counter("udp_send_errors_total", "UDP datagrams that could not be sent.", number(func(s *snapshot) uint64 { return s.stats.UDP.SendErrors })),
	counter("receive_drops_total", "Received packets that reached nobody, by cause.", func(s *snapshot, to add) {
		d := s.stats.Drops
		for _, one := range []struct {
			cause string
			v     uint64
		}{
			{"ip_malformed", d.IPMalformed}, {"ip_not_for_us", d.IPNotForUs}, {"ip_bad_source", d.IPBadSource},
			{"ip_fragment", d.IPFragment}, {"arp_malformed", d.ARPMalformed}, {"icmp_malformed", d.ICMPMalformed},
			{"tcp_malformed", d.TCPMalformed}, {"tcp_checksum", d.TCPChecksum}, {"udp_malformed", d.UDPMalformed},
			{"udp_checksum", d.UDPChecksum}, {"udp_no_socket", d.UDPNoSocket}, {"udp_receive_buffer", d.UDPReceiveBuffer},
			{"l4_malformed", d.L4Malformed}, {"unknown_transport", d.UnknownTransport},
		} {
			to(float64(one.v), one.cause)
		}
	}, "cause"),
}

var socketFamilies = []family{
	gauge("tcp_sockets", "TCP sockets, by state.", func(s *snapshot, to add) {
		for state, n := range s.sockets.tcp {
			to(float64(n), socketapi.State(state).String())
		}
	}, "state"),
	gauge("udp_sockets", "UDP sockets.", number(func(s *snapshot) int { return s.sockets.udp })),
	gauge("tcp_send_buffer_bytes", "Size of all send buffers.", number(func(s *snapshot) int { return s.sockets.sendSize })),
	gauge("tcp_send_queued_bytes", "Bytes written and not acknowledged, in all send buffers.", number(func(s *snapshot) int { return s.sockets.sendQueued })),
	gauge("tcp_send_unsent_bytes", "Of these, bytes not sent yet.", number(func(s *snapshot) int { return s.sockets.unsent })),
	gauge("tcp_receive_buffer_bytes", "Size of all receive buffers.", number(func(s *snapshot) int { return s.sockets.receiveSize })),
	gauge("tcp_receive_queued_bytes", "Bytes acknowledged and not read, in all receive buffers.", number(func(s *snapshot) int { return s.sockets.receiveQueued })),
	gauge("tcp_held_up_connections", "Connections that keep an account, by who has held them up most since it began.", func(s *snapshot, to add) {
		for slow, name := range slowNames {
			to(float64(s.sockets.heldUp[slow]), name)
		}
	}, "by"),
}

// slowNames are holdup's verdicts in a word.
var slowNames = [holdup.SlowOther + 1]string{
	holdup.SlowNobody: "nobody", holdup.SlowWriter: "writer", holdup.SlowSendBuffer: "send_buffer",
	holdup.SlowNetwork: "network", holdup.SlowPeer: "peer", holdup.SlowDevice: "device",
	holdup.SlowReader: "reader", holdup.SlowOther: "other",
}

// perService is a family with a series for each service.
func perService(get func(*Service) uint64) func(*snapshot, add) {
	return func(s *snapshot, to add) {
		for i := range s.services {
			to(float64(get(&s.services[i])), s.services[i].Name)
		}
	}
}

var serviceFamilies = []family{
	counter("service_connections_total", "Connections that the service took on.", perService(func(s *Service) uint64 { return s.Opened }), "service"),
	gauge("service_connections", "Connections of the service now.", perService(func(s *Service) uint64 { return s.Active }), "service"),
	counter("service_received_bytes_total", "Bytes that the service took from the stack's network.", perService(func(s *Service) uint64 { return s.Received }), "service"),
	counter("service_sent_bytes_total", "Bytes that the service gave to the stack's network.", perService(func(s *Service) uint64 { return s.Sent }), "service"),
	counter("service_refused_total", "What the service did not take on, by cause.", func(s *snapshot, to add) {
		for _, svc := range s.services {
			for cause, n := range svc.Refused {
				to(float64(n), svc.Name, cause)
			}
		}
	}, "service", "cause"),
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
