package script

import "math"

// icmp = "icmp" type [ code ] { "mtu" n | "id" n | "seq" n } [ "(" length ")" ]
// [ string ] [ quote ] .
func (p *parser) icmp(at Pos, q *Quote) *ICMP {
	m := &ICMP{Pos: at, Quote: q}
	m.Type = p.icmpWord("a type of ICMP message (unreachable, packet_too_big, time_exceeded, echo_request, ..., type_N)", isICMPType)
	if p.tok.kind == tokWord && !p.tok.newLine && !p.isWord("mtu") && !p.isWord("id") && !p.isWord("seq") {
		m.Code = p.icmpWord("a code of this ICMP type ("+icmpCodes(m.Type)+")", func(s string) bool { return isICMPCode(m.Type, s) })
	}
	for {
		at, word := p.here(), p.tok.text
		var v *Value
		limit := uint32(math.MaxUint16)
		switch {
		case p.tok.newLine:
			return m
		case p.isWord("mtu"):
			v, limit = &m.MTU, math.MaxUint32
		case p.isWord("id"):
			v = &m.ID
		case p.isWord("seq"):
			v = &m.Seq
		case p.is("(") && !m.Len.IsSet():
			m.Len = p.parenValue(math.MaxUint16, "the length of the message's data")
			m.Payload = p.payload(m.Len)
			continue
		case p.is("["):
			m.Quote = p.quote(m.Quote)
			continue
		default:
			return m
		}
		if v.IsSet() {
			p.fail(at, "%s is given twice", word)
		}
		p.advance()
		*v = p.value(limit, "a number behind "+word)
	}
}

// icmpWord reads a name that ok knows.
func (p *parser) icmpWord(what string, ok func(string) bool) string {
	at, word := p.here(), p.name(what)
	if !ok(word) {
		p.fail(at, "expected %s, found word %q", what, clip(word))
	}
	return word
}

// quote = "[" ( seq ":" end "(" length ")" | "udp" "(" length ")" ) "]" .
func (p *parser) quote(old *Quote) *Quote {
	at := p.here()
	p.want("[")
	if p.accept("udp") {
		return p.udpQuote(at, old)
	}
	first := p.value(math.MaxUint32, "a sequence number as in [1:1001(1000)], or udp")
	q := p.tcpQuote(at, first, old)
	p.want("]")
	return q
}

func (p *parser) tcpQuote(at Pos, first Value, old *Quote) *Quote {
	if old != nil {
		p.fail(at, "the quoted packet is given twice")
	}
	q := &Quote{Pos: at, Seq: first}
	q.End, q.Len = p.seqEnd()
	return q
}

func (p *parser) udpQuote(at Pos, old *Quote) *Quote {
	if old != nil {
		p.fail(at, "the quoted packet is given twice")
	}
	q := &Quote{Pos: at, UDP: true}
	q.Len = p.parenValue(math.MaxUint16, "the length of the UDP payload")
	p.want("]")
	return q
}
