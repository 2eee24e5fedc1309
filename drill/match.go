package drill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"tapstack/drill/script"
)

// match compares a packet of a flow with what the script expects, and returns
// the fields that differ. What is not written is not compared, but for TCP's
// flags, numbers and options, of which the script writes all.
func (r *run) match(h *host, f *flow, pk *script.Packet, p *packet) []string {
	d := &differ{r: r}
	d.ethernet(pk, p)
	if p.bad != "" {
		d.add("%s", p.bad)
	}
	d.ip(pk.IP, p)
	switch b := pk.Body.(type) {
	case *script.TCP:
		d.tcp(f, b, p)
	case *script.UDP:
		d.value("length", b.Len, uint32(len(p.udp.data)))
		d.payload(b.Payload, p.udp.data)
	case *script.ICMP:
		d.icmp(h, pk.Outbound, b, p)
	case *script.ARP:
		d.arp(b, p)
	case *script.NDP:
		d.ndp(b, p)
	case *script.Raw:
		d.raw(b, p)
	}
	return d.diffs
}

// differ collects differences.
type differ struct {
	r     *run
	diffs []string
}

func (d *differ) add(format string, args ...any) {
	d.diffs = append(d.diffs, fmt.Sprintf(format, args...))
}

// value compares a number, if one is written.
func (d *differ) value(name string, want script.Value, got uint32) {
	if want = d.r.resolve(want); !want.Match(got) {
		d.add("%s %d, want %s", name, got, want)
	}
}

// length compares a number that counts as 0 where it is not written.
func (d *differ) required(name string, want script.Value, got uint32) {
	if !want.IsSet() {
		want = script.Value{Kind: script.Exact}
	}
	d.value(name, want, got)
}

func (d *differ) payload(want *script.String, got []byte) {
	if want == nil {
		return
	}
	ok := bytes.HasPrefix(got, []byte(want.Value))
	if ok && !want.More {
		ok = len(bytes.Trim(got[len(want.Value):], "\x00")) == 0
	}
	if !ok {
		d.add("payload %q, want %q", clip(string(got)), clip(want.Value))
	}
}

// clip shortens text for a message.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

func (d *differ) ip(want *script.IPInfo, p *packet) {
	if want == nil {
		return
	}
	ecn := script.ECN(p.tos&3) + script.ECNNone
	if want.ECN != script.ECNUnset && want.ECN != ecn && (want.ECN != script.ECT01 || ecn != script.ECT0 && ecn != script.ECT1) {
		d.add("%s, want %s", ecn, want.ECN)
	}
	d.value("tos", want.TOS, uint32(p.tos))
	d.value("ttl", want.TTL, uint32(p.ttl))
	d.value("flowlabel", want.FlowLabel, p.flowLabel)
	d.value("id", want.ID, uint32(p.id))
	if want.DF && !p.df {
		d.add("no df, want df")
	}
	if want.Frag != nil {
		d.value("fragment from", want.Frag.From, uint32(p.fragFrom))
		d.value("fragment to", want.Frag.To, uint32(p.fragFrom+len(p.payload)))
		if want.Frag.More != p.fragMore {
			d.add("more fragments %v, want %v", p.fragMore, want.Frag.More)
		}
	}
}

func (d *differ) tcp(f *flow, want *script.TCP, p *packet) {
	s := p.tcp
	flags, wantFlags := s.flags, want.Flags
	if d.r.cfg.Mode&IgnorePSH != 0 {
		flags, wantFlags = flags&^script.PSH, wantFlags&^script.PSH
	}
	if flags != wantFlags {
		d.add("flags %s, want %s", flags, wantFlags)
	}
	seq := s.seq - f.localISN
	d.value("seq", want.Seq, seq)
	n := uint32(len(s.data))
	d.value("length", want.Len, n)
	d.value("end", want.End, seq+n)
	if s.flags&script.ACK != 0 && want.Flags&script.ACK != 0 || want.Ack.IsSet() {
		d.required("ack", want.Ack, s.ack-f.remoteISN)
	}
	d.value("win", want.Win, uint32(s.win))
	if s.flags&script.URG != 0 || want.Urg.IsSet() {
		d.required("urg", want.Urg, uint32(s.urg))
	}
	d.payload(want.Payload, s.data)
	d.options(f, want, p)
}

// option is a TCP option taken from a header.
type option struct {
	kind byte
	data []byte
}

// parseOptions takes a header's options apart; what is malformed is one option
// of what is left.
func parseOptions(b []byte) (out []option) {
	for len(b) > 0 {
		n := 1
		if b[0] != kindEOL && b[0] != kindNOP {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return append(out, option{b[0], b[1:]})
			}
			n = int(b[1])
		}
		out = append(out, option{b[0], b[min(n, 2):n]})
		b = b[n:]
	}
	return out
}

func (d *differ) options(f *flow, want *script.TCP, p *packet) {
	got := parseOptions(p.tcp.options)
	wanted := want.Options
	if d.r.cfg.Mode&IgnoreOptionOrder != 0 {
		got = slices.DeleteFunc(got, func(o option) bool { return o.kind == kindEOL || o.kind == kindNOP })
		slices.SortStableFunc(got, func(a, b option) int { return int(a.kind) - int(b.kind) })
		wanted = slices.DeleteFunc(slices.Clone(wanted), func(o script.TCPOption) bool {
			k := d.kind(o)
			return k == kindEOL || k == kindNOP
		})
		slices.SortStableFunc(wanted, func(a, b script.TCPOption) int { return int(d.kind(a)) - int(d.kind(b)) })
	}
	for i, w := range wanted {
		if i >= len(got) {
			d.add("no option %s", script.Format(w))
			return
		}
		if !d.option(f, w, got[i], p) {
			d.add("option %s, want %s", describeOption(f, got[i]), script.Format(w))
		}
	}
	if len(got) > len(wanted) && !want.AnyOptions {
		d.add("option %s, want none", describeOption(f, got[len(wanted)]))
	}
}

// kind is the kind of an option that the script writes.
func (d *differ) kind(o script.TCPOption) byte { return d.r.tcpOption(&flow{}, anyToZero(o))[0] }

// anyToZero lets an option with unwritten values be encoded, for its kind.
func anyToZero(o script.TCPOption) script.TCPOption {
	switch o.(type) {
	case *script.MSS:
		return &script.MSS{}
	case *script.WindowScale:
		return &script.WindowScale{}
	case *script.Timestamp:
		return &script.Timestamp{}
	case *script.SACK:
		return &script.SACK{}
	}
	return o
}

// option compares one option. TS val counts only where the script says how
// fast the clock of timestamps ticks, and TS ecr never.
func (d *differ) option(f *flow, want script.TCPOption, got option, p *packet) bool {
	be := binary.BigEndian
	switch w := want.(type) {
	case *script.MSS:
		return got.kind == kindMSS && len(got.data) == 2 && d.matches(w.Size, uint32(be.Uint16(got.data)))
	case *script.WindowScale:
		return got.kind == kindScale && len(got.data) == 1 && d.matches(w.Shift, uint32(got.data[0]))
	case *script.Timestamp:
		return got.kind == kindTimestamp && len(got.data) == 8 && d.stamp(f, w, be.Uint32(got.data), p)
	case *script.SACK:
		if got.kind != kindSACK || len(got.data) != 8*len(w.Blocks) {
			return false
		}
		for i, b := range w.Blocks {
			if !d.matches(b.Start, be.Uint32(got.data[8*i:])-f.remoteISN) || !d.matches(b.End, be.Uint32(got.data[8*i+4:])-f.remoteISN) {
				return false
			}
		}
		return true
	default:
		b := d.r.tcpOption(f, want)
		return got.kind == b[0] && bytes.Equal(got.data, b[min(2, len(b)):])
	}
}

func (d *differ) matches(v script.Value, got uint32) bool { return d.r.resolve(v).Match(got) }

// stamp compares a timestamp with the first one, by --tcp_ts_tick_usecs.
func (d *differ) stamp(f *flow, w *script.Timestamp, live uint32, p *packet) bool {
	val := d.r.resolve(w.Val)
	if d.r.opts.tsTick == 0 || val.Kind != script.Exact || f.stamps == nil {
		return true
	}
	const tick = 1000 // microseconds of ours
	want := int64(int32(val.Lo-f.firstStamp)) * d.r.opts.tsTick
	got := int64(int32(live-f.firstLive)) * tick
	off := want - got
	return max(off, -off) <= max(d.r.opts.tolerance.Microseconds(), p.at.Sub(f.firstAt).Microseconds()/8)
}
