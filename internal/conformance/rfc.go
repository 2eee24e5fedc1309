package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"tapstack/drill"
)

// How far a requirement is met.
const (
	Met    = "yes"
	Partly = "partly"
	NotMet = "no"
	NoCase = "not applicable"
)

// Requirement is one of RFC 9293's, with what shows whether it is met.
type Requirement struct {
	ID      []int    // the numbers of its MUSTs
	Meaning string   // in a few words
	Result  string   // Met, Partly, NotMet or NoCase
	Scripts []string // of testdata/drill, without ".pkt"
	Tests   []string // of Go, as package.TestName
	Note    string   // what is missing, or how it is to be seen
}

// musts is the number of requirements in RFC 9293 that are called MUST.
const musts = 69

// ReadRequirements reads and checks a table of requirements: each MUST once,
// and what shows it.
func ReadRequirements(file string) ([]*Requirement, error) {
	var t struct {
		Must []*Requirement `toml:"must"`
	}
	meta, err := toml.DecodeFile(file, &t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		return nil, fmt.Errorf("%s: unknown key %s", file, keys[0])
	}
	seen := make(map[int]bool)
	for _, r := range t.Must {
		for _, id := range r.ID {
			if seen[id] || id < 1 || id > musts {
				return nil, fmt.Errorf("%s: MUST-%d is there twice, or not in the RFC", file, id)
			}
			seen[id] = true
		}
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, r.Name(), err)
		}
	}
	for id := 1; id <= musts; id++ {
		if !seen[id] {
			return nil, fmt.Errorf("%s: no MUST-%d", file, id)
		}
	}
	return t.Must, nil
}

func (r *Requirement) check() error {
	shown := len(r.Scripts)+len(r.Tests) > 0
	switch {
	case r.Meaning == "" || len(r.ID) == 0:
		return fmt.Errorf("an ID and a meaning are needed")
	case !slices.Contains([]string{Met, Partly, NotMet, NoCase}, r.Result):
		return fmt.Errorf("result %q", r.Result)
	case (r.Result == Met || r.Result == Partly) && !shown:
		return fmt.Errorf("%s, and nothing shows it", r.Result)
	case r.Result != Met && r.Note == "":
		return fmt.Errorf("%s, and no note says why", r.Result)
	}
	return nil
}

// Name is "MUST-2, 3".
func (r *Requirement) Name() string {
	return "MUST-" + strings.Trim(strings.ReplaceAll(fmt.Sprint(r.ID), " ", ", "), "[]")
}

// CheckShown lists what requirements name and is not there, or does not pass:
// scripts of ours, by their outcomes, and Go tests, which are looked for in the
// package's folder below root.
func CheckShown(rs []*Requirement, o Outcomes, root string) (wrong []string) {
	for _, r := range rs {
		for _, s := range r.Scripts {
			script := Own + "/" + s + ".pkt"
			if o[script] == nil {
				wrong = append(wrong, fmt.Sprintf("%s: there is no script %s", r.Name(), s))
			}
			for _, mode := range Modes {
				if o.In(script, mode) != drill.Pass.String() {
					wrong = append(wrong, fmt.Sprintf("%s: %s does not pass (%s)", r.Name(), s, mode))
				}
			}
		}
		for _, test := range r.Tests {
			if !hasTest(root, test) {
				wrong = append(wrong, fmt.Sprintf("%s: there is no test %s", r.Name(), test))
			}
		}
	}
	return wrong
}

// hasTest looks for "func TestName(" in the test files of "folder.TestName".
func hasTest(root, test string) bool {
	i := strings.LastIndexByte(test, '.')
	if i < 0 {
		return false
	}
	files, _ := filepath.Glob(filepath.Join(root, test[:i], "*_test.go"))
	want := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(test[i+1:]) + `\(`)
	return slices.ContainsFunc(files, func(f string) bool {
		src, err := os.ReadFile(f)
		return err == nil && want.Match(src)
	})
}
