package socketapi

import (
	"encoding/json"
	"fmt"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi/internal/engine"
)

// Info is one instant of a connection, by the names of Linux's struct tcp_info:
// RTT is tcpi_rtt. It has what this stack truly knows. What may be unknown at
// times is a pointer, nil then; what it never knows (pacing and delivery rates,
// ECN, lost and delivered counts) is not there.
type Info struct {
	State State // tcpi_state

	// Counters since the socket was made.
	SegsIn       uint64 // tcpi_segs_in
	SegsOut      uint64 // tcpi_segs_out, retransmissions and bare ACKs among them; a large frame is one
	TotalRetrans uint64 // tcpi_total_retrans, tail loss probes among them

	// Conn is the rest, nil until the handshake is over.
	Conn *ConnInfo
}

// ConnInfo is what is known of a connection once both ends have agreed on it.
type ConnInfo struct {
	Timestamps, SACK     bool  // of tcpi_options: TCPI_OPT_TIMESTAMPS, TCPI_OPT_SACK
	SndWscale, RcvWscale uint8 // tcpi_snd_wscale, tcpi_rcv_wscale

	CAState CAState        // tcpi_ca_state
	RTO     time.Duration  // tcpi_rto
	RTT     *time.Duration // tcpi_rtt, smoothed; nil before the first sample
	RTTVar  *time.Duration // tcpi_rttvar
	MinRTT  *time.Duration // tcpi_min_rtt; nil without RACK too
	RcvRTT  *time.Duration // tcpi_rcv_rtt: as the receiver sees it
	SndMSS  int            // tcpi_snd_mss: payload of a full segment
	AdvMSS  int            // tcpi_advmss: the largest we have said to take
	SndCwnd int            // tcpi_snd_cwnd, segments

	SndSsthresh *int // tcpi_snd_ssthresh, segments; nil before any loss

	Unacked       int // tcpi_unacked, segments
	Sacked        int // tcpi_sacked, segments
	Probes        int // tcpi_probes: zero window probes without answer
	NotsentBytes  int // tcpi_notsent_bytes
	SndWnd        int // tcpi_snd_wnd: the peer's window, from SND.UNA on
	RcvWnd        int // tcpi_rcv_wnd: ours, from RCV.NXT on
	ReordSeen     bool
	LastDataSent  *time.Duration // tcpi_last_data_sent, ago: any segment
	LastAckRecv   *time.Duration // tcpi_last_ack_recv, ago: any acceptable segment
	BusyTime      *time.Duration // tcpi_busy_time; nil without SetAccounting, as the next two
	RwndLimited   *time.Duration // tcpi_rwnd_limited
	SndbufLimited *time.Duration // tcpi_sndbuf_limited
}

// Info looks at a TCP socket (TCP_INFO). It may be asked after Close. ENOPROTOOPT
// for others.
func (so *Socket) Info() (Info, error) {
	if so == nil || so.ep == nil {
		return Info{}, errNil
	}
	if so.kind != stream {
		return Info{}, syscall.ENOPROTOOPT
	}
	so.boundSegments()
	st := so.look()
	info := infoOf(&st, so.stack.Clock())
	if h, ok := so.Holdup(); ok && info.Conn != nil {
		info.Conn.BusyTime, info.Conn.RwndLimited, info.Conn.SndbufLimited = &h.Busy, &h.RwndLimited, &h.SndbufLimited
	}
	return info, nil
}

// Info looks at the connection (TCP_INFO). It may be asked after Close. Errors:
// EINVAL for a nil or unopened connection.
func (c *TCPConn) Info() (Info, error) {
	if !c.valid() {
		return Info{}, errNil
	}
	return c.so.Info()
}

func infoOf(st *engine.State, clock tcpip.Clock) Info {
	info := Info{
		State:  stateOf(st.State),
		SegsIn: st.SegmentsIn, SegsOut: st.SegmentsOut, TotalRetrans: st.Retransmits,
	}
	if !st.Synchronized {
		return info
	}
	s, r := &st.Snd, &st.Rcv
	info.Conn = &ConnInfo{
		CAState:    caStateOf(s.Congestion),
		Timestamps: st.Timestamps, SACK: st.SACK,
		SndWscale: s.WndScale, RcvWscale: r.WndScale,
		RTO: s.RTO, RTT: ifSet(s.RTT), RTTVar: ifSet(s.RTTVar), MinRTT: ifSet(s.MinRTT), RcvRTT: ifSet(r.RTT),
		SndMSS: s.MSS, AdvMSS: r.AdvMSS, SndCwnd: s.Cwnd,
		Unacked: s.Outstanding, Sacked: max(0, s.SackedOut), Probes: s.Probes,
		NotsentBytes: s.Unsent, SndWnd: s.Wnd, RcvWnd: r.Wnd, ReordSeen: s.Reordered,
		LastDataSent: ago(s.Last, clock), LastAckRecv: ago(r.Last, clock),
	}
	if s.Ssthresh < tcp.InitialSsthresh {
		info.Conn.SndSsthresh = &s.Ssthresh
	}
	return info
}

// ifSet is nil for what has not been measured.
func ifSet(d time.Duration) *time.Duration {
	if d == 0 {
		return nil
	}
	return &d
}

// ago is how long before now t was, nil for never.
func ago(t tcpip.MonotonicTime, clock tcpip.Clock) *time.Duration {
	if t == (tcpip.MonotonicTime{}) {
		return nil
	}
	d := clock.NowMonotonic().Sub(t)
	return &d
}

// infoField is one of tcp_info's fields in Linux's units; ok is false while it
// is unknown.
type infoField struct {
	name string
	get  func(*ConnInfo) (v int64, ok bool)
}

// count is a field that is a number, span one that is a time.
func count(get func(*ConnInfo) int) func(*ConnInfo) (int64, bool) {
	return func(c *ConnInfo) (int64, bool) { return int64(get(c)), true }
}

func span(unit time.Duration, get func(*ConnInfo) *time.Duration) func(*ConnInfo) (int64, bool) {
	return func(c *ConnInfo) (int64, bool) {
		if d := get(c); d != nil {
			return int64(*d / unit), true
		}
		return 0, false
	}
}

// connFields are the fields of ConnInfo in tcp_info's order.
var connFields = []infoField{
	{"tcpi_ca_state", count(func(c *ConnInfo) int { return int(c.CAState) })},
	{"tcpi_probes", count(func(c *ConnInfo) int { return c.Probes })},
	{"tcpi_options", count(func(c *ConnInfo) int {
		// TCPI_OPT_TIMESTAMPS, TCPI_OPT_SACK, TCPI_OPT_WSCALE
		return b2i(c.Timestamps) | b2i(c.SACK)<<1 | b2i(c.SndWscale > 0 || c.RcvWscale > 0)<<2
	})},
	{"tcpi_snd_wscale", count(func(c *ConnInfo) int { return int(c.SndWscale) })},
	{"tcpi_rcv_wscale", count(func(c *ConnInfo) int { return int(c.RcvWscale) })},
	{"tcpi_rto", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return &c.RTO })},
	{"tcpi_snd_mss", count(func(c *ConnInfo) int { return c.SndMSS })},
	{"tcpi_unacked", count(func(c *ConnInfo) int { return c.Unacked })},
	{"tcpi_sacked", count(func(c *ConnInfo) int { return c.Sacked })},
	{"tcpi_last_data_sent", span(time.Millisecond, func(c *ConnInfo) *time.Duration { return c.LastDataSent })},
	{"tcpi_last_ack_recv", span(time.Millisecond, func(c *ConnInfo) *time.Duration { return c.LastAckRecv })},
	{"tcpi_rtt", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.RTT })},
	{"tcpi_rttvar", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.RTTVar })},
	{"tcpi_snd_ssthresh", func(c *ConnInfo) (int64, bool) {
		if c.SndSsthresh == nil {
			return 0, false
		}
		return int64(*c.SndSsthresh), true
	}},
	{"tcpi_snd_cwnd", count(func(c *ConnInfo) int { return c.SndCwnd })},
	{"tcpi_advmss", count(func(c *ConnInfo) int { return c.AdvMSS })},
	{"tcpi_rcv_rtt", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.RcvRTT })},
	{"tcpi_notsent_bytes", count(func(c *ConnInfo) int { return c.NotsentBytes })},
	{"tcpi_min_rtt", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.MinRTT })},
	{"tcpi_busy_time", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.BusyTime })},
	{"tcpi_rwnd_limited", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.RwndLimited })},
	{"tcpi_sndbuf_limited", span(time.Microsecond, func(c *ConnInfo) *time.Duration { return c.SndbufLimited })},
	{"tcpi_snd_wnd", count(func(c *ConnInfo) int { return c.SndWnd })},
	{"tcpi_rcv_wnd", count(func(c *ConnInfo) int { return c.RcvWnd })},
}

// linuxStates are the numbers that tcpi_state has (enum in linux/tcp.h).
var linuxStates = map[State]int64{
	Established: 1, SynSent: 2, SynReceived: 3, FinWait1: 4, FinWait2: 5, TimeWait: 6,
	Closed: 7, CloseWait: 8, LastAck: 9, Listening: 10, Closing: 11,
}

// CAState is what congestion control thinks of the path, by Linux's names and
// numbers (enum tcp_ca_state).
type CAState uint8

// The states; there is no ECN here, and so no CWR (2).
const (
	CAOpen     CAState = 0 // nothing is wrong
	CADisorder CAState = 1 // SACKs or duplicate ACKs: reordered or lost
	CARecovery CAState = 3 // lost, being sent again
	CALoss     CAState = 4 // after a retransmission timeout
)

// String is the state's name.
func (s CAState) String() string {
	switch s {
	case CAOpen:
		return "open"
	case CADisorder:
		return "disorder"
	case CARecovery:
		return "recovery"
	case CALoss:
		return "loss"
	default:
		return fmt.Sprintf("CAState(%d)", uint8(s))
	}
}

func caStateOf(s tcpip.CongestionControlState) CAState {
	switch s {
	case tcpip.Disorder:
		return CADisorder
	case tcpip.FastRecovery, tcpip.SACKRecovery:
		return CARecovery
	case tcpip.RTORecovery:
		return CALoss
	default:
		return CAOpen
	}
}

// Each calls f for every field that is known, by its name in tcp_info and in
// Linux's unit: microseconds, but milliseconds for tcpi_last_..., segments,
// bytes.
func (in Info) Each(f func(name string, v int64)) {
	f("tcpi_state", linuxStates[in.State])
	if in.Conn != nil {
		for _, field := range connFields {
			if v, ok := field.get(in.Conn); ok {
				f(field.name, v)
			}
		}
	}
	f("tcpi_total_retrans", int64(in.TotalRetrans))
	f("tcpi_segs_out", int64(in.SegsOut))
	f("tcpi_segs_in", int64(in.SegsIn))
}

// Field is one field by its name in tcp_info, in Linux's unit; ok is false for
// one that is unknown, now or always.
func (in Info) Field(name string) (v int64, ok bool) {
	in.Each(func(n string, got int64) {
		if n == name {
			v, ok = got, true
		}
	})
	return v, ok
}

// MarshalJSON implements json.Marshaler: an object of the fields that are
// known, as Each gives them.
func (in Info) MarshalJSON() ([]byte, error) {
	m := make(map[string]int64)
	in.Each(func(name string, v int64) { m[name] = v })
	return json.Marshal(m)
}
