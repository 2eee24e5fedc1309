package drill

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapstack/drill/script"
)

// Outcome is what became of a script.
type Outcome uint8

// The outcomes.
const (
	Pass        Outcome = iota // everything was as written
	Fail                       // something was not, or the script is wrong
	Unsupported                // the script asks for something that there is not
)

// String is "pass", "fail" or "unsupported".
func (o Outcome) String() string {
	return [...]string{"pass", "fail", "unsupported"}[min(o, Unsupported)]
}

// Result is the outcome of one script.
type Result struct {
	Path    string
	Outcome Outcome
	Line    int    // of the event that failed, from 1; 0 where there is none
	Column  int    // in bytes, from 1; 0 where there is none
	Reason  string // in one line; of Unsupported the feature's name

	// Want and Got are what was expected and what came, in the language of
	// scripts, where the two can be put side by side.
	Want, Got string
	// Excerpt is, for what is no script, the line that is wrong and a caret
	// under the place.
	Excerpt string

	// Diffs are the fields in which they differ, "ack 1, want 2".
	Diffs []string

	Output  string        // what the script printed
	Virtual time.Duration // how long it took, on its own clock
	Wall    time.Duration // and on ours

	interrupted bool // it was not the script that ended it: no outcome
}

// String is the result as a report has it: a line, and for a failure below it
// what was expected and what came.
func (r *Result) String() string {
	var b strings.Builder
	where := r.Path
	if r.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", r.Path, r.Line, r.Column)
	}
	fmt.Fprintf(&b, "%s: %s", where, r.Outcome)
	if r.Reason != "" {
		fmt.Fprintf(&b, ": %s", r.Reason)
	}
	if r.Excerpt != "" {
		fmt.Fprintf(&b, "\n%s", r.Excerpt)
	}
	if r.Want != "" {
		fmt.Fprintf(&b, "\n    want  %s", r.Want)
	}
	if r.Got != "" {
		fmt.Fprintf(&b, "\n    got   %s", r.Got)
	}
	if m := marks(r.Want, r.Got, r.stampsCount()); m != "" && isPacket(r.Want) && isPacket(r.Got) {
		fmt.Fprintf(&b, "\n          %s", m)
	}
	return b.String()
}

// isPacket reports whether a text is a packet with its time.
func isPacket(s string) bool {
	_, after, _ := strings.Cut(s, " ")
	return strings.HasPrefix(after, "> ") || strings.HasPrefix(after, "< ")
}

// stampsCount reports whether it was a timestamp that differed.
func (r *Result) stampsCount() bool {
	return slices.ContainsFunc(r.Diffs, func(d string) bool { return strings.HasPrefix(d, "option TS") })
}

// marks is a line of carets to stand below got, under the words in which it is
// not what was wanted. The windows that packets have and expectations leave out
// are passed over, and so are times that differ by little and, unless they
// count, the numbers of timestamps.
func marks(want, got string, stamps bool) string {
	left := strings.Fields(want)
	open := !slices.Contains(left, "win")
	var b strings.Builder
	first, skip, last := true, 0, ""
	for at := 0; at < len(got); {
		for at < len(got) && got[at] == ' ' {
			at++
		}
		end := at
		for end < len(got) && got[end] != ' ' {
			end++
		}
		word := got[at:end]
		switch {
		case open && word == "win":
			skip = 1
		case skip > 0:
			skip--
		case len(left) == 0:
			return b.String()
		default:
			same := word == left[0] || first && near(left[0], word)
			if !same && !stamps && (last == "val" || last == "ecr") {
				same = afterNumber(word) == afterNumber(left[0])
			}
			if !same {
				fmt.Fprintf(&b, "%*s%s", at-b.Len(), "", strings.Repeat("^", len(word)))
			}
			left, first = left[1:], false
		}
		last = word
		at = end
	}
	return b.String()
}

// afterNumber is what stands after the number that a word begins with.
func afterNumber(word string) string { return strings.TrimLeft(word, "0123456789") }

// near reports whether two times, or ranges of them, are within what the
// shortest tolerance allows.
func near(want, got string) bool {
	want, _, _ = strings.Cut(want, "~")
	a, err1 := strconv.ParseFloat(want, 64)
	b, err2 := strconv.ParseFloat(got, 64)
	return err1 == nil && err2 == nil && math.Abs(a-b) <= defaultTolerance.Seconds()
}

// stop is how the interpreter leaves a script early: as a panic that Run
// recovers.
type stop struct {
	pos       script.Pos
	outcome   Outcome
	reason    string
	want, got string
	diffs     []string

	interrupted bool
}

// fail ends the script: it is not as written.
func fail(pos script.Pos, format string, args ...any) {
	panic(&stop{pos: pos, outcome: Fail, reason: fmt.Sprintf(format, args...)})
}

// unsupported ends the script: there is no such feature.
func unsupported(pos script.Pos, format string, args ...any) {
	panic(&stop{pos: pos, outcome: Unsupported, reason: fmt.Sprintf(format, args...)})
}
