package script

import (
	"fmt"
	"sort"
	"strings"
)

// What macros may write, so that a few lines cannot fill the memory: so many
// bytes, and so many for each of the script; and how deep they may nest.
const (
	maxExpansion = 1 << 20
	maxGrowth    = 8
	maxMacros    = 100
)

// text is a script after preprocessing: what the lexer sees. Lines are where
// they were: a directive leaves an empty line. Only within a line can things
// have moved, by macros; moved tells from which offset on by how much.
type text struct {
	file  string
	orig  string
	src   string
	lines []int32 // where each line of orig begins
	moved []shift // in ascending order
	last  int     // the line that lineCol returned
}

// shift says that from src offset at on, to the next shift, an offset o stands
// at orig + (o - at) in the original; or just at orig if it is inside a macro.
type shift struct {
	at, orig int32
	inside   bool
}

// bom is what some editors put in front of a text.
const bom = "\ufeff"

// pos returns the place in the original of an offset in src.
func (t *text) pos(off int) Pos {
	if len(t.moved) > 0 {
		i := sort.Search(len(t.moved), func(i int) bool { return int(t.moved[i].at) > off }) - 1
		if i >= 0 {
			m := t.moved[i]
			if m.inside {
				off = int(m.orig)
			} else {
				off = int(m.orig) + off - int(m.at)
			}
		}
	}
	return t.lineCol(off)
}

// lineCol returns the place of an offset in the original. Most are asked for
// in order, hence the look at the last line first.
func (t *text) lineCol(off int) Pos {
	i := t.last
	if i == 0 || off < int(t.lines[i-1]) || i < len(t.lines) && off >= int(t.lines[i]) {
		i = sort.Search(len(t.lines), func(i int) bool { return int(t.lines[i]) > off })
		t.last = i
	}
	return Pos{Line: int32(i), Col: int32(off) - t.lines[i-1] + 1}
}

func lineStarts(s string) []int32 {
	starts := make([]int32, 1, 1+strings.Count(s, "\n"))
	for i := range len(s) {
		if s[i] == '\n' {
			starts = append(starts, int32(i+1))
		}
	}
	return starts
}

// errorAt makes the error for a place in the original.
func (t *text) errorAt(p Pos, format string, args ...any) *Error {
	e := &Error{File: t.file, Pos: p, Msg: fmt.Sprintf(format, args...)}
	if p.Line >= 1 && int(p.Line) <= len(t.lines) {
		line := t.orig[t.lines[p.Line-1]:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		e.line = strings.TrimSuffix(line, "\r")
	}
	return e
}

// cond is an #ifdef whose #endif has not come.
type cond struct {
	pos    Pos
	active bool // this branch is taken
	taken  bool // this branch or one before it was
	other  bool // #else has come
}

type preprocessor struct {
	*text
	off    int // in orig
	macros map[string]string
	used   bool // a macro exists, so words have to be looked up
	out    strings.Builder
	copied int // orig up to here is in out
	grown  int // by macros, at most room
	room   int
	conds  []cond
}

// preprocess takes the directives out of src and puts the macros in.
func preprocess(file, src string, defines map[string]string) (*text, *Error) {
	p := &preprocessor{
		text:   &text{file: file, orig: src, lines: lineStarts(src)},
		macros: make(map[string]string, len(defines)),
		room:   maxExpansion + maxGrowth*len(src),
	}
	for k, v := range defines {
		p.macros[k] = v
		p.used = true
	}
	if err := p.run(); err != nil {
		return nil, err
	}
	if n := len(p.conds); n > 0 {
		return nil, p.errorAt(p.conds[n-1].pos, "this #ifdef has no #endif")
	}
	if p.copied == 0 {
		p.src = src // nothing was changed
	} else {
		p.flush(len(src))
		p.src = p.out.String()
	}
	return p.text, nil
}

// run goes through the script, token by token as far as need be.
func (p *preprocessor) run() *Error {
	lineStart := true
	p.off = len(p.orig) - len(strings.TrimPrefix(p.orig, bom))
	for p.off < len(p.orig) {
		c := p.orig[p.off]
		switch {
		case c == '\n':
			lineStart = true
			p.off++
			continue
		case c == ' ' || c == '\t' || c == '\r':
			p.off++
			continue
		case lineStart && (c == '#' || p.isDefineOption()):
			if err := p.directive(); err != nil {
				return err
			}
			continue
		case c == '$': // a parameter, never a macro
			p.off++
			p.skipWord()
		case isLetter(c):
			if err := p.word(); err != nil {
				return err
			}
		case isDigit(c): // digits and what hangs on them, as in 0x1F
			p.skipWord()
		case strings.HasPrefix(p.orig[p.off:], "%{"):
			if err := p.code(); err != nil {
				return err
			}
		default:
			p.off = skipOpaque(p.orig, p.off)
		}
		lineStart = false
	}
	return nil
}

// skipOpaque returns the offset behind what begins at off: a comment, a
// string, a shell text, or one character. An end that is missing is the
// lexer's to complain about.
func skipOpaque(s string, off int) int {
	rest := s[off:]
	switch {
	case strings.HasPrefix(rest, "//"):
		return endOfLine(s, off)
	case strings.HasPrefix(rest, "/*"):
		return behind(s, off+2, "*/")
	case rest[0] == '`':
		return behind(s, off+1, "`")
	case rest[0] == '"':
		return skipString(s, off)
	}
	return off + 1
}

// behind returns the offset behind the next sep, or the end.
func behind(s string, off int, sep string) int {
	if i := strings.Index(s[off:], sep); i >= 0 {
		return off + i + len(sep)
	}
	return len(s)
}

// skipString returns the offset behind the string that begins at off, or that
// of the end of its line.
func skipString(s string, off int) int {
	for i := off + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			return i
		case s[off]:
			return i + 1
		}
	}
	return len(s)
}

func endOfLine(s string, off int) int {
	if i := strings.IndexByte(s[off:], '\n'); i >= 0 {
		return off + i
	}
	return len(s)
}

// code goes through "%{ ... }%", which has comments and strings of its own.
func (p *preprocessor) code() *Error {
	p.off += 2
	for p.off < len(p.orig) {
		c := p.orig[p.off]
		switch {
		case strings.HasPrefix(p.orig[p.off:], "}%"):
			p.off += 2
			return nil
		case c == '#':
			p.off = endOfCodeComment(p.orig, p.off)
		case c == '"' || c == '\'':
			p.off = skipString(p.orig, p.off)
		case isLetter(c):
			if err := p.word(); err != nil {
				return err
			}
		case isDigit(c):
			p.skipWord()
		default:
			p.off++
		}
	}
	return nil
}

// endOfCodeComment: a comment in code ends with its line or with the code.
func endOfCodeComment(s string, off int) int {
	end := endOfLine(s, off)
	if i := strings.Index(s[off:end], "}%"); i >= 0 {
		return off + i
	}
	return end
}

func (p *preprocessor) skipWord() {
	for p.off < len(p.orig) && isWord(p.orig[p.off]) {
		p.off++
	}
}

// word copies a word or replaces it.
func (p *preprocessor) word() *Error {
	start := p.off
	p.skipWord()
	if !p.used {
		return nil
	}
	name := p.orig[start:p.off]
	if _, ok := p.macros[name]; !ok {
		return nil
	}
	p.flush(start)
	p.moved = append(p.moved, shift{int32(p.out.Len()), int32(start), true})
	if err := p.expand(name, start, nil); err != nil {
		return err
	}
	p.moved = append(p.moved, shift{int32(p.out.Len()), int32(p.off), false})
	p.copied = p.off
	return nil
}

// flush copies what has not been copied, up to an offset.
func (p *preprocessor) flush(to int) {
	if p.copied < to {
		p.out.WriteString(p.orig[p.copied:to])
		p.copied = to
	}
}

// expand writes what a macro stands for, macros in it replaced too, but not
// one that is being replaced (as in C).
func (p *preprocessor) expand(name string, at int, open []string) *Error {
	open = append(open, name)
	tooMuch := func() *Error {
		return p.errorAt(p.lineCol(at), "macro %s grows too large", open[0])
	}
	if len(open) > maxMacros {
		return tooMuch()
	}
	body := p.macros[name]
	for i := 0; i < len(body); {
		start := i
		for i < len(body) && isWord(body[i]) {
			i++
		}
		switch word := body[start:i]; {
		case start == i:
			i = skipOpaque(body, i)
			p.out.WriteString(body[start:i])
		case p.expandable(word, open):
			if err := p.expand(word, at, open); err != nil {
				return err
			}
			continue
		default:
			p.out.WriteString(word)
		}
		if p.grown += i - start; p.grown > p.room {
			return tooMuch()
		}
	}
	// Even an empty macro takes time.
	if p.grown++; p.grown > p.room {
		return tooMuch()
	}
	return nil
}

func (p *preprocessor) expandable(word string, open []string) bool {
	if _, ok := p.macros[word]; !ok {
		return false
	}
	for _, o := range open {
		if o == word {
			return false
		}
	}
	return true
}
