package script

import "strings"

// isDefineOption reports whether a line "-DNAME=text" begins here.
func (p *preprocessor) isDefineOption() bool {
	rest := p.orig[p.off:]
	return strings.HasPrefix(rest, "--define") && len(rest) > 8 && strings.IndexByte("= \t", rest[8]) >= 0 ||
		strings.HasPrefix(rest, "-D") && len(rest) > 2 && (isLetter(rest[2]) || rest[2] == ' ')
}

// directive does what a line says and leaves it empty; if that begins a branch
// not to be taken, the lines up to its end as well.
func (p *preprocessor) directive() *Error {
	start := p.off
	line := p.orig[start:endOfLine(p.orig, start)]
	name, arg, isDirective := splitDirective(line)
	if !isDirective { // "#!" and "# text"
		p.blank(start, start+len(line))
		return nil
	}
	at := p.lineCol(start)
	if err := p.obey(at, name, arg); err != nil {
		return err
	}
	p.blank(start, start+len(line))
	if n := len(p.conds); n > 0 && !p.conds[n-1].active {
		return p.skipBranch()
	}
	return nil
}

// splitDirective takes "#name argument" apart, and "-Dargument", which is
// "#define" with "=" for the first space.
func splitDirective(line string) (name, arg string, ok bool) {
	line = strings.TrimRight(line, " \t\r")
	if line[0] == '-' {
		arg = strings.TrimPrefix(strings.TrimPrefix(line, "--define"), "-D")
		arg = strings.TrimLeft(arg, "= \t")
		return "define", strings.Replace(arg, "=", " ", 1), true
	}
	if len(line) < 2 || !isLetter(line[1]) {
		return "", "", false
	}
	i := 1
	for i < len(line) && isWord(line[i]) {
		i++
	}
	return line[1:i], strings.TrimSpace(line[i:]), true
}

// blank leaves out orig[start:end], from which only the line's end remains.
func (p *preprocessor) blank(start, end int) {
	p.flush(start)
	// What was there must have had a length: copied 0 means "unchanged".
	p.copied, p.off = end, end
	p.moved = append(p.moved, shift{int32(p.out.Len()), int32(end), false})
}

// skipBranch goes to the directive that ends a branch not taken. The lines in
// it stay, empty.
func (p *preprocessor) skipBranch() *Error {
	depth := 0
	for p.off < len(p.orig) {
		p.off++ // the end of the line before
		p.flush(p.off)
		start := p.off
		end := endOfLine(p.orig, start)
		line := strings.TrimLeft(p.orig[start:end], " \t")
		var name string
		if strings.HasPrefix(line, "#") {
			name, _, _ = splitDirective(line)
		}
		switch {
		case name == "ifdef" || name == "ifndef":
			depth++
		case name == "endif" && depth > 0:
			depth--
		case depth == 0 && (name == "else" || name == "endif"):
			p.off = end - len(line)
			p.blank(start, p.off)
			return p.directive()
		}
		p.blank(start, end)
	}
	return nil
}

// obey executes a directive.
func (p *preprocessor) obey(at Pos, name, arg string) *Error {
	switch name {
	case "define":
		return p.define(at, arg)
	case "undef":
		delete(p.macros, firstWord(arg))
		return nil
	case "ifdef", "ifndef":
		word := firstWord(arg)
		if word == "" {
			return p.errorAt(at, "expected a name behind #%s", name)
		}
		_, ok := p.macros[word]
		active := ok == (name == "ifdef")
		p.conds = append(p.conds, cond{pos: at, active: active, taken: active})
		return nil
	case "else", "endif":
		n := len(p.conds)
		if n == 0 {
			return p.errorAt(at, "#%s without #ifdef", name)
		}
		c := &p.conds[n-1]
		switch {
		case name == "endif":
			p.conds = p.conds[:n-1]
		case c.other:
			return p.errorAt(at, "a second #else; the #ifdef is in line %d", c.pos.Line)
		default:
			c.other, c.active = true, !c.taken
		}
		return nil
	}
	return p.errorAt(at, "expected #define, #undef, #ifdef, #ifndef, #else or #endif, found #%s (a comment begins with //)", name)
}

func (p *preprocessor) define(at Pos, arg string) *Error {
	name := firstWord(arg)
	if name == "" {
		return p.errorAt(at, "expected a name to define")
	}
	body := strings.TrimSpace(arg[len(name):])
	if strings.HasPrefix(arg[len(name):], "(") {
		return p.errorAt(at, "macros take no arguments")
	}
	if i := commentIn(body); i >= 0 {
		body = strings.TrimSpace(body[:i])
	}
	p.macros[name] = body
	p.used = true
	return nil
}

// commentIn returns where a comment begins, or -1.
func commentIn(s string) int {
	for i := 0; i < len(s); {
		if strings.HasPrefix(s[i:], "//") || strings.HasPrefix(s[i:], "/*") {
			return i
		}
		i = skipOpaque(s, i)
	}
	return -1
}

// firstWord returns the name that s begins with, or "".
func firstWord(s string) string {
	if s == "" || !isLetter(s[0]) {
		return ""
	}
	i := 0
	for i < len(s) && isWord(s[i]) {
		i++
	}
	return s[:i]
}
