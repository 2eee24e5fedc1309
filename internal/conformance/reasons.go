package conformance

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"tapstack/drill"
)

// The groups of reasons why a script does not pass.
const (
	Lacks       = "netstack lacks"
	ByDesign    = "differs by design"
	Unsupported = "unsupported"
	OursToFix   = "ours to fix"
)

// Groups are all groups, in the order of the results.
var Groups = []string{Lacks, ByDesign, Unsupported, OursToFix}

// Reasons are what was found out about scripts that do not pass, and what
// some of them need to be run at all.
type Reasons struct {
	Settings []Setting `toml:"setting"`
	Reasons  []*Reason `toml:"reason"`
}

// Setting is what a script needs to be in force that it does not say itself.
type Setting struct {
	Scripts []string // patterns, as path.Match has them
	Sysctls []string // NAME=VALUE
	Why     string
}

// Reason is why some scripts do not pass.
type Reason struct {
	Title   string
	Group   string
	Scripts []string // patterns, as path.Match has them
	Modes   []string // in which; all if empty
	Match   string   // an expression that the results' reasons match
	Why     string
	Source  string // where it is to be seen: a function, an RFC's section

	match *regexp.Regexp
}

// ReadReasons reads and checks a file of reasons.
func ReadReasons(file string) (*Reasons, error) {
	var rs Reasons
	meta, err := toml.DecodeFile(file, &rs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		return nil, fmt.Errorf("%s: unknown key %s", file, keys[0])
	}
	for _, r := range rs.Reasons {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", file, r.Title, err)
		}
	}
	return &rs, nil
}

func (r *Reason) check() (err error) {
	if !slices.Contains(Groups, r.Group) {
		return fmt.Errorf("group %q: want one of %q", r.Group, Groups)
	}
	if r.Title == "" || r.Why == "" || r.Source == "" || r.Match == "" || len(r.Scripts) == 0 {
		return fmt.Errorf("title, scripts, match, why and source are needed")
	}
	if len(r.Modes) == 0 {
		r.Modes = Modes
	}
	for _, m := range r.Modes {
		if !slices.Contains(Modes, m) {
			return fmt.Errorf("mode %q: want one of %q", m, Modes)
		}
	}
	for _, p := range r.Scripts {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	r.match, err = regexp.Compile("^(?:" + r.Match + ")$")
	return err
}

// covers reports whether one of the patterns is of a script.
func covers(patterns []string, script string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, script)
		return ok
	})
}

func settingsOf(settings []Setting, script string) (sysctls []string) {
	for _, s := range settings {
		if covers(s.Scripts, script) {
			sysctls = append(sysctls, s.Sysctls...)
		}
	}
	return sysctls
}

// Of is the reason for a script in a mode, or nil: then nobody has looked into
// it, and it is ours to fix.
func (rs *Reasons) Of(script, mode string) *Reason {
	for _, r := range rs.Reasons {
		if slices.Contains(r.Modes, mode) && covers(r.Scripts, script) {
			return r
		}
	}
	return nil
}

// Unexplained lists what is wrong with the reasons for outcomes of some
// suites: a script that does not pass and has no reason, or one that is ours to
// fix; and a reason of which a script, or all, pass.
func (rs *Reasons) Unexplained(o Outcomes, suites []string) (wrong []string) {
	for _, suite := range suites {
		for _, script := range o.Scripts(suite) {
			for _, mode := range Modes {
				r, outcome := rs.Of(script, mode), o.In(script, mode)
				pass := outcome == drill.Pass.String()
				switch {
				case r == nil && !pass:
					wrong = append(wrong, fmt.Sprintf("%s (%s): %s, and no reason is known: ours to fix", script, mode, outcome))
				case r == nil:
				case pass:
					wrong = append(wrong, fmt.Sprintf("%s (%s): passes, though %q", script, mode, r.Title))
				case r.Group == OursToFix:
					wrong = append(wrong, fmt.Sprintf("%s (%s): ours to fix: %s", script, mode, r.Title))
				case (r.Group == Unsupported) != (outcome == drill.Unsupported.String()):
					wrong = append(wrong, fmt.Sprintf("%s (%s): %s, and the reason is in the group %q", script, mode, outcome, r.Group))
				}
			}
		}
	}
	for _, r := range rs.Reasons {
		for _, p := range r.Scripts {
			if slices.Contains(suites, suiteOf(p)) && !slices.ContainsFunc(o.Scripts(""), func(s string) bool { return covers([]string{p}, s) }) {
				wrong = append(wrong, fmt.Sprintf("%q: there is no script %s", r.Title, p))
			}
		}
	}
	return wrong
}

// Mismatches lists results that have a reason and failed in another way than
// it says.
func (rs *Reasons) Mismatches(results []Result) (wrong []string) {
	for _, res := range results {
		r := rs.Of(res.Script, res.Mode)
		if r != nil && res.Outcome != drill.Pass && !r.match.MatchString(res.Reason) {
			wrong = append(wrong, fmt.Sprintf("%s:%d (%s): %s\n\t- %s\n\t+ %s\n\tis not %q", res.Script, res.Line, res.Mode, strings.TrimSpace(res.Reason), res.Want, res.Got, r.Title))
		}
	}
	return wrong
}
