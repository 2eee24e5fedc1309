package drill

import (
	"fmt"
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
	Line    int    // of the event that failed; 0 where there is none
	Reason  string // in one line; of Unsupported the feature's name

	// Want and Got are what was expected and what came, in the language of
	// scripts, where the two can be put side by side.
	Want, Got string
	// Diffs are the fields in which they differ, "ack 1, want 2".
	Diffs []string

	Output  string        // what the script printed
	Virtual time.Duration // how long it took, on its own clock
	Wall    time.Duration // and on ours
}

// String is the result as a report has it: a line, and for a failure below it
// what was expected and what came.
func (r *Result) String() string {
	var b strings.Builder
	where := r.Path
	if r.Line > 0 {
		where = fmt.Sprintf("%s:%d", r.Path, r.Line)
	}
	fmt.Fprintf(&b, "%s: %s", where, r.Outcome)
	if r.Reason != "" {
		fmt.Fprintf(&b, ": %s", r.Reason)
	}
	if r.Want != "" {
		fmt.Fprintf(&b, "\n    - %s", r.Want)
	}
	if r.Got != "" {
		fmt.Fprintf(&b, "\n    + %s", r.Got)
	}
	return b.String()
}

// stop is how the interpreter leaves a script early: as a panic that Run
// recovers.
type stop struct {
	pos       script.Pos
	outcome   Outcome
	reason    string
	want, got string
	diffs     []string
}

// fail ends the script: it is not as written.
func fail(pos script.Pos, format string, args ...any) {
	panic(&stop{pos: pos, outcome: Fail, reason: fmt.Sprintf(format, args...)})
}

// unsupported ends the script: there is no such feature.
func unsupported(pos script.Pos, format string, args ...any) {
	panic(&stop{pos: pos, outcome: Unsupported, reason: fmt.Sprintf(format, args...)})
}
