package top

import (
	"fmt"
	"strconv"
	"strings"
)

// human is a number in at most five characters, with the decimal prefixes that
// rates and sizes of networks have.
func human(v float64) string {
	const prefixes = "kMGTPE"
	if v < 999.5 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	for i := range prefixes {
		v /= 1000
		switch {
		case v < 9.95:
			return strconv.FormatFloat(v, 'f', 1, 64) + prefixes[i:i+1]
		case v < 999.5:
			return strconv.FormatFloat(v, 'f', 0, 64) + prefixes[i:i+1]
		}
	}
	return "many"
}

// count is a number with commas.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// fit makes text as wide as a column: what is too long loses its end.
func fit(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return cut(r, width)
	}
	return text + strings.Repeat(" ", width-len([]rune(text)))
}

func cut(r []rune, width int) string {
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "~"
}

// fitEnd is fit for an address: what is too long loses its beginning, as ports
// tell more.
func fitEnd(text string, width int) string {
	if r := []rune(text); len(r) > width && width > 0 {
		return "~" + string(r[len(r)-width+1:])
	}
	return fit(text, width)
}

// right is text at the right of a column.
func right(text string, width int) string {
	return strings.Repeat(" ", max(0, width-len([]rune(text)))) + fit(text, min(width, len([]rune(text))))
}

// cells are how many of width cells each part of size takes: what is not
// nothing takes one, what is not all leaves one.
func cells(width, size int, parts ...int) []int {
	out := make([]int, len(parts))
	if size <= 0 || width <= 0 {
		return out
	}
	left, sum := width, 0
	for _, p := range parts {
		sum += max(0, p)
	}
	if sum < size {
		left--
	}
	for i, p := range parts {
		if p <= 0 {
			continue
		}
		n := int(float64(width) * float64(p) / float64(max(size, sum)))
		out[i] = min(max(n, 1), max(left, 0))
		left -= out[i]
	}
	if sum >= size { // no free cell: rounding must not show one
		for i := len(out) - 1; i >= 0; i-- {
			if out[i] > 0 {
				out[i] += left
				break
			}
		}
	}
	return out
}

// The parts of a bar, told apart without colour too.
const (
	cellSent   = "#" // in the send buffer, sent and not acknowledged
	cellUnsent = "+" // in the send buffer, not sent yet
	cellQueued = "#" // in the receive buffer
	cellFree   = "."
)

// verdictShort is who holds a connection up in a word or two.
func verdictShort(verdict string) string {
	who, _, _ := strings.Cut(verdict, ":")
	return strings.TrimPrefix(who, "the ")
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

func trimRight(text string) string { return strings.TrimRight(text, " ") }
