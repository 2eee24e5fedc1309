// Package conformance scores the stack by packet scripts: our own, and suites
// of other people's, which are data that is run and never part of the tree.
//
//	scripts -> Run (every mode) -> Outcomes -> Compare  with expected.json
//	                                  |
//	                                  +-----> Explain   by reasons.toml
//	                                  +-----> Write     RESULTS.md, with rfc9293.toml
//
// It is a judge, so every change counts: a script that fails and is not
// expected to, one that passes and is not expected to, a failure that nobody
// looked into, an explanation of something that does not fail. The files are in
// testdata/conformance. "make conformance" writes RESULTS.md and, with
// UPDATE=1, expected.json; the tests of this package compare, and need no other
// people's scripts for what they know about ours.
//
// Nothing here is for concurrent use, or outlives a call.
package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapstack/drill"
)

// Own is the name of the suite of our own scripts.
const Own = "tapstack"

// Modes are how every script is run, by name: strict, and each liberty apart.
var Modes = []string{"strict", "psh", "optorder", "extra-ack", "early", "strict-end"}

// Suite is a folder of scripts that were written for one system.
type Suite struct {
	Name    string
	Dir     string
	Profile drill.Profile
}

// profiles are the systems that other people's suites were written for.
var profiles = map[string]drill.Profile{"freebsd": drill.FreeBSD, "shivansh": drill.FreeBSD, "gvisor": drill.Linux}

// Suites are our own scripts, in own, and one suite for each folder in shared,
// which is not there if it is empty.
func Suites(own, shared string) ([]Suite, error) {
	all := []Suite{{Name: Own, Dir: own}}
	if shared == "" {
		return all, nil
	}
	entries, err := os.ReadDir(shared)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		p, ok := profiles[e.Name()]
		if !ok {
			return nil, fmt.Errorf("%s: nobody has said which system these scripts were written for", filepath.Join(shared, e.Name()))
		}
		all = append(all, Suite{Name: e.Name(), Dir: filepath.Join(shared, e.Name()), Profile: p})
	}
	return all, nil
}

// Result is what became of one script in one mode.
type Result struct {
	Script string // the suite's name and the path below it, with slashes
	Mode   string
	*drill.Result
}

// wallLimit is for a script that does not end, and far beyond what any takes:
// no result may depend on what else the machine has to do.
const wallLimit = time.Minute

// Run runs a suite in one mode. Settings are those of the scripts that need
// some.
func (s *Suite) Run(ctx context.Context, mode string, settings []Setting) ([]Result, error) {
	m, err := drill.ParseMode(mode)
	if err != nil {
		return nil, err
	}
	batches := make(map[string][]string) // by settings
	err = filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".pkt" {
			key := strings.Join(settingsOf(settings, s.script(path)), "\n")
			batches[key] = append(batches[key], path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []Result
	for key, paths := range batches {
		ds := &drill.Suite{Config: drill.Config{Mode: m, Profile: s.Profile, WallLimit: wallLimit}, Paths: paths}
		if key != "" {
			ds.Config.Sysctls = strings.Split(key, "\n")
		}
		report, err := ds.Run(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range report.Results {
			all = append(all, Result{Script: s.script(r.Path), Mode: mode, Result: r})
		}
	}
	slices.SortFunc(all, func(a, b Result) int { return strings.Compare(a.Script, b.Script) })
	return all, nil
}

// script is a path as results and reasons have it.
func (s *Suite) script(path string) string {
	rel, err := filepath.Rel(s.Dir, path)
	if err != nil {
		rel = path
	}
	return s.Name + "/" + filepath.ToSlash(rel)
}

// suiteOf is the suite of a script.
func suiteOf(script string) string {
	name, _, _ := strings.Cut(script, "/")
	return name
}
