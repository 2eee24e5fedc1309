package script_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tapstack/drill/script"
)

// Every beginning of every script parses or has a located error.
func TestTruncated(t *testing.T) {
	for file, src := range ownScripts(t) {
		for n := range len(src) {
			_, err := script.Parse(file, src[:n], nil)
			var e *script.Error
			if err != nil && (!errors.As(err, &e) || e.Line < 1 || e.Col < 1) {
				t.Fatalf("%s, first %d bytes: %v", file, n, err)
			}
		}
	}
}

// Texts that are large, or would make a careless parser run away, grow by one
// factor and may take little more than that factor of time.
var large = []struct {
	name string
	make func(n int) string
	err  string // part of the error, "" for none
}{
	{"events", func(n int) string { return strings.Repeat("+0 < . 1:1001(1000) ack 1 win 257 <nop,nop>\n", n) }, ""},
	{"calls", func(n int) string { return strings.Repeat("+0 write(4, ..., 1000) = 1000\n", n) }, ""},
	{"macros", func(n int) string { return "#define A 1\n" + strings.Repeat("+0 close(A) = A\n", n) }, ""},
	{"directives", func(n int) string { return strings.Repeat("#ifdef A\n#else\n#endif\n", n) }, ""},
	{"skipped", func(n int) string { return "#ifdef A\n" + strings.Repeat("#ifdef B\n", n) }, "no #endif"},
	{"conditions", func(n int) string { return strings.Repeat("#ifndef A\n", n) }, "no #endif"},
	{"comments", func(n int) string { return strings.Repeat("/* /* */", n) + "*/" }, "comments do not nest"},
	{"open comment", func(n int) string { return strings.Repeat("/* ", n) }, "this comment does not end"},
	{"quotes", func(n int) string { return "0 f(" + strings.Repeat(`"`, 2*n+1) }, "expected"},
	{"one line", func(n int) string { return strings.Repeat("+0 close(3) = 0 ", n) }, ""},
	{"blanks", func(n int) string { return "+0 close" + strings.Repeat(" ", 10*n) + "(3) = 0" }, ""},
	{"arguments", func(n int) string { return "0 f(" + strings.Repeat("1,", n) + "1) = 0" }, ""},
	{"digits", func(n int) string { return "0 f(" + strings.Repeat("1", n) + ") = 0" }, "64 bits"},
	{"fraction", func(n int) string { return "0." + strings.Repeat("0", n) + "1 close(3) = 0" }, "nanosecond"},
	{"note", func(n int) string { return "0 f() = 0 (" + strings.Repeat("(", n) }, "note"},
	{"lists", func(n int) string { return "0 f(" + strings.Repeat("[", n) }, "nested deeper than 100"},
	{"structs", func(n int) string { return "0 f(" + strings.Repeat("{a=", n) }, "nested deeper than 100"},
	{"parentheses", func(n int) string { return "0 %{ assert " + strings.Repeat("(", n) }, "nested deeper than 100"},
	{"minus", func(n int) string { return "0 f(" + strings.Repeat("-", n) + "1) = 0" }, "nested deeper than 100"},
	{"not", func(n int) string { return "0 %{ assert " + strings.Repeat("not ", n) }, "nested deeper than 100"},
	{"selects", func(n int) string { return "0 %{ assert a" + strings.Repeat(".a", n) }, "nested deeper than 100"},
	{"applications", func(n int) string { return "0 f(" + strings.Repeat("f(", n) }, "nested deeper than 100"},
	{"loops", func(n int) string { return strings.Repeat("for N in 1..2 {\n", n) }, "nested deeper than 100"},
	{"headers", func(n int) string { return "0 < " + strings.Repeat("gre: ", n) + ". 1:1(0)" }, "nested deeper than 100"},
	{"sum", func(n int) string { return "0 f(1" + strings.Repeat("+1", n) + ") = 0" }, "more than 1000 operators"},
	{"chain", func(n int) string { return "0 %{ assert 1" + strings.Repeat("<1", n) + "}%" }, "more than 1000 operators"},
	{"and", func(n int) string { return "0 %{ assert 1" + strings.Repeat(" and 1", n) + "}%" }, "more than 1000 operators"},
	{"statements", func(n int) string { return "0 %{ " + strings.Repeat("assert 1\n", n) + "}%" }, ""},
	{"ip items", func(n int) string { return "0 < (" + strings.Repeat("df ", n) + ") . 1:1(0)" }, ""},
	{"mpls", func(n int) string { return "0 < mpls " + strings.Repeat("(label 1, tc 1, ttl 1)", n) + ": . 1:1(0)" }, ""},
}

func TestLarge(t *testing.T) {
	const small, factor = 64 << 10, 16 // bytes
	for _, l := range large {
		t.Run(l.name, func(t *testing.T) {
			n := small / (len(l.make(2)) - len(l.make(1)))
			// Quadratic time would be a factor of 256. The constant is for what
			// is too short to be measured and for a collection of garbage, and
			// several attempts for a machine that has something else to do.
			const attempts = 5
			var base, long time.Duration
			for range attempts {
				base = timeParse(t, l.make(n), l.err)
				long = timeParse(t, l.make(n*factor), l.err)
				if long <= 4*factor*base+time.Second {
					return
				}
			}
			t.Errorf("%d times the script takes %v instead of %v", factor, long, base)
		})
	}
}

func timeParse(t *testing.T, src, want string) time.Duration {
	t.Helper()
	start := time.Now()
	_, err := script.Parse("x", src, nil)
	took := time.Since(start)
	switch {
	case want == "" && err != nil:
		t.Fatal(detail(err))
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Fatalf("error %v, want one with %q", err, want)
	}
	return took
}

func TestAMillionEvents(t *testing.T) {
	n := 1_000_000
	if raceEnabled { // ten times slower
		n /= 10
	}
	s, err := script.Parse("x", strings.Repeat("+0 > . 1:1(0) ack 1\n", n), nil)
	if err != nil {
		t.Fatal(detail(err))
	}
	if len(s.Events) != n || int(s.Events[n-1].Line) != n {
		t.Errorf("%d events, the last in line %d", len(s.Events), s.Events[n-1].Line)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := script.Parse("x", strings.Repeat("\n", script.MaxSize+1), nil)
	if err == nil || !strings.Contains(err.Error(), "script larger than") {
		t.Error(err)
	}
}

// Macros of macros double with each line; what they write is bounded.
func TestMacrosThatGrow(t *testing.T) {
	for _, last := range []string{"1", ""} {
		var b strings.Builder
		fmt.Fprintf(&b, "#define A0 %s\n", last)
		for i := range 60 {
			fmt.Fprintf(&b, "#define A%d A%d A%d\n", i+1, i, i)
		}
		b.WriteString("0 f(A60) = 0\n")
		_, err := script.Parse("x", b.String(), nil)
		if err == nil || !strings.Contains(err.Error(), "62:5: macro A60 grows too large") {
			t.Errorf("ending in %q: %v", last, err)
		}
	}
}

// A macro does not expand in itself.
func TestMacrosInACircle(t *testing.T) {
	s, err := script.Parse("x", "#define A B\n#define B A\n#define C C(C)\n0 f(A, B, C) = 0", nil)
	if err != nil {
		t.Fatal(detail(err))
	}
	if got, want := script.Format(s.Events[0]), "0 f(A, B, C(C)) = 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
