package engine

import (
	"time"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// State is one instant of a connection. What is behind each field is said with
// it, by the name gVisor has for it: e is tcp.Endpoint, snd its sender, rcv its
// receiver. Sizes are in payload bytes unless another unit is given; gVisor
// counts congestion in segments, as Linux does.
//
// What tcp_info has and gVisor does not know, or does not keep apart, is not
// here: pacing and delivery rates, the path MTU (guarded by a lock of its own;
// MSS follows it), delivered, sacked and lost counts beyond these, reordering
// in segments, ECN.
type State struct {
	State tcp.EndpointState // e.EndpointState

	// Synchronized says that the handshake is over. Before that only State,
	// HardError and the counters mean anything.
	Synchronized bool // e.snd and e.rcv exist
	// HardError is why the connection broke, until a call has returned it.
	HardError tcpip.Error // e.hardError

	SACK       bool // e.SACKPermitted: both ends offered it
	Timestamps bool // e.SendTSOk: both ends offered them
	RACK       bool // e.tcpRecovery: losses are detected by time; not during a recovery from a timeout

	Snd Send
	Rcv Receive

	// Counters since the endpoint was made, of e.Stats.
	SegmentsIn      uint64 // SegmentsReceived
	SegmentsOut     uint64 // SegmentsSent, retransmissions and ACKs among them
	Retransmits     uint64 // SendErrors.Retransmits, in gVisor's segments (up to 64 KiB)
	FastRetransmits uint64 // SendErrors.FastRetransmit: of these, the oldest segment's, without a timeout
	Timeouts        uint64 // SendErrors.Timeouts: RTOs, and zero window probes, which share the timer
	SendFailures    uint64 // SendErrors.SegmentSendToNetworkFailed: the device was full, no route
	QueueDrops      uint64 // ReceiveErrors.SegmentQueueDropped: the receive buffer's memory was used up
	ZeroWindowsSent uint64 // ReceiveErrors.ZeroRcvWindowState: segments that advertised none
}

// Send is the sending half.
type Send struct {
	Una, Nxt uint32 // snd.SndUna, snd.SndNxt: SND.UNA, SND.NXT

	Wnd      int   // snd.SndWnd: what the peer grants from Una on
	WndScale uint8 // snd.SndWndScale: what the peer's windows are shifted by

	Queued   int // e.sndQueueInfo.SndBufUsed: written, not acknowledged
	InFlight int // Nxt - Una, without a FIN: of Queued, sent
	Unsent   int // Queued - InFlight

	// Closed: no Write is taken any more (shutdown, reset).
	// FinSent: the FIN has been sent; FinAcked: and acknowledged.
	Closed   bool // e.sndQueueInfo.SndClosed
	FinSent  bool // snd.finSent
	FinAcked bool // and Una == Nxt

	MSS         int // snd.MaxPayloadSize: options deducted, smaller after an ICMP "too big"
	Cwnd        int // snd.SndCwnd, segments
	Ssthresh    int // snd.Ssthresh, segments; tcp.InitialSsthresh before any loss
	Outstanding int // snd.Outstanding, segments: sent, taken neither as lost nor as received
	SackedOut   int // snd.SackedOut, segments
	DupAcks     int // snd.DupAckCount, in a row

	Congestion tcpip.CongestionControlState // snd.state
	Reordered  bool                         // snd.rc.Reord: the path has reordered (RACK only)

	RTT, RTTVar time.Duration // snd.RTTState; 0 before the first sample, then 1 ms at least
	MinRTT      time.Duration // snd.rc.minRTT: smallest (RACK only); 0 before the first sample
	RTO         time.Duration // snd.RTO

	Probing bool // snd.zeroWindowProbing
	Probes  int  // snd.unackZeroWindowProbes: sent, not answered

	Last tcpip.MonotonicTime // snd.LastSendTime: any segment, a bare ACK too
}

// Receive is the receiving half.
type Receive struct {
	Nxt uint32 // rcv.RcvNxt: RCV.NXT

	Wnd        int   // what the peer has been told and may still send: RCV.WND
	Advertised int   // rcv.rcvWnd: the last window sent, as sent
	WndScale   uint8 // rcv.RcvWndScale: what our windows are shifted by

	Queued  int // e.RcvBufUsed: acknowledged, not read
	Memory  int // e.rcvMemUsed: what that, and what waits behind a gap, takes, bookkeeping included
	Pending int // rcv.PendingBufUsed: of Memory, behind a gap

	Closed bool // e.RcvClosed: nothing more will be taken, after a FIN or CloseRead
	Fin    bool // rcv.closed: the peer's FIN has arrived

	RTT    time.Duration // e.RcvAutoParams.RTT: smallest, as autotuning sees it; 0 before the first
	AdvMSS int           // e.amss: the MSS we advertised

	Last tcpip.MonotonicTime // rcv.lastRcvdAckTime: the last acceptable segment
}

// Read looks at ep. It may be called at any time, also after Close: a closed
// connection may still be sending what was written. It allocates nothing.
func Read(ep *tcp.Endpoint) (st State) {
	lock(ep)
	defer unlock(ep)
	st.read(ep)
	return st
}

// ReadLocked is Read for whoever holds ep's lock: a function given to [Watch].
func ReadLocked(ep *tcp.Endpoint) (st State) {
	st.read(ep)
	return st
}

// read fills in st, which is zero, with ep's lock held. Some of the fields are
// guarded by rcvQueueMu or sndQueueMu: those are written with ep's lock held on
// top, so that reading them takes no more than that.
func (st *State) read(ep *tcp.Endpoint) {
	p := unsafe.Pointer(ep)
	st.State = ep.EndpointState()
	st.HardError = *hardErrorField.in(p)
	if c, ok := ep.Stats().(*tcp.Stats); ok {
		st.SegmentsIn = c.SegmentsReceived.Value()
		st.SegmentsOut = c.SegmentsSent.Value()
		st.Retransmits = c.SendErrors.Retransmits.Value()
		st.FastRetransmits = c.SendErrors.FastRetransmit.Value()
		st.Timeouts = c.SendErrors.Timeouts.Value()
		st.SendFailures = c.SendErrors.SegmentSendToNetworkFailed.Value()
		st.QueueDrops = c.ReceiveErrors.SegmentQueueDropped.Value()
		st.ZeroWindowsSent = c.ReceiveErrors.ZeroRcvWindowState.Value()
	}
	snd, rcv := *sndField.in(p), *rcvField.in(p)
	if snd == nil || rcv == nil {
		return
	}
	st.Synchronized = true
	st.SACK, st.Timestamps = ep.SACKPermitted, ep.SendTSOk
	st.RACK = st.SACK && *recoveryField.in(p)&tcpip.TCPRACKLossDetection != 0
	st.Snd.read(p, snd)
	st.Rcv.read(ep, rcv)
}

func (s *Send) read(ep, snd unsafe.Pointer) {
	from, queue := senderField.in(snd), sndQueueField.in(ep)
	s.Una, s.Nxt = uint32(from.SndUna), uint32(from.SndNxt)
	s.Wnd, s.WndScale = int(from.SndWnd), from.SndWndScale

	s.Closed, s.FinSent = queue.SndClosed, *finSentField.in(snd)
	s.FinAcked = s.FinSent && s.Una == s.Nxt
	// An acknowledged FIN is subtracted though it was never added
	// (Endpoint.updateSndBufferUsage).
	s.Queued = max(0, queue.SndBufUsed)
	s.InFlight = int(s.Nxt - s.Una)
	if s.FinSent && !s.FinAcked {
		s.InFlight--
	}
	s.Unsent = max(0, s.Queued-s.InFlight)

	s.MSS = from.MaxPayloadSize
	s.Cwnd, s.Ssthresh = from.SndCwnd, from.Ssthresh
	s.Outstanding, s.SackedOut, s.DupAcks = from.Outstanding, from.SackedOut, from.DupAckCount
	s.Congestion, s.Reordered = *ccStateField.in(snd), *reorderedField.in(snd)
	s.RTT, s.RTTVar = from.RTTState.SRTT, from.RTTState.RTTVar
	s.MinRTT, s.RTO = *minRTTField.in(snd), from.RTO
	s.Probing, s.Probes = *probingField.in(snd), int(*probesField.in(snd))
	s.Last = from.LastSendTime
}

func (r *Receive) read(ep *tcp.Endpoint, rcv unsafe.Pointer) {
	p, from := unsafe.Pointer(ep), receiverField.in(rcv)
	r.Nxt, r.WndScale = uint32(from.RcvNxt), from.RcvWndScale
	// A window is advertised without the bits that the scale cuts off,
	// counting from rcvWUP; what has arrived since then used some of it, or a
	// little more than all of it (receiver.acceptable).
	r.Advertised = int(*rcvWndField.in(rcv)) >> r.WndScale << r.WndScale
	r.Wnd = max(0, r.Advertised-int(r.Nxt-uint32(*rcvWUPField.in(rcv))))

	r.Queued, r.Memory, r.Pending = ep.RcvBufUsed, int(rcvMemField.in(p).Load()), from.PendingBufUsed
	r.Closed, r.Fin = ep.RcvClosed, *rcvFinField.in(rcv)
	r.RTT, r.AdvMSS = ep.RcvAutoParams.RTT, int(*advMSSField.in(p))
	r.Last = *lastReceivedField.in(rcv)
}

// End is the sequence number after the last byte written so far, while the
// connection lives: the mark to wait for with [State.AllAcked].
func (s Send) End() uint32 {
	end := s.Una + uint32(s.Queued)
	if s.FinAcked {
		end-- // Una is behind the FIN
	}
	return end
}

// Reached reports whether the peer has acknowledged everything before end,
// which [Send.End] gave within the last 2 GiB.
func (s Send) Reached(end uint32) bool { return int32(s.Una-end) >= 0 }

// AllAcked reports whether the peer has acknowledged everything before end. If
// it has not, lost reports that it never will: the connection is gone.
//
// A connection that closes in LAST-ACK drops its queue before it looks at the
// acknowledgement, so that SND.UNA never gets there. That it is CLOSED after a
// FIN of ours says that all was acknowledged: receiver.consumeSegment tests
// exactly that, everything that breaks a connection ends in gVisor's ERROR, and
// a reset in CLOSE-WAIT finds no FIN sent.
func (st State) AllAcked(end uint32) (acked, lost bool) {
	closed := st.State == tcp.StateClose
	switch {
	case st.Synchronized && st.Snd.Reached(end), closed && st.Snd.FinSent:
		return true, false
	case closed, st.State == tcp.StateError:
		return false, true
	default:
		return false, false
	}
}

// Transport is the protocol of an endpoint, 0 if it does not say.
func Transport(ep tcpip.Endpoint) tcpip.TransportProtocolNumber {
	if info, ok := ep.Info().(*stack.TransportEndpointInfo); ok {
		return info.TransProto
	}
	return 0
}
