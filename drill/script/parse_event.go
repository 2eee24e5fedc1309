package script

import (
	"slices"
	"strings"
	"time"
)

// event = [ time [ "..." end ] ] [ host ":" ] action .
func (p *parser) event() *Event {
	e := &Event{Pos: p.here()}
	e.Time = p.time()
	blocks, until := false, time.Duration(0)
	var untilAt Pos
	if p.is("...") {
		untilAt = p.here()
		until, blocks = p.until(&e.Time), true
	}
	if p.tok.kind == tokWord && p.nextIs(':') {
		e.Host = p.tok.text
		p.advance()
		p.advance()
	}
	if e.Action = p.action(&e.Time); blocks {
		c, ok := e.Action.(*Call)
		if !ok {
			p.fail(untilAt, "only a system call can take until a second time")
		}
		c.Blocks, c.Until = true, until
	}
	p.wasTCP = false
	if pk, ok := e.Action.(*Packet); ok {
		_, p.wasTCP = pk.Body.(*TCP)
	}
	return e
}

// behind returns what follows the next token, white space in its line left out.
func (p *parser) behind() string {
	for off := p.off; off < len(p.src); off++ {
		if c := p.src[off]; c != ' ' && c != '\t' {
			return p.src[off:]
		}
	}
	return ""
}

// nextHas reports whether the next token is followed by s, nextIs by c.
func (p *parser) nextHas(s string) bool { return strings.HasPrefix(p.behind(), s) }
func (p *parser) nextIs(c byte) bool    { return p.nextByte() == c }

// nextByte returns the first character behind the next token, or 0.
func (p *parser) nextByte() byte {
	if rest := p.behind(); rest != "" {
		return rest[0]
	}
	return 0
}

// time = "*" | [ "+" ] seconds [ "~" [ "+" ] seconds ] | .
func (p *parser) time() Time {
	t := Time{Pos: p.here()}
	switch {
	case p.accept("*"):
		t.Kind = TimeAny
		return t
	case p.accept("+"):
		t.Kind = TimeRelative
		if p.is("$") {
			t.Expr = p.dollar()
			return t
		}
	case p.tok.kind == tokNumber || p.tok.kind == tokBad && isDigit(p.src[p.tok.start]):
		t.Kind = TimeAbsolute
	default:
		return t
	}
	t.From = p.duration("seconds")
	if !p.is("~") {
		return t
	}
	at := p.here()
	p.advance()
	relative := p.is("+")
	if relative {
		p.advance()
	}
	t.To = p.duration("seconds")
	switch {
	case t.Kind == TimeAbsolute && relative:
		p.fail(at, "a range from an absolute time ends in one, without +")
	case t.Kind == TimeAbsolute:
		t.Kind = TimeAbsoluteRange
	default:
		t.Kind = TimeRelativeRange
	}
	if t.To < t.From {
		p.fail(at, "this range of time ends before it begins")
	}
	return t
}

// until = "..." [ "+" ] seconds, counted as the time before it is.
func (p *parser) until(t *Time) time.Duration {
	at := p.here()
	if t.Kind != TimeAbsolute && t.Kind != TimeRelative || t.Expr != nil {
		p.fail(at, "a blocking call begins at one time, absolute or relative")
	}
	p.advance()
	if p.is("+") {
		if t.Kind == TimeAbsolute {
			p.fail(p.here(), "the end of a blocking call is absolute as its beginning is: expected no +")
		}
		p.advance()
	}
	end := p.duration("seconds")
	if end < t.From {
		p.fail(at, "this blocking call ends before it begins")
	}
	return end
}

// duration = number [ unit ], seconds without one.
func (p *parser) duration(what string) time.Duration {
	at, bad := p.here(), p.tok
	p.rescan()
	start := p.off
	for p.off < len(p.src) && (isDigit(p.src[p.off]) || p.at(".") && !p.at("..")) {
		p.off++
	}
	number := p.src[start:p.off]
	if strings.Count(number, ".") > 1 {
		p.fail(at, "%q is not a number", clip(number))
	}
	if number == "" || number == "." {
		p.off = start
		p.tok = bad
		p.expected(what)
	}
	start = p.off
	for p.off < len(p.src) && isWord(p.src[p.off]) {
		p.off++
	}
	d, err := parseDuration(number, p.src[start:p.off])
	if err != nil {
		p.fail(at, "%s", err)
	}
	p.resume()
	return d
}

// action = packet | call | shell | code | "expect" ... | "for" ... .
func (p *parser) action(t *Time) Action {
	var a Action
	timeless := false
	switch {
	case p.is("<") || p.is(">"):
		a = p.packet()
	case p.tok.kind == tokShell:
		timeless = true
		a = &Shell{Pos: p.here(), Text: p.tok.text}
		p.advance()
	case p.is("%{"):
		timeless = true
		a = p.codeBlock()
	case p.isWord("for") && !p.nextIs('('):
		timeless = true
		if t.Kind != TimeNone {
			p.fail(t.Pos, "a loop has no time of its own: give one to the events in it")
		}
		a = p.forLoop()
	case p.isWord("expect") && !p.nextIs('('):
		a = p.expectNothing()
	case p.tok.kind == tokWord:
		if !p.nextIs('(') {
			p.noCall(t)
		}
		a = p.call()
	case t.Kind == TimeNone:
		p.noEvent()
	default:
		p.expected("a packet (< or >), a system call, `shell text` or %{ code }%")
	}
	if t.Kind == TimeNone && !timeless {
		p.fail(a.At(), "expected a time before this, such as 0.1, +0.1 or *")
	}
	return a
}

// noCall fails at a word that begins no system call, by what it may be instead.
func (p *parser) noCall(t *Time) {
	word := p.tok.text
	switch {
	case t.Kind != TimeNone && strings.Trim(word, flagLetters) == "":
		p.expected(`"<" or ">" and a packet, or a system call`)
	case t.Kind != TimeNone:
	case p.tok.newLine && slices.Contains(declarations, word):
		p.fail(p.here(), "a line with %s comes before the events", word)
	case !p.tok.newLine && p.wasTCP:
		p.expected("ack, win, urg, <TCP options>, a payload or the next event's time")
	case !p.tok.newLine && p.prev > 0:
		p.expected("the next event's time")
	}
}

// noEvent fails at what cannot begin an event.
func (p *parser) noEvent() {
	if p.is("-") && strings.HasPrefix(p.src[p.tok.start:], "--") {
		p.fail(p.here(), "options come before everything else")
	}
	if p.is("}") {
		p.fail(p.here(), "no loop is open here")
	}
	p.expected("an event, beginning with a time such as 0.1, +0.1 or *")
}
