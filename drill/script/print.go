package script

import (
	"fmt"
	"strings"
)

// Print writes a script as it would be typed: one event a line, macros
// replaced, comments gone. Parsing the result gives the same script but for
// the places.
func Print(s *Script) string {
	w := &printer{}
	for _, o := range s.Options {
		w.line(o)
	}
	for _, d := range s.Params {
		w.line(d)
	}
	for _, d := range s.Hosts {
		w.line(d)
	}
	for _, d := range s.Links {
		w.line(d)
	}
	for _, d := range s.Conns {
		w.line(d)
	}
	for _, e := range s.Events {
		w.line(e)
	}
	return w.String()
}

// Format writes one node as [Print] does: an event, a packet, an expression.
// It is for messages.
func Format(n Node) string {
	w := &printer{}
	w.node(n)
	return w.String()
}

type printer struct {
	strings.Builder
	indent int // tabs before a line
}

// say writes strings.
func (w *printer) say(ss ...string) {
	for _, s := range ss {
		w.WriteString(s)
	}
}

func (w *printer) sayf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

func (w *printer) line(n Node) {
	w.say(strings.Repeat("\t", w.indent))
	w.node(n)
	w.say("\n")
}

// node writes whatever it is given.
func (w *printer) node(n Node) {
	switch n := n.(type) {
	case *Option:
		w.option(n)
	case *Param:
		w.say("param ", n.Name, " in ")
		w.spans(n.Values)
	case *Host:
		w.host(n)
	case *Link:
		w.link(n)
	case *Conn:
		w.conn(n)
	case *Event:
		w.event(n)
	case Action:
		w.action(n)
	case Stmt:
		w.stmt(n)
	case Expr:
		w.expr(n)
	case Body:
		w.body(n)
	case Header:
		w.header(n)
	case TCPOption:
		w.tcpOption(n)
	default:
		w.part(n)
	}
}

// part writes what occurs only inside of something else.
func (w *printer) part(n Node) {
	switch n := n.(type) {
	case *Span:
		w.spans([]*Span{n})
	case *Field:
		w.field(n)
	case *Formula:
		w.say("${")
		w.expr(n.X)
		w.say("}")
	case *IPInfo:
		w.ipInfo(n)
	case *Ports:
		w.ports(n)
	case *Quote:
		w.quote(n)
	case *MPLSEntry:
		w.mplsEntry(n)
	case *Fragment:
		w.fragment(n)
	default:
		w.say(n.At().String())
	}
}

func (w *printer) option(o *Option) {
	w.say("--", o.Name)
	switch {
	case !o.HasValue:
	case strings.Trim(o.Value, optionPlain) == "" && o.Value != "" && !strings.Contains(o.Value, "//"):
		w.say("=", o.Value)
	default:
		w.say("=", quote(o.Value))
	}
}

// optionPlain are the characters of values that need no quotes.
const optionPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-"

func (w *printer) event(e *Event) {
	w.time(&e.Time)
	if c, ok := e.Action.(*Call); ok && c.Blocks {
		w.say("...", seconds(c.Until))
	}
	if e.Time.Kind != TimeNone {
		w.say(" ")
	}
	if e.Host != "" {
		w.say(e.Host, ": ")
	}
	w.action(e.Action)
}

func (w *printer) time(t *Time) {
	switch t.Kind {
	case TimeNone:
	case TimeAny:
		w.say("*")
	case TimeAbsolute:
		w.say(seconds(t.From))
	case TimeAbsoluteRange:
		w.say(seconds(t.From), "~", seconds(t.To))
	case TimeRelativeRange:
		w.say("+", seconds(t.From), "~+", seconds(t.To))
	case TimeRelative:
		w.say("+")
		if t.Expr == nil {
			w.say(seconds(t.From))
			return
		}
		w.say("${")
		w.expr(t.Expr)
		w.say("}")
	}
}

func (w *printer) action(a Action) {
	switch a := a.(type) {
	case *Packet:
		w.packet(a)
	case *Call:
		w.call(a)
	case *Shell:
		w.say("`", a.Text, "`")
	case *Code:
		w.code(a)
	case *ExpectNothing:
		w.say("expect nothing for ", seconds(a.For), "s")
	case *For:
		w.say("for ", a.Name, " in ")
		w.spans(a.Values)
		w.say(" {\n")
		w.indent++
		for _, e := range a.Body {
			w.line(e)
		}
		w.indent--
		w.say(strings.Repeat("\t", w.indent), "}")
	}
}

func (w *printer) call(c *Call) {
	w.say(c.Name, "(")
	w.list(c.Args)
	w.say(") = ")
	w.result(c.Result)
	if c.Errno != "" {
		w.say(" ", c.Errno)
	}
	if c.Note != "" {
		w.say(" (", c.Note, ")")
	}
}

// result is an expression with parentheses around arithmetic.
func (w *printer) result(x Expr) {
	if r, ok := x.(*Range); ok {
		w.orFlags(r.From)
		w.say("~")
		x = r.To
	}
	w.orFlags(x)
}

func (w *printer) orFlags(x Expr) {
	if b, ok := x.(*Binary); ok && b.Op == "|" {
		w.orFlags(b.X)
		w.say(" | ")
		x = b.Y
	}
	w.operand(x, bindUnary)
}

func (w *printer) code(c *Code) {
	w.say("%{ ")
	for i, s := range c.Stmts {
		if i > 0 {
			w.say("; ")
		}
		w.stmt(s)
	}
	w.say(" }%")
}

func (w *printer) stmt(s Stmt) {
	switch s := s.(type) {
	case *Assert:
		w.say("assert ")
		w.expr(s.Cond)
		if s.Msg != nil {
			w.say(", ")
			w.expr(s.Msg)
		}
	case *PrintStmt:
		w.say("print(")
		w.list(s.Args)
		w.say(")")
	case *Assign:
		w.say(s.Name, " ", s.Op, "= ")
		w.expr(s.Value)
	}
}
