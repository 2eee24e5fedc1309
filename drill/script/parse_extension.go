package script

import (
	"math"
	"strconv"
	"time"
)

// declarations are the words that begin one.
var declarations = []string{"param", "host", "link", "conn"}

// declaration = param | host | link | conn . It reports whether there was one.
func (p *parser) declaration(s *Script) bool {
	at := p.here()
	if p.tok.kind != tokWord || p.nextIs('(') || p.nextIs(':') {
		return false
	}
	switch p.tok.text {
	case "param":
		p.advance()
		pa := &Param{Pos: at, Name: p.name("the name of a parameter")}
		p.want("in")
		pa.Values = p.spans()
		s.Params = append(s.Params, pa)
	case "host":
		p.advance()
		s.Hosts = append(s.Hosts, p.host(at))
	case "link":
		p.advance()
		s.Links = append(s.Links, p.link(at))
	case "conn":
		p.advance()
		s.Conns = append(s.Conns, p.conn(at))
	default:
		return false
	}
	return true
}

// spans = span { "," span } ; span = expr [ ".." expr [ "step" expr ] ] .
func (p *parser) spans() []*Span {
	var spans []*Span
	for {
		sp := &Span{Pos: p.here(), From: p.formula()}
		if p.accept("..") {
			sp.To = p.formula()
			if p.accept("step") {
				sp.Step = p.formula()
			}
		}
		spans = append(spans, sp)
		if !p.accept(",") {
			return spans
		}
	}
}

// host = name { prefix | "mtu" n } .
func (p *parser) host(at Pos) *Host {
	h := &Host{Pos: at, Name: p.name("the name of a host")}
	for !p.tok.newLine {
		if p.accept("mtu") {
			h.MTU = p.value(math.MaxUint16, "the MTU in bytes")
			continue
		}
		h.Addrs = append(h.Addrs, p.prefix())
	}
	return h
}

// link = name [ ">" ] name { "delay" duration | "rate" rate | "queue" n |
// "loss" spans } .
func (p *parser) link(at Pos) *Link {
	l := &Link{Pos: at, A: p.name("the name of a host")}
	l.OneWay = p.accept(">")
	l.B = p.name("the name of the other host")
	for !p.tok.newLine {
		switch {
		case p.accept("delay"):
			l.Delay = p.duration("a time such as 10ms")
		case p.accept("rate"):
			l.Rate = p.rate()
		case p.accept("queue"):
			l.Queue = p.value(math.MaxUint32, "a number of packets")
		case p.accept("loss"):
			l.Loss = append(l.Loss, p.spans()...)
		default:
			p.expected("delay, rate, queue or loss")
		}
	}
	return l
}

var rateUnits = map[string]int64{"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}

// rate = integer ( "bit" | "kbit" | "mbit" | "gbit" ) .
func (p *parser) rate() int64 {
	at, tok := p.here(), p.tok
	text := p.span(isWord)
	i := 0
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	n, err := strconv.ParseInt(text[:i], 10, 64)
	unit := rateUnits[text[i:]]
	if err != nil || n <= 0 || unit == 0 || n > math.MaxInt64/unit {
		p.noAddr(at, tok, text, "a rate such as 10mbit (bit, kbit, mbit or gbit a second)")
	}
	p.resume()
	return n * unit
}

// conn = name { "local" addrport | "remote" addrport } .
func (p *parser) conn(at Pos) *Conn {
	c := &Conn{Pos: at, Name: p.name("the name of a connection")}
	for !p.tok.newLine {
		switch {
		case p.accept("local"):
			c.Local = p.addrPort()
		case p.accept("remote"):
			c.Remote = p.addrPort()
		default:
			p.expected("local or remote")
		}
	}
	return c
}

// forLoop = "for" name "in" spans "{" { event } "}" .
func (p *parser) forLoop() *For {
	f := &For{Pos: p.here()}
	p.enter()
	defer p.leave()
	p.advance()
	f.Name = p.name("the name of a parameter")
	p.want("in")
	f.Values = p.spans()
	p.want("{")
	for !p.is("}") {
		if p.tok.kind == tokEOF {
			p.fail(f.Pos, "this loop does not end: expected }")
		}
		f.Body = append(f.Body, p.event())
	}
	p.advance()
	return f
}

// expectNothing = "expect" "nothing" "for" duration .
func (p *parser) expectNothing() *ExpectNothing {
	e := &ExpectNothing{Pos: p.here()}
	p.advance()
	p.want("nothing", "(an expected packet is written with >)")
	p.want("for", "and a time, as in expect nothing for 1s")
	e.For = p.duration("a time such as 1s")
	return e
}

// seconds writes a duration as scripts do.
func seconds(d time.Duration) string {
	s := strconv.FormatInt(int64(d/time.Second), 10)
	if frac := int64(d % time.Second); frac != 0 {
		digits := strconv.FormatInt(1e9+frac, 10)[1:]
		for digits[len(digits)-1] == '0' {
			digits = digits[:len(digits)-1]
		}
		s += "." + digits
	}
	return s
}
