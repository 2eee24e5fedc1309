package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// marks are how a status looks at the beginning of a line.
var marks = map[Status]string{OK: "ok", Note: "note", Problem: "PROBLEM"}

// How far the columns of names and values go; what is longer pushes the rest
// of its line to the right rather than that of all lines.
const (
	widestName  = 34
	widestValue = 20
)

// WriteText writes the report for people: a line each, what to do below it,
// and the verdict at the end.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for rest := r.Findings; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Group == rest[0].Group {
			n++
		}
		writeGroup(&b, rest[:n])
		rest = rest[n:]
	}
	fmt.Fprintln(&b, r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeGroup(b *strings.Builder, group []Finding) {
	var names, values int
	for _, f := range group {
		names = max(names, column(f.Name, widestName))
		values = max(values, column(f.Value, widestValue))
	}
	fmt.Fprintln(b, group[0].Group)
	for _, f := range group {
		line := fmt.Sprintf("  %-7s  %-*s  %-*s  %s", marks[f.Status], names, f.Name, values, f.Value, f.Detail)
		fmt.Fprintln(b, strings.TrimRight(line, " "))
		if f.Fix != "" {
			fmt.Fprintf(b, "           -> %s\n", f.Fix)
		}
	}
	fmt.Fprintln(b)
}

// column is the width that s asks for in its column, 0 if it goes its own way.
func column(s string, widest int) int {
	if n := utf8.RuneCountInString(s); n <= widest {
		return n
	}
	return 0
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // nobody shows it in a web page as it is
	return enc.Encode(r)
}
