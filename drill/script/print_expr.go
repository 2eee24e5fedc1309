package script

import (
	"slices"
	"strconv"
	"strings"
)

func (w *printer) list(xs []Expr) {
	for i, x := range xs {
		if i > 0 {
			w.say(", ")
		}
		w.expr(x)
	}
}

func (w *printer) expr(x Expr) {
	switch x := x.(type) {
	case *Number:
		w.say(x.text())
	case *String:
		w.say(quote(x.Value))
		if x.More {
			w.say("...")
		}
	case *Name:
		w.say(x.Name)
	case *Ellipsis:
		w.say("...")
	case *Any:
		w.say("*")
	case *Unary:
		w.say(x.Op)
		if x.Op == "not" {
			w.say(" ")
		}
		w.operand(x.X, binding(x))
	case *Binary:
		w.operand(x.X, binding(x))
		w.say(" ", x.Op, " ")
		w.operand(x.Y, binding(x)+1)
	case *Compare:
		w.compare(x)
	case *Range:
		w.operand(x.From, bindSum)
		w.say("~")
		w.operand(x.To, bindSum)
	case *Apply:
		w.expr(x.Func)
		w.say("(")
		w.list(x.Args)
		w.say(")")
	case *Select:
		w.expr(x.X)
		w.say(".", x.Name)
	case *List:
		w.bracketed(x)
	case *Struct:
		w.say("{")
		for i, f := range x.Fields {
			if i > 0 {
				w.say(", ")
			}
			w.field(f)
		}
		w.say("}")
	}
}

func (w *printer) bracketed(l *List) {
	open, end := "[", "]"
	if l.Tuple {
		open, end = "(", ")"
	}
	w.say(open)
	w.list(l.Elems)
	if l.Tuple && len(l.Elems) == 1 {
		w.say(",")
	}
	w.say(end)
}

func (w *printer) field(f *Field) {
	if f.Name != "" {
		w.say(f.Name)
		if f.Len != nil {
			w.say("(")
			w.expr(f.Len)
			w.say(")")
		}
		w.say("=")
	}
	w.expr(f.Value)
}

func (w *printer) compare(c *Compare) {
	for i, x := range c.Operands {
		if i > 0 {
			w.say(" ", c.Ops[i-1], " ")
		}
		w.operand(x, bindSum)
	}
}

// How tightly the parts of an expression bind.
const (
	bindRange = iota
	bindOr
	bindAnd
	bindNot
	bindCompare
	bindSum   // and the precedences above it
	bindUnary = bindSum + 6
)

// binding returns how tightly an expression holds together.
func binding(x Expr) int {
	switch x := x.(type) {
	case *Range:
		return bindRange
	case *Compare:
		return bindCompare
	case *Unary:
		if x.Op == "not" {
			return bindNot
		}
		return bindUnary
	case *Binary:
		switch x.Op {
		case "or":
			return bindOr
		case "and":
			return bindAnd
		}
		for i, ops := range precedence {
			if slices.Contains(ops, x.Op) {
				return bindSum + i
			}
		}
	}
	return bindUnary + 1
}

// operand writes x, in parentheses if it binds less than it must.
func (w *printer) operand(x Expr, must int) {
	if binding(x) >= must {
		w.expr(x)
		return
	}
	w.say("(")
	w.expr(x)
	w.say(")")
}

// text writes a literal in its base.
func (n *Number) text() string {
	if n.IsFloat {
		s := strconv.FormatFloat(n.Float, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	sign, u := "", uint64(n.Int)
	if n.Int < 0 && !n.Unsigned {
		sign, u = "-", -u
	}
	digits := strconv.FormatUint(u, int(n.Base))
	switch n.Base {
	case 16:
		return sign + "0x" + digits
	case 8:
		return sign + "0o" + digits
	case 2:
		return sign + "0b" + digits
	}
	return sign + digits
}
