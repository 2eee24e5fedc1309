package script

import (
	"math"
	"slices"
)

// packet = ( "<" | ">" ) [ connection ":" ] { header ":" } { info | ports |
// quote } body .
func (p *parser) packet() *Packet {
	pk := &Packet{Pos: p.here(), Outbound: p.is(">")}
	p.advance()
	if p.tok.kind == tokWord && p.nextIs(':') && !slices.Contains(protocols, p.tok.text) {
		pk.Conn = p.tok.text
		p.advance()
		p.advance()
	}
	for h := p.header(); h != nil; h = p.header() {
		if len(pk.Outer) >= maxDepth {
			p.fail(h.At(), "nested deeper than %d", maxDepth)
		}
		pk.Outer = append(pk.Outer, h)
	}
	var q *Quote
	for {
		switch {
		case p.is("("):
			p.ipInfo(pk, ")")
		case p.is("["):
			p.bracket(pk, &q)
		case p.atValue() && p.src[p.tok.start] != '.': // ".5" are flags
			p.ports(pk)
		default:
			pk.Body = p.body(pk, q)
			return pk
		}
	}
}

// protocols are the words that begin a header or a body.
var protocols = []string{
	"eth", "ipv4", "ipv6", "gre", "mpls", "udp", "icmp", "arp", "ndp", "frame",
	"sctp", "udplite", "psp", "encap",
}

// bracket = "[" ( info | ports | quote ) "]" .
func (p *parser) bracket(pk *Packet, q **Quote) {
	if c := p.nextByte(); isLetter(c) && !p.nextHas("udp") {
		p.ipInfo(pk, "]")
		return
	}
	at := p.here()
	p.advance()
	if p.accept("udp") {
		*q = p.udpQuote(at, *q)
		return
	}
	first := p.value(math.MaxUint32, "ports, a sequence number, udp or a word such as ect0 or ttl")
	if p.is(">") {
		p.portsFrom(pk, at, first)
	} else {
		*q = p.tcpQuote(at, first, *q)
	}
	p.want("]")
}

// ports = value ">" value .
func (p *parser) ports(pk *Packet) {
	at := p.here()
	p.portsFrom(pk, at, p.value(math.MaxUint16, "a port"))
}

func (p *parser) portsFrom(pk *Packet, at Pos, src Value) {
	if pk.Ports != nil {
		p.fail(at, "the ports are given twice")
	}
	if src.Lo > math.MaxUint16 || src.Hi > math.MaxUint16 {
		p.fail(at, "a port is at most 65535")
	}
	if p.is(":") {
		p.fail(at, "expected %s before the sequence numbers", tcpFlagWords)
	}
	p.want(">", "between the ports")
	pk.Ports = &Ports{Pos: at, Src: src, Dst: p.value(math.MaxUint16, "a port")}
}

var ecnWords = map[string]ECN{"noecn": ECNNone, "ect0": ECT0, "ect1": ECT1, "ce": CE, "ect01": ECT01}

// info = ( "(" | "[" ) item { [ "," ] item } ( ")" | "]" ) .
func (p *parser) ipInfo(pk *Packet, end string) {
	if pk.IP != nil {
		p.fail(p.here(), "the IP header is described twice")
	}
	pk.IP = &IPInfo{Pos: p.here()}
	p.advance()
	for {
		p.ipItem(pk.IP)
		p.accept(",")
		if p.accept(end) {
			return
		}
	}
}

func (p *parser) ipItem(info *IPInfo) {
	at, word := p.here(), p.tok.text
	if p.tok.kind != tokWord {
		p.expected("noecn, ect0, ect1, ect01, ce, tos, ttl, flowlabel, id, df or frag")
	}
	p.advance()
	set := func(v *Value, limit uint32) {
		if v.IsSet() {
			p.fail(at, "%s is given twice", word)
		}
		*v = p.value(limit, "a number")
	}
	switch word {
	case "tos", "tclass":
		set(&info.TOS, math.MaxUint8)
	case "ttl", "hlim":
		set(&info.TTL, math.MaxUint8)
	case "flowlabel":
		set(&info.FlowLabel, 1<<20-1)
	case "id":
		set(&info.ID, math.MaxUint32) // 16 bits in IPv4, 32 in IPv6
	case "df", "DF":
		info.DF = true
	case "frag":
		f := &Fragment{Pos: at}
		f.From = p.value(math.MaxUint16, "the first byte of the fragment")
		p.want(":")
		f.To = p.value(math.MaxUint16, "the byte behind the fragment")
		f.More = p.accept("+")
		info.Frag = f
	default:
		ecn, ok := ecnWords[word]
		if !ok {
			p.fail(at, "expected noecn, ect0, ect1, ect01, ce, tos, ttl, flowlabel, id, df or frag, found word %q", clip(word))
		}
		if info.ECN != ECNUnset {
			p.fail(at, "the ECN bits are given twice")
		}
		info.ECN = ecn
	}
}

// body = tcp | udp | icmp | arp | ndp | frame .
func (p *parser) body(pk *Packet, q *Quote) Body {
	at := p.here()
	if q != nil && !p.isWord("icmp") {
		p.fail(q.Pos, "only an ICMP message quotes a packet")
	}
	switch {
	case p.accept("udp"):
		return p.udp(at, pk)
	case p.accept("icmp"):
		return p.icmp(at, q)
	case p.accept("arp"):
		return p.arp(at)
	case p.accept("ndp"):
		return p.ndp(at)
	case p.accept("frame"):
		return p.frame(at)
	case p.isWord("sctp"):
		p.unsupported(at, "SCTP")
	case p.isWord("udplite"):
		p.unsupported(at, "UDP-Lite")
	case p.isWord("psp"), p.isWord("encap"):
		p.unsupported(at, "PSP")
	}
	return p.tcp(at)
}

// udp = "udp" [ ports ] "(" length ")" [ string ] .
func (p *parser) udp(at Pos, pk *Packet) *UDP {
	u := &UDP{Pos: at}
	switch {
	case p.atValue():
		p.ports(pk)
	case p.is("["):
		p.advance()
		p.ports(pk)
		p.want("]")
	}
	u.Len = p.parenValue(math.MaxUint16, "the length of the UDP payload")
	u.Payload = p.payload(u.Len)
	return u
}

// parenValue = "(" value ")" .
func (p *parser) parenValue(limit uint32, what string) Value {
	if !p.is("(") {
		p.expected(`"(" and ` + what)
	}
	p.advance()
	v := p.value(limit, what)
	p.want(")")
	return v
}

// payload = [ string ] , in the line of its packet and of its length.
func (p *parser) payload(length Value) *String {
	if p.tok.kind != tokString {
		return nil
	}
	s := &String{Pos: p.here(), Value: p.tok.text}
	if length.Kind == Exact && int64(length.Lo) != int64(len(s.Value)) {
		p.fail(s.Pos, "this payload has %d bytes, the packet %d", len(s.Value), length.Lo)
	}
	p.advance()
	return s
}
