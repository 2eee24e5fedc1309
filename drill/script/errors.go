package script

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is why a script could not be parsed, and where. Parse reports the
// first one only.
type Error struct {
	File string
	Pos
	// Msg says what was expected and what was found.
	Msg string
	// Feature, if not empty, names something that is good packetdrill but not
	// part of this language ("SCTP", "python import"): the script is
	// unsupported rather than wrong.
	Feature string

	line string // the source line
}

// Error returns "file:line:col: message", on one line.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%s: %s", e.File, e.Pos, e.Msg)
}

// widest is the part of a source line that Detail shows, in bytes.
const widest = 100

// Detail returns the message and below it the Excerpt, as compilers do:
//
//	close.pkt:7:12: expected a sequence number, found word "ack"
//	    +0 > F. 1:1 ack 1
//	                ^
func (e *Error) Detail() string {
	if x := e.Excerpt(); x != "" {
		return e.Error() + "\n" + x
	}
	return e.Error()
}

// Excerpt returns the source line, and below it a caret under the place: two
// lines, indented by four spaces, or nothing where there is no such line.
func (e *Error) Excerpt() string {
	line, col := e.line, min(int(e.Col)-1, len(e.line))
	if col < 0 {
		return ""
	}
	from := 0
	if col > widest*3/4 {
		from = col - widest/2
	}
	to := min(len(line), from+widest)
	var indent strings.Builder
	for _, r := range line[from:col] {
		if r == '\t' {
			indent.WriteByte('\t')
		} else {
			indent.WriteByte(' ')
		}
	}
	shown := strings.ToValidUTF8(line[from:to], "?")
	// What is not printable would make the caret miss or harm a terminal.
	shown = strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || r == utf8.RuneError) {
			return '?'
		}
		return r
	}, shown)
	return fmt.Sprintf("    %s\n    %s^", shown, indent.String())
}
