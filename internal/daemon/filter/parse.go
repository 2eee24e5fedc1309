package filter

import (
	"fmt"
)

// parser reads tokens once, from left to right.
type parser struct {
	tokens []token
	i      int
	depth  int
	last   qualifiers // of the primitive before: "port 80 or 443"
}

func (p *parser) peek() token { return p.tokens[p.i] }

func (p *parser) next() token {
	t := p.tokens[p.i]
	if t.kind != tokenEnd {
		p.i++
	}
	return t
}

// take takes the token if it is one of these.
func (p *parser) take(texts ...string) bool {
	t := p.peek()
	for _, text := range texts {
		if t.kind != tokenEnd && t.text == text {
			p.next()
			return true
		}
	}
	return false
}

func (p *parser) unexpected(want string) error {
	t := p.peek()
	if t.kind == tokenEnd {
		return fmt.Errorf("at the end: want %s", want)
	}
	return fmt.Errorf("at %d: %q: want %s", t.at+1, t.text, want)
}

// expression is terms joined by "and" and "or", which bind equally and to the
// left (pcap-filter(7)).
func (p *parser) expression() (test, error) {
	left, err := p.term()
	for err == nil {
		var right test
		switch {
		case p.take("and", "&&"):
			if right, err = p.term(); err == nil {
				left = both(left, right)
			}
		case p.take("or", "||"):
			if right, err = p.term(); err == nil {
				left = either(left, right)
			}
		default:
			return left, nil
		}
	}
	return nil, err
}

func both(a, b test) test   { return func(f *frame) bool { return a(f) && b(f) } }
func either(a, b test) test { return func(f *frame) bool { return a(f) || b(f) } }

// term is one thing, negated or not.
func (p *parser) term() (test, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("at %d: nested too deeply", p.peek().at+1)
	}
	defer func() { p.depth-- }()
	if p.take("not", "!") {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		return func(f *frame) bool { return !t(f) }, nil
	}
	if p.isRelation() {
		return p.relation()
	}
	if p.take("(") {
		t, err := p.expression()
		if err == nil && !p.take(")") {
			err = p.unexpected("\")\"")
		}
		return t, err
	}
	return p.primitive()
}

// isRelation reports whether a comparison of numbers begins here. A number
// alone is none: it may be the 443 of "port 80 or 443".
func (p *parser) isRelation() bool {
	i := p.i
	for p.tokens[i].text == "(" && p.tokens[i].kind == tokenSymbol {
		i++ // a parenthesis of numbers, if a number is inside
	}
	if p.tokens[i].kind != tokenWord {
		return false
	}
	after := p.tokens[i+1]
	if after.kind != tokenSymbol {
		return false
	}
	word := p.tokens[i].text
	_, isNumber := parseNumber(word)
	switch after.text {
	case "[":
		return true
	case "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", ">", "<=", ">=", "=", "==", "!=":
		return isNumber || word == "len" || constants[word] != nil
	}
	return false
}

// relation is a comparison of two numbers.
func (p *parser) relation() (test, error) {
	left, err := p.arithmetic(0)
	if err != nil {
		return nil, err
	}
	var holds func(a, b uint32) bool
	switch op := p.next(); op.text {
	case "=", "==":
		holds = func(a, b uint32) bool { return a == b }
	case "!=":
		holds = func(a, b uint32) bool { return a != b }
	case "<":
		holds = func(a, b uint32) bool { return a < b }
	case "<=":
		holds = func(a, b uint32) bool { return a <= b }
	case ">":
		holds = func(a, b uint32) bool { return a > b }
	case ">=":
		holds = func(a, b uint32) bool { return a >= b }
	default:
		p.i--
		return nil, p.unexpected("a comparison such as \"!=\"")
	}
	right, err := p.arithmetic(0)
	if err != nil {
		return nil, err
	}
	p.last = qualifiers{}
	return func(f *frame) bool {
		// Neither side is a number if it is of another protocol.
		f.absent = false
		a := left(f)
		b := right(f)
		return !f.absent && holds(a, b)
	}, nil
}
