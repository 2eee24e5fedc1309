package script

import "slices"

// codeBlock = "%{" { statement ( newline | ";" ) } "}%" .
func (p *parser) codeBlock() *Code {
	c := &Code{Pos: p.here()}
	p.code, p.nest = true, 0
	p.advance()
	for {
		for p.tok.kind == tokNewline || p.is(";") {
			p.advance()
		}
		if p.is("}%") {
			break
		}
		if p.tok.kind != tokEOF {
			c.Stmts = append(c.Stmts, p.statement())
		}
		if p.tok.kind == tokEOF {
			p.fail(c.Pos, "this code does not end: expected }%%")
		}
		if p.tok.kind != tokNewline && !p.is(";") && !p.is("}%") {
			if p.isWord("if") {
				p.unsupported(p.here(), "Python's conditional expression")
			}
			p.expected("an operator or the end of the statement")
		}
	}
	p.code = false
	p.advance()
	return c
}

// python are the statements of Python that are left out here.
var python = []string{
	"import", "from", "if", "elif", "else", "for", "while", "def", "class", "try", "except", "raise", "with",
	"lambda", "del", "global", "pass", "return", "exec",
}

// statement = "assert" test [ "," test ] | "print" ... | name "=" test .
func (p *parser) statement() Stmt {
	at := p.here()
	switch {
	case p.accept("assert"):
		a := &Assert{Pos: at, Cond: p.expr(test)}
		if p.accept(",") {
			a.Msg = p.expr(test)
		}
		return a
	case p.isWord("print"):
		p.advance()
		return p.print(at)
	case p.tok.kind == tokWord && slices.Contains(python, p.tok.text):
		p.unsupported(at, "the Python statement "+p.tok.text)
	case p.tok.kind == tokWord:
		return p.assign(at)
	}
	p.expected("assert, print or an assignment")
	return nil
}

// print takes what Python 3 prints and what Python 2 does; a tuple alone is
// the same in both.
func (p *parser) print(at Pos) *PrintStmt {
	pr := &PrintStmt{Pos: at}
	if p.is("(") && p.nextIs(')') {
		p.advance()
		p.advance()
		return pr
	}
	if p.tok.kind == tokNewline || p.is(";") || p.is("}%") {
		return pr
	}
	for {
		pr.Args = append(pr.Args, p.expr(test))
		if !p.accept(",") {
			break
		}
	}
	if t, ok := pr.Args[0].(*List); ok && t.Tuple && len(pr.Args) == 1 {
		pr.Args = t.Elems
	}
	return pr
}

var augmented = []string{"+", "-", "*", "/", "//", "%", "|", "&", "^", "<<", ">>"}

// assign = name [ op ] "=" test .
func (p *parser) assign(at Pos) *Assign {
	a := &Assign{Pos: at, Name: p.tok.text}
	p.advance()
	switch {
	case p.accept("="):
	case p.tok.kind == tokOp && len(p.tok.text) > 1 && slices.Contains(augmented, p.tok.text[:len(p.tok.text)-1]) &&
		p.tok.text[len(p.tok.text)-1] == '=':
		a.Op = p.tok.text[:len(p.tok.text)-1]
		p.advance()
	default:
		p.expected(`"=" (a statement is assert, print or an assignment)`)
	}
	a.Value = p.expr(test)
	return a
}
