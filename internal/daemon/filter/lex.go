package filter

import (
	"fmt"
	"strings"
)

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a name, a number, an address
	tokenSymbol           // anything else
)

type token struct {
	kind tokenKind
	text string
	at   int // byte offset
}

// symbols are longest first.
var symbols = []string{"&&", "||", "<<", ">>", "<=", ">=", "==", "!=",
	"(", ")", "[", "]", "!", "&", "|", "^", "+", "-", "*", "/", "%", "<", ">", "=", ":"}

// lex cuts a filter into tokens, the last one tokenEnd.
func lex(text string) ([]token, error) {
	var out []token
	brackets := 0 // inside them a colon is no part of a word
	for i := 0; i < len(text); {
		c := text[i]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		if n := wordLen(text[i:], brackets > 0); n > 0 {
			out = append(out, token{tokenWord, strings.TrimPrefix(text[i:i+n], `\`), i})
			i += n
			continue
		}
		symbol := ""
		for _, s := range symbols {
			if strings.HasPrefix(text[i:], s) {
				symbol = s
				break
			}
		}
		if symbol == "" {
			return nil, fmt.Errorf("at %d: unexpected character %q", i+1, c)
		}
		switch symbol {
		case "[":
			brackets++
		case "]":
			brackets--
		}
		out = append(out, token{tokenSymbol, symbol, i})
		i += len(symbol)
	}
	return append(out, token{tokenEnd, "", len(text)}), nil
}

// wordLen is how long the word at the start of text is. Words have dots and
// dashes (ranges, tcp-syn), slashes (prefixes) and colons (IPv6, MAC) in them,
// but not inside brackets, where those are operators; dashes are, there,
// where a name goes on behind them.
func wordLen(text string, bracket bool) int {
	n := 0
	for n < len(text) {
		c := text[n]
		switch {
		case isAlnum(c) || c == '_' || c == '.':
		case c == '\\' && n == 0 && len(text) > 1 && isAlnum(text[1]):
		case n > 0 && c == '-' && n+1 < len(text) && isAlnum(text[n+1]) && (!bracket || isLetter(text[n-1]) && isLetter(text[n+1])):
		case n > 0 && c == '/' && !bracket && n+1 < len(text) && isAlnum(text[n+1]):
		case c == ':' && !bracket && isAddress(text, n):
		default:
			return n
		}
		n++
	}
	return n
}

// isAddress reports whether the colon at n is an address's.
func isAddress(text string, n int) bool {
	next := n+1 < len(text) && (isHex(text[n+1]) || text[n+1] == ':')
	before := n > 0 && (isHex(text[n-1]) || text[n-1] == ':')
	return next || before
}

func isLetter(c byte) bool { return c|32 >= 'a' && c|32 <= 'z' }
func isAlnum(c byte) bool  { return isLetter(c) || c >= '0' && c <= '9' }
func isHex(c byte) bool    { return c >= '0' && c <= '9' || c|32 >= 'a' && c|32 <= 'f' }
