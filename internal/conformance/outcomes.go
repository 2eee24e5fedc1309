package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"tapstack/drill"
)

// Outcomes are the modes in which a script does not pass, by script and
// outcome: {"freebsd/a.pkt": {"fail": ["strict"]}}. A script without any passes
// in every mode.
type Outcomes map[string]map[string][]string

// Tally makes Outcomes of results.
func Tally(results []Result) Outcomes {
	o := make(Outcomes)
	for _, r := range results {
		if o[r.Script] == nil {
			o[r.Script] = make(map[string][]string)
		}
		if r.Outcome != drill.Pass {
			o[r.Script][r.Outcome.String()] = append(o[r.Script][r.Outcome.String()], r.Mode)
		}
	}
	return o
}

// In is the outcome of a script in a mode.
func (o Outcomes) In(script, mode string) string {
	for outcome, modes := range o[script] {
		if slices.Contains(modes, mode) {
			return outcome
		}
	}
	return drill.Pass.String()
}

// Scripts are the scripts of a suite in order, of all for "".
func (o Outcomes) Scripts(suite string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if suite == "" || suiteOf(name) == suite {
			names = append(names, name)
		}
	}
	return names
}

// Suites are the names of the suites, ours first.
func (o Outcomes) Suites() []string {
	names := make(map[string]bool)
	for script := range o {
		names[suiteOf(script)] = true
	}
	delete(names, Own)
	return append([]string{Own}, slices.Sorted(maps.Keys(names))...)
}

// ReadOutcomes reads what WriteFile wrote.
func ReadOutcomes(path string) (Outcomes, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var o Outcomes
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// WriteFile writes the outcomes, each script on a line of its own.
func (o Outcomes) WriteFile(path string) error {
	out := []byte("{")
	for i, script := range o.Scripts("") {
		if i > 0 {
			out = append(out, ',')
		}
		b, err := json.Marshal(o[script])
		if err != nil {
			return err
		}
		out = fmt.Appendf(out, "\n%q: %s", script, b)
	}
	return os.WriteFile(path, append(out, "\n}\n"...), 0o644)
}

// Compare lists what has changed in the scripts of some suites, for better or
// for worse: a line for each script and mode that ended otherwise than
// expected, and for each script that came or went.
func Compare(expected, got Outcomes, suites []string, modes []string) (changes []string) {
	for _, suite := range suites {
		for _, script := range got.Scripts(suite) {
			if expected[script] == nil {
				changes = append(changes, script+": nothing is expected of it; is it new?")
				continue
			}
			for _, mode := range modes {
				if want, is := expected.In(script, mode), got.In(script, mode); want != is {
					changes = append(changes, fmt.Sprintf("%s (%s): %s, and %s was expected", script, mode, is, want))
				}
			}
		}
		for _, script := range expected.Scripts(suite) {
			if got[script] == nil {
				changes = append(changes, script+": expected, and not there")
			}
		}
	}
	return changes
}
