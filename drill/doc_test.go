package drill_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tapstack/drill"
	"tapstack/drill/script"
)

// blocks are the indented parts of a package's document, without those that
// draw something.
func blocks(t *testing.T, file string) (out []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(src) + "\n//\n") {
		text, ok := strings.CutPrefix(line, "//\t")
		switch {
		case ok:
			b.WriteString(text)
		case b.Len() > 0 && strings.TrimSpace(line) != "//":
			if !strings.Contains(b.String(), "-->") && !strings.Contains(b.String(), "-> ") {
				out = append(out, b.String())
			}
			b.Reset()
		default:
			if b.Len() > 0 {
				b.WriteString("\n")
			}
		}
	}
	return out
}

// TestDocument runs what the package document shows: the script as it is, the
// calls on a connection with data in both buffers.
func TestDocument(t *testing.T) {
	found := blocks(t, "doc.go")
	if len(found) != 2 {
		t.Fatalf("%d blocks: %q; want a script and some calls", len(found), found)
	}
	if res := drill.RunText("doc.pkt", found[0], nil); res.Outcome != drill.Pass {
		t.Error(res)
	}
	// The blocking call of the document is at 0.1 s, the data comes at 0.3.
	calls := strings.SplitAfterN(found[1], "\n", 2)
	src := passive + calls[0] + `
+0   setsockopt(4, SOL_TCP, TCP_INQ, [1], 4) = 0
+0.2 < P. 1:2001(2000) ack 1 win 65535
+0   > . 1:1(0) ack 2001
+0   write(4, ..., 2000) = 2000
` + calls[1]
	if res := drill.RunText("calls.pkt", src, nil); res.Outcome != drill.Pass {
		t.Error(res, "\n"+src)
	}
}

var (
	begins = regexp.MustCompile(`^([<>]|[a-z_0-9]+\()`)
	moment = regexp.MustCompile(`^(\S+)   `)
)

// TestSyntaxDocument parses what the document of package script shows.
func TestSyntaxDocument(t *testing.T) {
	const least = 10
	found := blocks(t, "script/doc.go")
	if len(found) < least {
		t.Fatalf("only %d blocks", len(found))
	}
	for _, b := range found {
		var src strings.Builder
		for line := range strings.Lines(b) {
			switch {
			case strings.TrimSpace(line) == "":
			case strings.Contains(b, "since the beginning, in seconds"): // times, each with what it means
				line = moment.FindString(line) + "close(3) = 0\n"
			case begins.MatchString(line):
				line = "+0 " + line
			}
			src.WriteString(line)
		}
		if _, err := script.Parse("doc", src.String(), nil); err != nil {
			t.Errorf("%v\n%s", err, &src)
		}
	}
}
