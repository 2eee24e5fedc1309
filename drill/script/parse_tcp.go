package script

import (
	"math"
	"strings"
)

// tcp = flags seq ":" end "(" length ")" { "ack" n | "win" n | "urg" n }
// [ "<" options ">" ] [ string ] .
func (p *parser) tcp(at Pos) *TCP {
	t := &TCP{Pos: at, Flags: p.flags()}
	t.Seq = p.value(math.MaxUint32, "a sequence number as in 1:1001(1000)")
	t.End, t.Len = p.seqEnd()
	for {
		var v *Value
		limit := uint32(math.MaxUint16)
		at, word := p.here(), p.tok.text
		switch {
		case p.isWord("ack"):
			v, limit = &t.Ack, math.MaxUint32
		case p.isWord("win"):
			v = &t.Win
		case p.isWord("urg"):
			v = &t.Urg
		default:
			if p.is("<") {
				p.tcpOptions(t)
			}
			t.Payload = p.payload(t.Len)
			return t
		}
		if v.IsSet() {
			p.fail(at, "%s is given twice", word)
		}
		p.advance()
		*v = p.value(limit, "a number behind "+word)
	}
}

// seqEnd = ":" end "(" length ")" .
func (p *parser) seqEnd() (end, length Value) {
	p.want(":", "and the sequence number that follows, as in 1:1001(1000)")
	end = p.value(math.MaxUint32, "a sequence number as in 1:1001(1000)")
	length = p.parenValue(math.MaxUint16, "the length of the payload, as in 1:1001(1000)")
	return end, length
}

const tcpFlagWords = "TCP flags (F S R P . U E W A, or - for none)"

// flags = "-" | letter { letter } . A digit is the three bits of accurate ECN.
func (p *parser) flags() TCPFlags {
	const what = tcpFlagWords + ", udp, icmp, arp, ndp or frame"
	at, tok := p.here(), p.tok
	text := p.span(func(c byte) bool { return isWord(c) || c == '.' || c == '-' })
	bad := func() {
		p.off, p.tok = tok.start, tok
		p.expected(what)
	}
	if text == "" {
		bad()
	}
	var f TCPFlags
	for i := range len(text) {
		var bits TCPFlags
		if c := text[i]; '0' <= c && c <= '7' {
			bits = TCPFlags(c&1)*ECE | TCPFlags(c>>1&1)*CWR | TCPFlags(c>>2&1)*AE
		} else if bit := strings.IndexByte(flagLetters, c); bit >= 0 {
			bits = 1 << bit
		} else if text != "-" {
			if tok.newLine {
				bad()
			}
			p.fail(at, "expected %s, found %q", what, clip(text))
		}
		if f&bits != 0 {
			p.fail(at, "a flag is given twice in %q", clip(text))
		}
		f |= bits
	}
	p.resume()
	return f
}

// options = "<" ( "..." | option { "," option } [ "," "..." ] ) ">" .
func (p *parser) tcpOptions(t *TCP) {
	p.advance()
	for {
		if p.accept("...") {
			t.AnyOptions = true
			break
		}
		t.Options = append(t.Options, p.tcpOption())
		if !p.is(",") {
			break
		}
		p.advance()
	}
	p.want(">", `or "," and another TCP option`)
}

const optionNames = "mss, nop, eol, sackOK, wscale, TS, sack, FO, FOEXP, md5, ECN, exp, exp254, kind or ..."

// tcpOption = name and what belongs to it .
func (p *parser) tcpOption() TCPOption {
	at, word := p.here(), p.tok.text
	if p.tok.kind != tokWord {
		p.expected("a TCP option: " + optionNames)
	}
	p.advance()
	switch strings.ToLower(word) {
	case "mss":
		return &MSS{Pos: at, Size: p.value(math.MaxUint16, "the segment size")}
	case "nop":
		return &NOP{at}
	case "eol":
		return &EOL{at}
	case "sackok":
		return &SACKPermitted{at}
	case "wscale":
		return &WindowScale{Pos: at, Shift: p.value(math.MaxUint8, "the shift count")}
	case "ts":
		o := &Timestamp{Pos: at}
		p.want("val")
		o.Val = p.value(math.MaxUint32, "the timestamp")
		p.want("ecr")
		o.Ecr = p.value(math.MaxUint32, "the timestamp echoed")
		return o
	case "sack":
		return p.sack(at)
	case "fo", "foexp":
		return &FastOpen{Pos: at, Exp: len(word) > 2, Cookie: p.optionData(16)}
	case "md5":
		o := &MD5{Pos: at}
		if d := p.optionData(16); copy(o.Digest[:], d) != 16 {
			p.fail(at, "expected md5 and 16 bytes in hexadecimal")
		}
		return o
	case "ecn":
		return p.accECN(at)
	case "exp", "exp254":
		o := &Experiment{Pos: at, Kind254: len(word) > 3}
		o.ID = p.value(math.MaxUint16, "the identifier of the experiment")
		o.Data = p.optionData(36)
		return o
	case "kind":
		o := &OtherOption{Pos: at, Kind: p.value(math.MaxUint8, "the kind of the option")}
		o.Data = p.optionData(38)
		return o
	case "mp_capable", "mp_join_syn", "mp_join_syn_ack", "mp_join_ack", "dss", "add_address", "mp_fastclose",
		"mp_fail", "mp_prio", "mp_reset", "remove_address", "add_addr", "remove_addr", "mp_join":
		p.unsupported(at, "MPTCP")
	}
	e := p.errorAt(at, "expected a TCP option (%s), found word %q", optionNames, clip(word))
	e.Feature = "TCP option " + clip(word)
	panic(e)
}

// optionData reads the bytes of an option, if there are any.
func (p *parser) optionData(limit int) []byte {
	at := p.here()
	if p.is(",") || p.is(">") {
		return nil
	}
	b := p.hex()
	if b == nil {
		p.expected(`bytes in hexadecimal, "," or ">"`)
	}
	if len(b) > limit {
		p.fail(at, "%d bytes are too many: an option of this kind has room for %d", len(b), limit)
	}
	return b
}

// sack = start ":" end { start ":" end } .
func (p *parser) sack(at Pos) *SACK {
	o := &SACK{Pos: at}
	for {
		b := SACKBlock{Start: p.value(math.MaxUint32, "a block as in 1001:2001")}
		p.want(":")
		b.End = p.value(math.MaxUint32, "the end of the block")
		if o.Blocks = append(o.Blocks, b); len(o.Blocks) > 4 {
			p.fail(at, "an option has room for 4 blocks")
		}
		if !p.atValue() {
			return o
		}
	}
}

// accECN = { ( "e0b" | "ceb" | "e1b" ) value } .
func (p *parser) accECN(at Pos) *AccECN {
	o := &AccECN{Pos: at}
	for p.isWord("e0b") || p.isWord("ceb") || p.isWord("e1b") {
		c := AccECNCounter{Name: p.tok.text}
		p.advance()
		c.Value = p.value(1<<24-1, "a counter")
		if o.Counters = append(o.Counters, c); len(o.Counters) > 3 {
			p.fail(at, "an option has room for 3 counters")
		}
	}
	if len(o.Counters) == 0 && !p.is(",") && !p.is(">") {
		p.expected("e0b, ceb or e1b")
	}
	return o
}
