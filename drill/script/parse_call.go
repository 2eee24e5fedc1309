package script

import "strings"

// call = name arguments "=" result [ errno ] [ "(" note ")" ] .
func (p *parser) call() *Call {
	c := &Call{Pos: p.here()}
	c.Name = p.name("the name of a system call")
	if !p.is("(") {
		p.expected(`"(" and the arguments of ` + clip(c.Name))
	}
	c.Args = p.arguments(arith)
	if !p.is("=") {
		p.expected(`"=" and the result of ` + clip(c.Name))
	}
	p.advance()
	c.Result = p.result()
	if p.tok.kind == tokWord && !p.tok.newLine && isErrno(p.tok.text) {
		c.Errno = p.tok.text
		p.advance()
	}
	if p.is("(") && !p.tok.newLine {
		c.Note = p.note()
	}
	return c
}

// result = flags [ "~" flags ] ; flags = unary { "|" unary } .
//
// Arithmetic needs parentheses here, for behind a result may come the next
// event: "close(3) = 0 +0 close(4) = 0".
func (p *parser) result() Expr {
	x := p.orFlags()
	if at := p.here(); p.accept("~") {
		return &Range{Pos: at, From: x, To: p.orFlags()}
	}
	return x
}

func (p *parser) orFlags() Expr {
	x := p.unary()
	for n := 0; p.is("|"); n++ {
		x = p.chain(n, "|", x, p.unary)
	}
	return x
}

// isErrno tells the name of an error: E and capitals.
func isErrno(s string) bool {
	return len(s) > 1 && s[0] == 'E' && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// opens reports whether s begins with what begins shell text, a comment or
// code, and so has a meaning even where any text may stand.
func opens(s string) bool {
	return s[0] == '`' || strings.HasPrefix(s, "/*") || strings.HasPrefix(s, "%{")
}

// note = "(" any text with balanced parentheses ")" , on one line.
func (p *parser) note() string {
	p.rescan()
	start, open := p.off+1, 0
	for ; p.off < len(p.src) && p.src[p.off] != '\n'; p.off++ {
		if opens(p.src[p.off:]) {
			p.fail(p.pos(p.off), "a note cannot contain `, /* or %%{")
		}
		switch p.src[p.off] {
		case '(':
			open++
		case ')':
			open--
		}
		if open == 0 {
			text := strings.TrimSpace(p.src[start:p.off])
			p.off++
			p.resume()
			return text
		}
	}
	p.fail(p.here(), "expected %q at the end of this note, on the same line", ")")
	return ""
}

// arguments = "(" [ expression { "," expression } ] ")" .
func (p *parser) arguments(l level) []Expr {
	p.open++
	p.want("(")
	var args []Expr
	for !p.is(")") {
		args = append(args, p.expr(l))
		if !p.is(")") {
			p.want(",", `or ")"`)
			if p.is(")") {
				p.expected("another argument")
			}
		}
	}
	p.open--
	p.advance()
	return args
}

// list = "[" [ expression { "," expression } ] "]" .
func (p *parser) list(l level) *List {
	list := &List{Pos: p.here()}
	p.open++
	p.want("[")
	for !p.is("]") {
		list.Elems = append(list.Elems, p.expr(l))
		if !p.is("]") {
			p.want(",", `or "]"`)
			if p.is("]") {
				p.expected("another element")
			}
		}
	}
	p.open--
	p.advance()
	return list
}

// structure = "{" [ field { "," field } ] "}" .
func (p *parser) structure() *Struct {
	s := &Struct{Pos: p.here()}
	p.open++
	p.want("{")
	for !p.is("}") {
		s.Fields = append(s.Fields, p.field())
		if !p.is("}") {
			p.want(",", `or "}"`)
			if p.is("}") {
				p.expected("another field")
			}
		}
	}
	p.open--
	p.advance()
	return s
}

// field = [ name [ "(" length ")" ] "=" ] expression .
func (p *parser) field() *Field {
	f := &Field{Pos: p.here()}
	f.Value = p.expr(arith)
	if !p.is("=") {
		return f
	}
	switch left := f.Value.(type) {
	case *Name:
		f.Name = left.Name
	case *Apply:
		name, ok := left.Func.(*Name)
		if !ok || len(left.Args) != 1 {
			p.fail(f.Pos, `expected a field as in "msg_iov(1)=..."`)
		}
		f.Name, f.Len = name.Name, left.Args[0]
	default:
		p.fail(f.Pos, `expected the name of a field before "="`)
	}
	p.advance()
	f.Value = p.expr(arith)
	return f
}
