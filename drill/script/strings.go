package script

import (
	"fmt"
	"strings"
)

// string reads a string literal. Escapes are those of C; \x takes two digits.
func (l *lexer) string() (kind, string) {
	end := skipString(l.src, l.off)
	quote, body := l.src[l.off], l.src[l.off+1:end]
	if end < l.off+2 || body[len(body)-1] != quote || escaped(body) {
		return tokBad, fmt.Sprintf("this string does not end: expected another %c on the same line", quote)
	}
	body = body[:len(body)-1]
	value, bad := unescape(body)
	if bad != "" {
		return tokBad, bad
	}
	l.off = end
	return tokString, value
}

// escaped reports whether the last character of s follows an odd number of
// backslashes.
func escaped(s string) bool {
	s = s[:len(s)-1]
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}

var escapes = map[byte]byte{
	'n': '\n', 't': '\t', 'r': '\r', 'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v',
	'\\': '\\', '"': '"', '\'': '\'', '?': '?',
}

func unescape(s string) (value, bad string) {
	if !strings.Contains(s, `\`) {
		return s, ""
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		c, plain := escapes[s[i]]
		switch {
		case plain:
		case s[i] == 'x' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c = hexDigit(s[i+1])<<4 | hexDigit(s[i+2])
			i += 2
		case isDigitOf(s[i], 8):
			n, j := 0, i
			for ; j < len(s) && j < i+3 && isDigitOf(s[j], 8); j++ {
				n = n*8 + int(s[j]-'0')
			}
			if n > 255 {
				return "", "this string has an octal escape beyond a byte"
			}
			c, i = byte(n), j-1
		default:
			return "", fmt.Sprintf("this string has an unknown escape \\%c", firstRune(s[i:]))
		}
		b = append(b, c)
	}
	return string(b), ""
}

// quote writes a string so that unescape gives it back, in ASCII.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func hexDigit(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
