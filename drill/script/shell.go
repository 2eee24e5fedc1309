package script

import "strings"

// Commands cuts the text into commands and words, as a shell would: at
// newlines, ";", "&&", "||", "|" and "&", with quotes and comments obeyed.
// Nothing is expanded: "$1" and "*" stay as they are.
func (s *Shell) Commands() [][]string {
	var cmds [][]string
	var words []string
	var word []byte
	inWord := false
	endWord := func() {
		if inWord {
			words, word, inWord = append(words, string(word)), word[:0], false
		}
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			cmds, words = append(cmds, words), nil
		}
	}
	for i := 0; i < len(s.Text); i++ {
		switch c := s.Text[i]; {
		case c == ' ' || c == '\t' || c == '\r':
			endWord()
		case strings.IndexByte("\n;&|", c) >= 0:
			endCommand()
		case c == '#' && !inWord:
			i = endOfLine(s.Text, i) - 1
		case c == '\\':
			if i++; i < len(s.Text) && s.Text[i] != '\n' {
				word, inWord = append(word, s.Text[i]), true
			}
		case c == '\'' || c == '"':
			var quoted string
			quoted, i = shellQuoted(s.Text, i)
			word, inWord = append(word, quoted...), true
		default:
			word, inWord = append(word, c), true
		}
	}
	endCommand()
	return cmds
}

// shellQuoted returns what stands in the quotes that open at i, and where they
// close; a missing end is the end of the text.
func shellQuoted(s string, i int) (string, int) {
	var b []byte
	q := s[i]
	for i++; i < len(s) && s[i] != q; i++ {
		if s[i] == '\\' && q == '"' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0 {
			i++
		}
		b = append(b, s[i])
	}
	return string(b), i
}
