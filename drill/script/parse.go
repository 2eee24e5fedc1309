package script

import (
	"fmt"
	"strings"
)

// MaxSize is the size in bytes of the largest script that Parse takes.
const MaxSize = 1 << 27

// maxDepth bounds how deep expressions, structs and loops may nest.
const maxDepth = 100

// maxChain bounds the operators, or operands, of one expression.
const maxChain = 1_000

// Config is what Parse may be told. The zero value is the default.
type Config struct {
	// Defines are macros, as -D of the command line makes them: name and
	// text. FreeBSD's scripts want STANDARD defined.
	Defines map[string]string
}

// Parse reads a script. The file name is for messages only; cfg may be nil.
// It returns an [*Error] for the first mistake, takes time linear in the
// script, and neither keeps nor changes cfg.
func Parse(file, src string, cfg *Config) (*Script, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	if len(src) > MaxSize {
		return nil, &Error{File: file, Pos: Pos{1, 1}, Msg: fmt.Sprintf("script larger than %d bytes", MaxSize)}
	}
	t, err := preprocess(file, src, cfg.Defines)
	if err != nil {
		return nil, err
	}
	p := &parser{lexer: lexer{text: t}}
	s, err := p.run()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// parser has the grammar, a function per production. They panic with *Error,
// which run turns into what Parse returns: a mistake ends the parse wherever
// it is found.
type parser struct {
	lexer
	tok   token // the next one
	prev  int   // where the one before ended
	depth int   // of recursion
	open  int   // brackets, inside which the end of a line means nothing

	wasTCP bool // the event before is a segment, which may go on
}

func (p *parser) run() (s *Script, err *Error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			s, err = nil, e
		}
	}()
	p.off = len(p.src) - len(strings.TrimPrefix(p.src, bom))
	p.advance()
	return p.script(), nil
}

// script = { option } { declaration } { event } .
func (p *parser) script() *Script {
	s := &Script{File: p.file, source: p.orig, lines: p.lines}
	s.Options = p.options()
	for p.declaration(s) {
	}
	for p.tok.kind != tokEOF {
		s.Events = append(s.Events, p.event())
	}
	p.check(s)
	return s
}

// advance reads the next token.
func (p *parser) advance() {
	p.prev = p.off
	p.tok = p.next()
}

// rescan goes back to the start of the next token, to read characters; resume
// goes on with tokens from off.
func (p *parser) rescan() { p.off = p.tok.start }
func (p *parser) resume() { p.advance() }

// here is where the next token is.
func (p *parser) here() Pos { return p.pos(p.tok.start) }

// fail ends the parse with a message about a place.
func (p *parser) fail(at Pos, format string, args ...any) {
	panic(p.errorAt(at, format, args...))
}

// expected ends the parse: what was wanted is not the next token. If that is
// in a later line, then the place is the end of this one.
func (p *parser) expected(what string) {
	switch {
	case p.tok.kind == tokBad:
		p.fail(p.here(), "%s", p.tok.text)
	case p.tok.newLine && p.prev > 0 && p.prev <= p.tok.start:
		found := "end of line"
		if p.tok.kind == tokEOF {
			found = "end of script"
		}
		p.fail(p.pos(p.prev), "expected %s, found %s", what, found)
	}
	p.fail(p.here(), "expected %s, found %s", what, p.tok.describe())
}

// unsupported ends the parse at good packetdrill that this package leaves out.
func (p *parser) unsupported(at Pos, feature string) {
	e := p.errorAt(at, "%s is not supported", feature)
	e.Feature = feature
	panic(e)
}

func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "end of script"
	case tokNewline:
		return "end of line"
	case tokWord:
		return fmt.Sprintf("word %q", clip(t.text))
	case tokNumber:
		return "number " + clip(t.text)
	case tokString:
		return "string " + quote(clip(t.text))
	case tokShell:
		return "shell text"
	default:
		return fmt.Sprintf("%q", clip(t.text))
	}
}

// is reports whether the next token is this punctuation.
func (p *parser) is(op string) bool { return p.tok.kind == tokOp && p.tok.text == op }

// isWord reports whether the next token is this word.
func (p *parser) isWord(w string) bool { return p.tok.kind == tokWord && p.tok.text == w }

// accept takes the next token if it is this punctuation or word.
func (p *parser) accept(s string) bool {
	if (p.tok.kind == tokOp || p.tok.kind == tokWord) && p.tok.text == s {
		p.advance()
		return true
	}
	return false
}

// want takes this punctuation or word, or fails; what, if given, says more.
func (p *parser) want(s string, what ...string) {
	if !p.accept(s) {
		p.expected(strings.Join(append([]string{fmt.Sprintf("%q", s)}, what...), " "))
	}
}

// name takes a word.
func (p *parser) name(what string) string {
	if p.tok.kind != tokWord {
		p.expected(what)
	}
	s := p.tok.text
	p.advance()
	return s
}

// enter and leave bound recursion.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.here(), "nested deeper than %d", maxDepth)
	}
}

func (p *parser) leave() { p.depth-- }
