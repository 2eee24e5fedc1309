package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/drill"
)

// table is a file with every MUST, each met and shown, of which some lines are
// others.
func table(except map[int]string) string {
	var b strings.Builder
	for id := 1; id <= musts; id++ {
		rest, ok := except[id]
		if !ok {
			rest = "meaning = 'm'\nresult = 'yes'\nscripts = ['s']"
		}
		if rest != "-" {
			fmt.Fprintf(&b, "[[must]]\nid = [%d]\n%s\n", id, rest)
		}
	}
	return b.String()
}

func TestRequirements(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"all", table(nil), ""},
		{"one is missing", table(map[int]string{7: "-"}), "no MUST-7"},
		{"one twice", table(nil) + "[[must]]\nid = [3]\n", "MUST-3 is there twice"},
		{"one too many", table(nil) + "[[must]]\nid = [70]\n", "MUST-70"},
		{"nothing shows it", table(map[int]string{5: "meaning = 'm'\nresult = 'partly'"}), "MUST-5: partly, and nothing shows it"},
		{"nobody says why not", table(map[int]string{5: "meaning = 'm'\nresult = 'no'"}), "no note says why"},
		{"no such result", table(map[int]string{5: "meaning = 'm'\nresult = 'maybe'"}), `result "maybe"`},
		{"no meaning", table(map[int]string{5: "result = 'yes'"}), "a meaning"},
		{"no such key", table(nil) + "colour = 1\n", "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "musts.toml")
			if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := ReadRequirements(path)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q in it", err, c.want)
			}
		})
	}
}

func TestCheckShown(t *testing.T) {
	o := Tally(append(inAllModes("tapstack/good.pkt", drill.Pass, ""), result("tapstack/bad.pkt", "early", drill.Fail, "why")))
	of := func(r Requirement) []*Requirement { r.ID = []int{1}; return []*Requirement{&r} }
	checkLines(t, CheckShown(of(Requirement{Scripts: []string{"good"}, Tests: []string{"internal/conformance.TestCheckShown"}}), o, root))
	checkLines(t, CheckShown(of(Requirement{Scripts: []string{"bad"}}), o, root), "MUST-1: bad does not pass (early)")
	checkLines(t, CheckShown(of(Requirement{Scripts: []string{"none"}}), o, root), "there is no script none")
	checkLines(t, CheckShown(of(Requirement{Tests: []string{"internal/conformance.TestCheck", "TestCheckShown", "nowhere.TestX"}}), o, root),
		"there is no test", "there is no test", "there is no test")
}
