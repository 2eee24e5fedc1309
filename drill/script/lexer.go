package script

import (
	"fmt"
	"strings"
)

type kind uint8

const (
	tokEOF     kind = iota
	tokNewline      // in code only, and not inside parentheses
	tokWord
	tokNumber
	tokString // text is the value
	tokShell  // text is what is between the backticks
	tokOp     // punctuation, one or more characters
	tokBad    // text says what is wrong with it
)

// token is one word of the language.
type token struct {
	kind    kind
	text    string
	start   int  // offset in src
	newLine bool // the first of its line
}

// lexer cuts a script into tokens. Where the language is not made of tokens
// (addresses, flags, hexadecimal data) the parser goes back to the token's
// start and reads characters; see scan.go.
type lexer struct {
	*text
	off  int
	code bool // inside %{ }%
	nest int  // open parentheses in code
}

// operators are tried in this order: the longer ones first.
var operators = []string{"...", "..", "<<", ">>"}

// codeOperators exist in code only.
var codeOperators = []string{
	"<<=", ">>=", "//=", "}%", "==", "!=", "<=", ">=", "//", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=",
	"<<", ">>", "...", "..",
}

// next returns the next token.
func (l *lexer) next() token {
	newLine, bad := l.skipSpace()
	t := token{start: l.off, newLine: newLine}
	switch {
	case bad != "":
		t.kind, t.text = tokBad, bad
	case l.code && newLine && l.nest == 0:
		t.kind = tokNewline
	case l.off >= len(l.src):
		t.kind, t.newLine = tokEOF, true
	default:
		l.token(&t)
	}
	return t
}

// token reads the token at off, which is not white space.
func (l *lexer) token(t *token) {
	switch c := l.src[l.off]; {
	case isLetter(c):
		t.kind, t.text = tokWord, l.word()
	case isDigit(c) || c == '.' && l.off+1 < len(l.src) && isDigit(l.src[l.off+1]):
		t.kind, t.text = l.number()
	case c == '"' || c == '\'' && l.code:
		t.kind, t.text = l.string()
	case c == '`':
		end := strings.IndexByte(l.src[l.off+1:], '`')
		if end < 0 {
			t.kind, t.text = tokBad, "this shell text does not end: expected another `"
			return
		}
		t.kind, t.text = tokShell, l.src[l.off+1:l.off+1+end]
		l.off += end + 2
	default:
		t.kind, t.text = l.operator()
	}
}

// skipSpace goes to the next token. What is wrong on the way begins at off.
func (l *lexer) skipSpace() (newLine bool, bad string) {
	newLine = l.off == 0
	for l.off < len(l.src) {
		switch c := l.src[l.off]; {
		case c == '\n':
			newLine = true
			l.off++
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.off++
		case l.code && c == '\\' && strings.HasPrefix(strings.TrimPrefix(l.src[l.off+1:], "\r"), "\n"):
			l.off = endOfLine(l.src, l.off) + 1
		case l.code && c == '#':
			l.off = endOfCodeComment(l.src, l.off)
		case !l.code && strings.HasPrefix(l.src[l.off:], "//"):
			l.off = endOfLine(l.src, l.off)
		case !l.code && strings.HasPrefix(l.src[l.off:], "/*"):
			end := strings.Index(l.src[l.off+2:], "*/")
			if end < 0 {
				return newLine, "this comment does not end: expected */"
			}
			newLine = newLine || strings.Contains(l.src[l.off:l.off+2+end], "\n")
			l.off += end + 4
		default:
			return newLine, ""
		}
	}
	return newLine, ""
}

func (l *lexer) word() string {
	start := l.off
	for l.off < len(l.src) && isWord(l.src[l.off]) {
		l.off++
	}
	return l.src[start:l.off]
}

// number reads "10", "0x1f", "0.5", ".5" and "1."; in code "1e6" too.
func (l *lexer) number() (kind, string) {
	start := l.off
	for l.off < len(l.src) && isDigit(l.src[l.off]) {
		l.off++
	}
	if l.off == len(l.src) || !isWord(l.src[l.off]) && l.src[l.off] != '.' {
		return tokNumber, l.src[start:l.off] // as most are
	}
	l.digits()
	// "1..10" and "0...0.2" begin with integers.
	if l.at(".") && !l.at("..") && !strings.ContainsAny(l.src[start:l.off], "xX") {
		l.off++
		l.digits()
	}
	text := l.src[start:l.off]
	if l.code && strings.HasSuffix(strings.ToLower(text), "e") && !strings.HasPrefix(text, "0x") &&
		(l.at("-") || l.at("+")) {
		l.off++
		l.digits()
		text = l.src[start:l.off]
	}
	if !isNumber(text, l.code) {
		return tokBad, fmt.Sprintf("%q is not a number", clip(text))
	}
	return tokNumber, text
}

// digits goes over digits and the letters on them.
func (l *lexer) digits() {
	for l.off < len(l.src) && isWord(l.src[l.off]) {
		l.off++
	}
}

func (l *lexer) at(s string) bool { return strings.HasPrefix(l.src[l.off:], s) }

// operator reads punctuation.
func (l *lexer) operator() (kind, string) {
	ops := operators
	if l.code {
		ops = codeOperators
	} else if l.at("%{") {
		l.off += 2
		return tokOp, "%{"
	} else if l.at("*/") {
		return tokBad, "no comment is open here (comments do not nest)"
	}
	for _, op := range ops {
		if l.at(op) {
			l.off += len(op)
			return tokOp, op
		}
	}
	c := l.src[l.off]
	if strings.IndexByte("+-*/%|&^~<>()[]{}=,:;.$", c) < 0 {
		return tokBad, fmt.Sprintf("unexpected character %q", firstRune(l.src[l.off:]))
	}
	l.off++
	if l.code {
		switch c {
		case '(', '[', '{':
			l.nest++
		case ')', ']', '}':
			l.nest = max(0, l.nest-1)
		}
	}
	return tokOp, l.src[l.off-1 : l.off]
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

// clip keeps what a message quotes short.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

func isWord(c byte) bool { return isLetter(c) || isDigit(c) }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
