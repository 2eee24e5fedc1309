package script

import (
	"strings"
	"time"
)

// Script is a parsed script, in the order of the language: options, then
// declarations, then events. Nothing in it changes after [Parse]; several
// goroutines may read one Script.
type Script struct {
	File    string // as given to Parse, for messages
	Options []*Option
	Params  []*Param
	Hosts   []*Host
	Links   []*Link
	Conns   []*Conn
	Events  []*Event

	source string
	lines  []int32 // offset in source where each line begins
}

// Source returns a line of the script as it was written, counted from 1,
// without its end; "" where there is no such line. It is what a message about
// a failed event shows.
func (s *Script) Source(line int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	text := s.source[s.lines[line-1]:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(text, "\r")
}

// Option returns the last value given for an option, by its name without
// dashes. For an option without a value the string is empty.
func (s *Script) Option(name string) (value string, ok bool) {
	for _, o := range s.Options {
		if o.Name == name {
			value, ok = o.Value, true
		}
	}
	return value, ok
}

// Option is a line "--name=value" or "name=value" at the head of a script.
// What the names mean is the interpreter's business.
type Option struct {
	Pos
	Name     string // without dashes
	Value    string // without quotes
	HasValue bool   // false for "--name" alone
}

// Event is one step: when, on which host, and what.
type Event struct {
	Pos
	Time   Time
	Host   string // before a colon: "client: close(3) = 0"; "" for the only one
	Action Action
}

// Action is what happens at an event: [*Packet], [*Call], [*Shell], [*Code],
// [*ExpectNothing] or [*For].
type Action interface {
	Node
	action()
}

func (*Packet) action()        {}
func (*Call) action()          {}
func (*Shell) action()         {}
func (*Code) action()          {}
func (*ExpectNothing) action() {}
func (*For) action()           {}

// TimeKind says what a [Time] is measured from and whether it is exact.
type TimeKind uint8

const (
	// TimeNone is for no time at all, which [*Shell], [*Code] and [*For] allow:
	// it happens at once.
	TimeNone TimeKind = iota
	// TimeAbsolute is "0.1": From, since the script began.
	TimeAbsolute
	// TimeRelative is "+0.1": From, since the end of the event before.
	TimeRelative
	// TimeAbsoluteRange is "0.1~0.2": between From and To since the beginning.
	TimeAbsoluteRange
	// TimeRelativeRange is "+0.1~+0.2": between From and To since the event
	// before.
	TimeRelativeRange
	// TimeAny is "*": whenever it comes.
	TimeAny
)

// Time says when an event happens.
type Time struct {
	Pos
	Kind     TimeKind
	From, To time.Duration // To only in the two ranges
	// Expr, if not nil, is evaluated to seconds and takes From's place:
	// "+${N * 0.1}". It never occurs in a range.
	Expr Expr
}

// Call is a system call: "bind(3, ..., ...) = 0".
type Call struct {
	Pos
	Name string
	Args []Expr
	// Blocks is set by "0.1...0.2 read(...)": the call is made at the event's
	// time and returns at Until, which counts from the same zero as the
	// event's time: the beginning, or the end of the event before.
	Blocks bool
	Until  time.Duration
	// Result is what the call returns, or where a call gives nothing but a
	// success its 0; never nil. [*Any] and [*Range] are allowed in it.
	Result Expr
	Errno  string // "EAGAIN", or ""
	Note   string // the text in parentheses after the result; means nothing
}

// Shell is text between backticks. It is configuration for a system that is
// not ours: take from it what is known, execute nothing. See [Shell.Commands].
type Shell struct {
	Pos
	Text string
}

// Code is "%{ ... }%": assertions and what they need.
type Code struct {
	Pos
	Stmts []Stmt
}

// Stmt is a statement of [Code]: [*Assert], [*PrintStmt] or [*Assign].
type Stmt interface {
	Node
	stmt()
}

func (*Assert) stmt()    {}
func (*PrintStmt) stmt() {}
func (*Assign) stmt()    {}

// Assert is "assert cond" or "assert cond, message".
type Assert struct {
	Pos
	Cond Expr
	Msg  Expr // nil, or shown when Cond is false
}

// PrintStmt is "print(a, b)" or "print a, b".
type PrintStmt struct {
	Pos
	Args []Expr
}

// Assign is "name = value", or with Op "+" etc. "name += value".
type Assign struct {
	Pos
	Name  string
	Op    string // "", "+", "-", "*", "/", "//", "%", "|", "&", "^", "<<", ">>"
	Value Expr
}
