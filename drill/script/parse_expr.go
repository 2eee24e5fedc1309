package script

import (
	"math"
	"slices"
)

// level is how loosely the operators of an expression may bind.
type level uint8

const (
	test  level = iota // everything, in code
	arith              // arithmetic and "a~b", in calls and packets
)

// expr = range | test .
func (p *parser) expr(l level) Expr {
	p.enter()
	defer p.leave()
	if l == test {
		return p.or()
	}
	x := p.binary(0)
	if at := p.here(); !p.ends() && p.accept("~") {
		return &Range{Pos: at, From: x, To: p.binary(0)}
	}
	return x
}

// ends reports whether the expression ends with its line here: outside of
// parentheses the next line is something else, as in
//
//	param N in 1..10
//	+0 close(4) = 0
func (p *parser) ends() bool { return p.tok.newLine && p.open == 0 }

// or = and { "or" and } ; and = not { "and" not } .
func (p *parser) or() Expr  { return p.logic("or", p.and) }
func (p *parser) and() Expr { return p.logic("and", p.not) }

func (p *parser) logic(op string, operand func() Expr) Expr {
	x := operand()
	for n := 0; p.isWord(op); n++ {
		x = p.chain(n, op, x, operand)
	}
	return x
}

// chain makes a Binary of x, the operator that comes and an operand.
func (p *parser) chain(n int, op string, x Expr, operand func() Expr) Expr {
	at := p.here()
	if n > maxChain {
		p.fail(at, "expression of more than %d operators", maxChain)
	}
	p.advance()
	return &Binary{Pos: at, Op: op, X: x, Y: operand()}
}

// not = "not" not | comparison .
func (p *parser) not() Expr {
	at := p.here()
	if !p.accept("not") {
		return p.comparison()
	}
	p.enter()
	defer p.leave()
	return &Unary{Pos: at, Op: "not", X: p.not()}
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="}

// comparison = sum { ( "==" | ... | "in" | "not" "in" ) sum } .
func (p *parser) comparison() Expr {
	x := p.binary(0)
	var c *Compare
	for {
		op := p.tok.text
		switch {
		case p.tok.kind == tokOp && slices.Contains(comparisons, op), p.isWord("in"):
		case p.isWord("not"):
			op = "not in"
		default:
			if c == nil {
				return x
			}
			return c
		}
		if c == nil {
			c = &Compare{Pos: p.here(), Operands: []Expr{x}}
		}
		if len(c.Ops) >= maxChain {
			p.fail(p.here(), "expression of more than %d operators", maxChain)
		}
		p.advance()
		if op == "not in" {
			p.want("in")
		}
		c.Ops = append(c.Ops, op)
		c.Operands = append(c.Operands, p.binary(0))
	}
}

// precedence lists the binary operators from loose to tight.
var precedence = [bindUnary - bindSum][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%"}}

// binary reads operators of a precedence and tighter.
func (p *parser) binary(prec int) Expr {
	if prec == len(precedence) {
		return p.unary()
	}
	operand := func() Expr { return p.binary(prec + 1) }
	x := operand()
	for n := 0; p.tok.kind == tokOp && !p.ends() && slices.Contains(precedence[prec], p.tok.text); n++ {
		x = p.chain(n, p.tok.text, x, operand)
	}
	return x
}

// unary = ( "-" | "~" ) unary | postfix .
func (p *parser) unary() Expr {
	at := p.here()
	op := p.tok.text
	switch {
	case p.is("-"), p.is("~"):
	case p.is("+") && p.code:
	default:
		return p.postfix()
	}
	p.advance()
	p.enter()
	defer p.leave()
	x := p.unary()
	if op == "+" {
		return x
	}
	if n, ok := x.(*Number); ok && op == "-" {
		return p.negate(n, at)
	}
	return &Unary{Pos: at, Op: op, X: x}
}

// negate makes a minus sign part of the number behind it.
func (p *parser) negate(n *Number, at Pos) *Number {
	n.Pos = at
	switch {
	case n.IsFloat:
		n.Float = 0 - n.Float
	case n.Unsigned != (n.Int == math.MinInt64):
		p.fail(at, "number does not fit 64 bits")
	default:
		n.Int, n.Unsigned = -n.Int, false
	}
	return n
}

// postfix = primary { "(" arguments ")" | "." name } .
func (p *parser) postfix() Expr {
	x := p.primary()
	for n := 0; ; n++ {
		at := p.here()
		_, isName := x.(*Name)
		_, isSelect := x.(*Select)
		switch {
		case p.is("(") && (isName || isSelect) && !p.tok.newLine:
			l := arith
			if p.code {
				l = test
			}
			x = &Apply{Pos: x.At(), Func: x, Args: p.arguments(l)}
		case p.is(".") && (isName || isSelect):
			if n > maxDepth {
				p.fail(at, "nested deeper than %d", maxDepth)
			}
			p.advance()
			x = &Select{Pos: at, X: x, Name: p.name("a name")}
		case p.is("[") && p.code && !p.tok.newLine:
			p.unsupported(at, "indexing in code")
		default:
			return x
		}
	}
}

// keywords are the words that cannot be names in code.
var keywords = []string{"and", "or", "not", "in", "is", "if", "else", "assert", "print"}

// primary = number | string [ "..." ] | name | "..." | "*" | list | struct |
// "(" expression ")" | parameter .
func (p *parser) primary() Expr {
	at, text := p.here(), p.tok.text
	switch {
	case p.tok.kind == tokNumber:
		return p.literal()
	case p.tok.kind == tokString:
		p.advance()
		return &String{Pos: at, Value: text, More: p.accept("...")}
	case p.code && p.tok.kind == tokWord && slices.Contains(keywords, text):
		p.expected("a value")
	case p.tok.kind == tokWord:
		p.advance()
		if p.code && p.tok.kind == tokString {
			p.unsupported(at, "prefixed string")
		}
		return &Name{Pos: at, Name: text}
	case p.accept("..."):
		return &Ellipsis{Pos: at}
	case p.accept("*"):
		return &Any{Pos: at}
	case p.is("["):
		l := arith
		if p.code {
			l = test
		}
		return p.list(l)
	case p.is("{") && !p.code:
		return p.structure()
	case p.is("$"):
		return p.dollar()
	case p.is("("):
		return p.parenthesis()
	}
	p.expected("a value")
	return nil
}

// parenthesis = "(" expression ")" | "(" expression "," ... ")" .
func (p *parser) parenthesis() Expr {
	t := &List{Pos: p.here(), Tuple: true}
	p.open++
	defer func() { p.open-- }()
	l := arith
	if p.code {
		l = test
	}
	p.advance()
	for {
		t.Elems = append(t.Elems, p.expr(l))
		if len(t.Elems) == 1 && p.accept(")") {
			return t.Elems[0]
		}
		if p.accept(")") {
			return t
		}
		p.want(",", `or ")"`)
		if p.accept(")") {
			return t
		}
	}
}

// literal makes a literal of the next token.
func (p *parser) literal() *Number {
	n, err := parseNumber(p.tok.text)
	if err != nil {
		p.fail(p.here(), "%s", err)
	}
	n.Pos = p.here()
	p.advance()
	return n
}

// formula is an expression that gives a number.
func (p *parser) formula() Expr {
	x := p.expr(arith)
	Inspect(x, func(n Node) bool {
		switch n.(type) {
		case *Number, *Name, *Unary, *Binary, *Apply, *Select:
		default:
			p.fail(n.At(), "expected a number, or numbers with names and operators")
		}
		return true
	})
	return x
}

// dollar = "$" name | "${" expression "}" .
func (p *parser) dollar() Expr {
	p.want("$")
	if p.tok.kind == tokWord {
		n := &Name{Pos: p.here(), Name: p.tok.text}
		p.advance()
		return n
	}
	p.want("{", "or a name behind $")
	p.open++
	x := p.formula()
	p.open--
	p.want("}")
	return x
}
