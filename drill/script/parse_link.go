package script

import (
	"math"
	"strings"
)

// header = ( "eth" mac ">" mac | "ipv4" addr ">" addr | "ipv6" addr ">" addr |
// "gre" fields | "mpls" entries ) ":" . It returns nil where none begins.
func (p *parser) header() Header {
	at := p.here()
	var h Header
	switch {
	case p.accept("eth"):
		e := &EthernetHeader{Pos: at, Src: p.mac()}
		p.want(">")
		e.Dst = p.mac()
		h = e
	case p.isWord("ipv4"), p.isWord("ipv6"):
		h = p.ipHeader(at)
	case p.accept("gre"):
		h = p.gre(at)
	case p.accept("mpls"):
		m := &MPLSHeader{Pos: at}
		for p.is("(") {
			m.Stack = append(m.Stack, p.mplsEntry())
		}
		if len(m.Stack) == 0 {
			p.expected("(label ..., tc ..., ttl ...)")
		}
		h = m
	default:
		return nil
	}
	p.want(":", "and what this header carries")
	return h
}

func (p *parser) ipHeader(at Pos) *IPHeader {
	v4 := p.isWord("ipv4")
	p.advance()
	h := &IPHeader{Pos: at, Src: p.addr()}
	p.want(">")
	h.Dst = p.addr()
	if h.Src.Is4() != v4 || h.Dst.Is4() != v4 {
		p.fail(at, "the addresses are not of this IP version")
	}
	return h
}

// gre = { name value [ "," ] } .
func (p *parser) gre(at Pos) *GREHeader {
	g := &GREHeader{Pos: at}
	fields := map[string]struct {
		v     *Value
		limit uint32
	}{
		"flags": {&g.Flags, math.MaxUint16}, "sum": {&g.Sum, math.MaxUint16}, "off": {&g.Off, math.MaxUint16},
		"key": {&g.Key, math.MaxUint32}, "seq": {&g.Seq, math.MaxUint32},
	}
	for p.tok.kind == tokWord {
		f, ok := fields[p.tok.text]
		if !ok || f.v.IsSet() {
			p.expected(`flags, sum, off, key or seq, each once, or ":"`)
		}
		p.advance()
		*f.v = p.value(f.limit, "a number")
		p.accept(",")
	}
	return g
}

// mplsEntry = "(" "label" n "," "tc" n "," [ "[S]" "," ] "ttl" n ")" .
func (p *parser) mplsEntry() *MPLSEntry {
	m := &MPLSEntry{Pos: p.here()}
	p.want("(")
	p.want("label")
	m.Label = p.value(1<<20-1, "a label")
	p.want(",")
	p.want("tc")
	m.TC = p.value(7, "a traffic class")
	p.want(",")
	if p.accept("[") {
		p.want("S")
		p.want("]")
		p.want(",")
		m.Bottom = true
	}
	p.want("ttl")
	m.TTL = p.value(math.MaxUint8, "a time to live")
	p.want(")")
	return m
}

// arp = "who-has" addr "tell" addr | "reply" addr "is-at" ( mac | "*" ) .
func (p *parser) arp(at Pos) *ARP {
	a := &ARP{Pos: at}
	switch {
	case p.acceptDashed("who-has"):
		a.Target = p.addr()
		p.want("tell")
		a.Tell = p.addr()
	case p.accept("reply"):
		a.Reply = true
		a.Target = p.addr()
		if !p.acceptDashed("is-at") {
			p.expected("is-at")
		}
		a.MAC = p.macOrAny()
	default:
		p.expected("who-has or reply")
	}
	if !a.Target.Is4() || !a.Reply && !a.Tell.Is4() {
		p.fail(at, "ARP is about IPv4 addresses")
	}
	return a
}

// acceptDashed takes a word with a dash in it.
func (p *parser) acceptDashed(w string) bool {
	rest := p.src[p.tok.start:]
	if p.tok.kind != tokWord || !strings.HasPrefix(rest, w) || len(rest) > len(w) && isWord(rest[len(w)]) {
		return false
	}
	p.off = p.tok.start + len(w)
	p.resume()
	return true
}

// macOrAny = mac | "*" .
func (p *parser) macOrAny() *MAC {
	if p.accept("*") {
		return nil
	}
	m := p.mac()
	return &m
}

// ndp = ( "solicit" | "advertise" ) addr { "from" addr | "is-at" mac |
// "router" | "solicited" | "override" } .
func (p *parser) ndp(at Pos) *NDP {
	n := &NDP{Pos: at}
	switch {
	case p.accept("advertise"):
		n.Advert = true
	case !p.accept("solicit"):
		p.expected("solicit or advertise")
	}
	n.Target = p.addr()
	for {
		switch {
		case p.accept("from"):
			n.From = p.addr()
		case p.acceptDashed("is-at"):
			m := p.mac()
			n.MAC = &m
		case n.Advert && p.accept("router"):
			n.Router = true
		case n.Advert && p.accept("solicited"):
			n.Solicited = true
		case n.Advert && p.accept("override"):
			n.Override = true
		default:
			if !n.Target.Is6() || n.From.IsValid() && !n.From.Is6() {
				p.fail(at, "NDP is about IPv6 addresses")
			}
			return n
		}
	}
}

// frame = string , of hexadecimal bytes, ".." for any, "..." at the end.
func (p *parser) frame(at Pos) *Raw {
	if p.tok.kind != tokString {
		p.expected("a string of hexadecimal bytes")
	}
	r := &Raw{Pos: at}
	text := strings.NewReplacer(" ", "", "\t", "", "\n", "", ":", "").Replace(p.tok.text)
	for ; text != ""; text = text[min(2, len(text)):] {
		switch {
		case text == "...":
			r.More, text = true, ""
		case strings.HasPrefix(text, ".."):
			r.Data, r.Wild = append(r.Data, 0), append(r.Wild, true)
		case len(text) >= 2 && isHex(text[0]) && isHex(text[1]):
			r.Data = append(r.Data, hexDigit(text[0])<<4|hexDigit(text[1]))
			r.Wild = append(r.Wild, false)
		default:
			p.fail(p.here(), "expected two hexadecimal digits, .. or ... at the end of the frame, found %q", clip(text))
		}
	}
	if len(r.Data) < 14 {
		p.fail(p.here(), "a frame has at least 14 bytes, an Ethernet header")
	}
	p.advance()
	return r
}
