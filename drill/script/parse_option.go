package script

import "strings"

// options = { "--" name [ "=" value | value ] | name "=" value } .
// A value without "=" is in the same line.
func (p *parser) options() []*Option {
	var opts []*Option
	for {
		o := &Option{Pos: p.here()}
		switch {
		case p.is("-") && strings.HasPrefix(p.src[p.tok.start:], "--"):
			p.off = p.tok.start + 2
			o.Name = p.optionName()
			o.HasValue = p.at("=")
			if o.HasValue {
				p.off++
				p.skipBlanks()
			} else {
				p.skipBlanks()
				o.HasValue = p.off < len(p.src) && !strings.ContainsAny(p.src[p.off:p.off+1], "\r\n") &&
					!p.at("-") && !p.at("//") && !p.at("/*")
			}
		case p.tok.kind == tokWord && p.at("="):
			o.Name, o.HasValue = p.tok.text, true
			p.off++
			p.skipBlanks()
		default:
			return opts
		}
		if o.HasValue {
			o.Value = p.optionValue()
		}
		opts = append(opts, o)
		p.advance()
	}
}

// optionName reads letters, digits, "_" and "-".
func (p *parser) optionName() string {
	start := p.off
	for p.off < len(p.src) && (isWord(p.src[p.off]) || p.src[p.off] == '-' && p.off > start) {
		p.off++
	}
	if start == p.off {
		p.fail(p.pos(start), "expected the name of an option")
	}
	return p.src[start:p.off]
}

// optionValue reads a string, or everything up to white space.
func (p *parser) optionValue() string {
	if p.at(`"`) {
		start := p.off
		k, text := p.string()
		if k == tokBad {
			p.fail(p.pos(start), "%s", text)
		}
		return text
	}
	start := p.off
	for p.off < len(p.src) && p.src[p.off] > ' ' {
		if opens(p.src[p.off:]) || p.at(`"`) {
			p.fail(p.pos(p.off), "this value needs quotes around it")
		}
		p.off++
	}
	if start == p.off {
		p.fail(p.pos(start), "expected a value for this option")
	}
	return p.src[start:p.off]
}

// skipBlanks goes over spaces and tabs.
func (p *parser) skipBlanks() {
	for p.off < len(p.src) && (p.src[p.off] == ' ' || p.src[p.off] == '\t') {
		p.off++
	}
}
