package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tapstack/internal/daemon/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ssMemory is both buffers: what is in them, of how much there is room for.
func ssMemory(s *api.Socket) string {
	var parts []string
	if b := s.Send; b != nil {
		parts = append(parts, fmt.Sprintf("send:(%d of %d, unsent %d, peer's window %d)", b.Queued, b.Size, b.Unsent, b.Window))
	}
	if b := s.Receive; b != nil {
		text := fmt.Sprintf("receive:(%d of %d", b.Queued, b.Size)
		if s.Protocol == "tcp" {
			text += fmt.Sprintf(", our window %d", b.Window)
		} else {
			text += fmt.Sprintf(", dropped %d", b.Dropped)
		}
		parts = append(parts, text+")")
	}
	return strings.Join(parts, " ")
}

// ssFields are tcp_info's fields as ss prints them, in its order: name, field,
// unit that it is divided by, "" to print 0 too.
var ssFields = []struct {
	label, field string
	divide       float64
	always       bool
}{
	{"mss", "tcpi_snd_mss", 1, true},
	{"advmss", "tcpi_advmss", 1, true},
	{"cwnd", "tcpi_snd_cwnd", 1, true},
	{"ssthresh", "tcpi_snd_ssthresh", 1, false},
	{"segs_out", "tcpi_segs_out", 1, false},
	{"segs_in", "tcpi_segs_in", 1, false},
	{"lastsnd", "tcpi_last_data_sent", 1, true},
	{"lastack", "tcpi_last_ack_recv", 1, true},
	{"unacked", "tcpi_unacked", 1, false},
	{"retrans", "tcpi_total_retrans", 1, false},
	{"sacked", "tcpi_sacked", 1, false},
	{"probes", "tcpi_probes", 1, false},
	{"rcv_rtt", "tcpi_rcv_rtt", 1000, false},
	{"notsent", "tcpi_notsent_bytes", 1, false},
	{"minrtt", "tcpi_min_rtt", 1000, false},
	{"snd_wnd", "tcpi_snd_wnd", 1, true},
	{"rcv_wnd", "tcpi_rcv_wnd", 1, true},
}

// ssInfo is tcp_info in ss's manner, times in milliseconds.
func ssInfo(f api.Fields) string {
	get := make(map[string]int64, len(f))
	for _, one := range f {
		get[one.Name] = one.Value
	}
	var b strings.Builder
	if o := get["tcpi_options"]; o != 0 {
		for bit, name := range []string{"ts", "sack"} {
			if o>>bit&1 != 0 {
				b.WriteString(name + " ")
			}
		}
		if o>>2&1 != 0 {
			fmt.Fprintf(&b, "wscale:%d,%d ", get["tcpi_snd_wscale"], get["tcpi_rcv_wscale"])
		}
	}
	if v, ok := get["tcpi_rto"]; ok {
		fmt.Fprintf(&b, "rto:%s ", thousandths(v))
	}
	if v, ok := get["tcpi_rtt"]; ok {
		fmt.Fprintf(&b, "rtt:%s/%s ", thousandths(v), thousandths(get["tcpi_rttvar"]))
	}
	for _, one := range ssFields {
		v, ok := get[one.field]
		switch {
		case !ok || v == 0 && !one.always:
		case one.divide == 1000:
			b.WriteString(one.label + ":" + thousandths(v) + " ")
		default:
			b.WriteString(one.label + ":" + strconv.FormatInt(v, 10) + " ")
		}
	}
	if busy := get["tcpi_busy_time"]; busy > 0 {
		fmt.Fprintf(&b, "busy:%dms ", busy/1000)
		for _, l := range []struct{ label, field string }{{"rwnd_limited", "tcpi_rwnd_limited"}, {"sndbuf_limited", "tcpi_sndbuf_limited"}} {
			if v := get[l.field]; v > 0 {
				fmt.Fprintf(&b, "%s:%dms(%.1f%%) ", l.label, v/1000, 100*float64(v)/float64(busy))
			}
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

// thousandths is microseconds as milliseconds, without needless zeros.
func thousandths(us int64) string {
	return strconv.FormatFloat(float64(us)/1000, 'f', -1, 64)
}

// ssTimer is the timer that runs, as far as tcp_info tells: retransmission
// ("on") while something is unacknowledged, "persist" while the peer's window
// is probed. When it ends is reckoned from the last segment.
func ssTimer(s *api.Socket) string {
	rto, ok := s.Info.Get("tcpi_rto")
	if !ok {
		return ""
	}
	unacked, _ := s.Info.Get("tcpi_unacked")
	probes, _ := s.Info.Get("tcpi_probes")
	name := "on"
	switch {
	case probes > 0:
		name = "persist"
	case unacked == 0:
		return ""
	}
	since, _ := s.Info.Get("tcpi_last_data_sent")
	left := max(0, time.Duration(rto)*time.Microsecond-time.Duration(since)*time.Millisecond)
	return fmt.Sprintf("(%s,%v,%d)", name, left.Round(time.Millisecond), probes)
}
