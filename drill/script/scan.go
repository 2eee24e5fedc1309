package script

import (
	"net/netip"
	"strings"
)

// The functions here read what is not made of tokens: they go back to the
// start of the next token, read characters, and go on behind them.

// span returns the characters from the next token's start for which ok holds.
func (p *parser) span(ok func(byte) bool) string {
	p.rescan()
	start := p.off
	for p.off < len(p.src) && ok(p.src[p.off]) {
		p.off++
	}
	return p.src[start:p.off]
}

// addr reads an IPv4 or IPv6 address.
func (p *parser) addr() netip.Addr {
	at, tok := p.here(), p.tok
	text := p.span(isAddr)
	a, err := netip.ParseAddr(text)
	// The colon behind an address, as in "ipv6 fd00::1 > fd00::2:", is not
	// part of it.
	if i := strings.LastIndexByte(text, ':'); err != nil && i >= 0 {
		p.off -= len(text) - i
		a, err = netip.ParseAddr(text[:i])
	}
	if err != nil {
		p.noAddr(at, tok, text, "an IP address")
	}
	p.resume()
	return a
}

func isAddr(c byte) bool { return isHex(c) || c == ':' || c == '.' }

// noAddr fails where text is not what should be there.
func (p *parser) noAddr(at Pos, tok token, text, what string) {
	if text == "" || tok.newLine {
		p.off, p.tok = tok.start, tok
		p.expected(what)
	}
	p.fail(at, "expected %s, found %q", what, clip(text))
}

// addrPort reads "192.0.2.1:80", "[fd00::1]:80", or ":80".
func (p *parser) addrPort() netip.AddrPort {
	at, tok := p.here(), p.tok
	text := p.span(func(c byte) bool { return isAddr(c) || c == '[' || c == ']' })
	ap, err := netip.ParseAddrPort(text)
	if err != nil && strings.HasPrefix(text, ":") {
		ap, err = netip.ParseAddrPort("0.0.0.0" + text)
		ap = netip.AddrPortFrom(netip.Addr{}, ap.Port())
	}
	if err == nil && ap.Port() == 0 {
		p.fail(at, "port 0 is no port")
	}
	if err != nil {
		p.noAddr(at, tok, text, "an address with a port, such as 192.0.2.1:80, [fd00::1]:80 or :80")
	}
	p.resume()
	return ap
}

// prefix reads "10.0.0.1/24".
func (p *parser) prefix() netip.Prefix {
	at, tok := p.here(), p.tok
	text := p.span(func(c byte) bool { return isAddr(c) || c == '/' })
	pr, err := netip.ParsePrefix(text)
	if err != nil {
		p.noAddr(at, tok, text, "an address with a prefix length, such as 10.0.0.1/24")
	}
	p.resume()
	return pr
}

// mac reads "02:00:00:00:00:01".
func (p *parser) mac() MAC {
	const form = "an Ethernet address such as 02:00:00:00:00:01"
	at, tok := p.here(), p.tok
	p.rescan()
	var m MAC
	text := p.src[p.off:min(len(p.src), p.off+len("02:00:00:00:00:01"))]
	for i := range len(m) {
		rest := ""
		if 3*i+2 <= len(text) {
			rest = text[3*i : 3*i+2]
		}
		if rest == "" || !isHex(rest[0]) || !isHex(rest[1]) || i > 0 && text[3*i-1] != ':' {
			bad := strings.TrimLeft(text, "0123456789abcdefABCDEF:")
			p.noAddr(at, tok, text[:len(text)-len(bad)], form)
		}
		m[i] = hexDigit(rest[0])<<4 | hexDigit(rest[1])
	}
	p.off += len(text)
	if p.off < len(p.src) && isWord(p.src[p.off]) {
		p.fail(at, "expected %s", form)
	}
	p.resume()
	return m
}

// hex reads hexadecimal digits, two a byte, with or without 0x in front. It
// returns nil if what comes is not a word or a number.
func (p *parser) hex() []byte {
	at := p.here()
	text := p.span(isWord)
	digits := strings.TrimPrefix(text, "0x")
	if text == "" {
		return nil
	}
	if digits == "" || len(digits)%2 != 0 || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		p.fail(at, "expected bytes in hexadecimal, two digits each, found %q", clip(text))
	}
	b := make([]byte, len(digits)/2)
	for i := range b {
		b[i] = hexDigit(digits[2*i])<<4 | hexDigit(digits[2*i+1])
	}
	p.resume()
	return b
}

// value = number [ "~" number ] | "*" | parameter .
func (p *parser) value(limit uint32, what string) Value {
	switch {
	case p.accept("*"):
		return Value{Kind: AnyValue}
	case p.is("$"):
		f := &Formula{Pos: p.here()}
		f.X = p.dollar()
		return Value{Kind: Computed, Expr: f}
	}
	v := Value{Kind: Exact, Lo: p.integer(limit, what)}
	if at := p.here(); p.accept("~") {
		v.Kind, v.Hi = Between, p.integer(limit, what)
		if v.Hi < v.Lo {
			p.fail(at, "this range ends before it begins")
		}
	}
	return v
}

// integer reads a number of at most limit.
func (p *parser) integer(limit uint32, what string) uint32 {
	if p.tok.kind != tokNumber {
		p.expected(what)
	}
	n, err := parseField(p.tok.text, limit)
	if err != nil {
		p.fail(p.here(), "%s", err)
	}
	p.advance()
	return n
}

// atValue reports whether a value comes next.
func (p *parser) atValue() bool {
	return p.tok.kind == tokNumber || p.is("*") || p.is("$")
}
