package script

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// String writes a value as scripts do, in decimal; "" if it is unset.
func (v Value) String() string {
	switch v.Kind {
	case Exact:
		return strconv.FormatUint(uint64(v.Lo), 10)
	case AnyValue:
		return "*"
	case Between:
		return fmt.Sprintf("%d~%d", v.Lo, v.Hi)
	case Computed:
		return Format(v.Expr)
	default:
		return ""
	}
}

// String writes an address as usual.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

var ecnNames = map[ECN]string{ECNNone: "noecn", ECT0: "ect0", ECT1: "ect1", CE: "ce", ECT01: "ect01"}

// String returns the word that scripts use, "" for [ECNUnset].
func (e ECN) String() string { return ecnNames[e] }

// named writes " name value" if there is a value.
func (w *printer) named(name string, v Value) {
	if v.IsSet() {
		w.say(" ", name, " ", v.String())
	}
}

func (w *printer) packet(p *Packet) {
	w.say(map[bool]string{false: "<", true: ">"}[p.Outbound])
	if p.Conn != "" {
		w.say(" ", p.Conn, ":")
	}
	for _, h := range p.Outer {
		w.say(" ")
		w.header(h)
	}
	if p.IP != nil {
		w.say(" ")
		w.ipInfo(p.IP)
	}
	if p.Ports != nil {
		w.say(" ")
		w.ports(p.Ports)
	}
	w.say(" ")
	w.body(p.Body)
}

func (w *printer) ports(p *Ports) { w.say("[", p.Src.String(), " > ", p.Dst.String(), "]") }

func (w *printer) header(h Header) {
	switch h := h.(type) {
	case *EthernetHeader:
		w.say("eth ", h.Src.String(), " > ", h.Dst.String(), ":")
	case *IPHeader:
		name := "ipv6 "
		if h.Src.Is4() {
			name = "ipv4 "
		}
		w.say(name, h.Src.String(), " > ", h.Dst.String(), ":")
	case *GREHeader:
		w.say("gre")
		w.named("flags", h.Flags)
		w.named("sum", h.Sum)
		w.named("off", h.Off)
		w.named("key", h.Key)
		w.named("seq", h.Seq)
		w.say(":")
	case *MPLSHeader:
		w.say("mpls")
		for _, e := range h.Stack {
			w.say(" ")
			w.mplsEntry(e)
		}
		w.say(":")
	}
}

func (w *printer) mplsEntry(e *MPLSEntry) {
	bottom := ""
	if e.Bottom {
		bottom = " [S],"
	}
	w.sayf("(label %s, tc %s,%s ttl %s)", e.Label, e.TC, bottom, e.TTL)
}

func (w *printer) ipInfo(i *IPInfo) {
	var items []string
	add := func(name string, v Value) {
		if v.IsSet() {
			items = append(items, name+" "+v.String())
		}
	}
	if i.ECN != ECNUnset {
		items = append(items, i.ECN.String())
	}
	add("tos", i.TOS)
	add("ttl", i.TTL)
	add("flowlabel", i.FlowLabel)
	add("id", i.ID)
	if i.DF {
		items = append(items, "df")
	}
	if i.Frag != nil {
		items = append(items, Format(i.Frag))
	}
	w.say("(")
	for n, item := range items {
		if n > 0 {
			w.say(", ")
		}
		w.say(item)
	}
	w.say(")")
}

func (w *printer) fragment(f *Fragment) {
	w.say("frag ", f.From.String(), ":", f.To.String())
	if f.More {
		w.say("+")
	}
}

func (w *printer) payload(s *String) {
	if s != nil {
		w.say(" ", quote(s.Value))
	}
}

func (w *printer) body(b Body) {
	switch b := b.(type) {
	case *TCP:
		w.tcp(b)
	case *UDP:
		w.say("udp (", b.Len.String(), ")")
		w.payload(b.Payload)
	case *ICMP:
		w.icmp(b)
	case *ARP:
		w.arp(b)
	case *NDP:
		w.ndp(b)
	case *Raw:
		w.raw(b)
	}
}

func (w *printer) icmp(m *ICMP) {
	w.say("icmp ", m.Type)
	if m.Code != "" {
		w.say(" ", m.Code)
	}
	w.named("mtu", m.MTU)
	w.named("id", m.ID)
	w.named("seq", m.Seq)
	if m.Len.IsSet() {
		w.say(" (", m.Len.String(), ")")
	}
	w.payload(m.Payload)
	if m.Quote != nil {
		w.say(" ")
		w.quote(m.Quote)
	}
}

func (w *printer) quote(q *Quote) {
	if q.UDP {
		w.say("[udp (", q.Len.String(), ")]")
		return
	}
	w.sayf("[%s:%s(%s)]", q.Seq, q.End, q.Len)
}

func (w *printer) arp(a *ARP) {
	switch {
	case !a.Reply:
		w.say("arp who-has ", a.Target.String(), " tell ", a.Tell.String())
	case a.MAC == nil:
		w.say("arp reply ", a.Target.String(), " is-at *")
	default:
		w.say("arp reply ", a.Target.String(), " is-at ", a.MAC.String())
	}
}

func (w *printer) ndp(n *NDP) {
	verb := "solicit "
	if n.Advert {
		verb = "advertise "
	}
	w.say("ndp ", verb, n.Target.String())
	if n.From.IsValid() {
		w.say(" from ", n.From.String())
	}
	if n.MAC != nil {
		w.say(" is-at ", n.MAC.String())
	}
	for _, f := range []struct {
		set  bool
		word string
	}{{n.Router, " router"}, {n.Solicited, " solicited"}, {n.Override, " override"}} {
		if f.set {
			w.say(f.word)
		}
	}
}

func (w *printer) raw(r *Raw) {
	w.say(`frame "`)
	for i, b := range r.Data {
		if i > 0 {
			w.say(" ")
		}
		if r.Wild[i] {
			w.say("..")
		} else {
			w.say(hex.EncodeToString([]byte{b}))
		}
	}
	if r.More {
		w.say(" ...")
	}
	w.say(`"`)
}
