package conformance

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var (
	write  = flag.Bool("write", false, "write RESULTS.md")
	update = flag.Bool("update", false, "write expected.json too: what comes is what shall be expected")
)

const (
	root = "../../"
	data = root + "testdata/conformance/"
	own  = root + "testdata/drill"
)

// sharedDir is the folder of other people's suites: what the environment names,
// or beside the tree. It is "" where there is none.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, named := os.LookupEnv("CONFORMANCE")
	if !named {
		dir = root + "../shared/conformance"
	}
	if dir != "" && !filepath.IsAbs(dir) && named {
		dir = root + dir
	}
	info, err := os.Stat(dir)
	switch {
	case dir != "" && err == nil && info.IsDir():
		return dir
	case named && dir != "":
		t.Fatalf("CONFORMANCE names no folder: %v", err)
	}
	return ""
}

// TestConformance runs everything there is and demands what is expected, no
// worse and no better, and a reason for whatever does not pass.
func TestConformance(t *testing.T) {
	reasons, err := ReadReasons(data + "reasons.toml")
	if err != nil {
		t.Fatal(err)
	}
	suites, err := Suites(own, sharedDir(t))
	if err != nil {
		t.Fatal(err)
	}
	modes := Modes
	if raceEnabled {
		// Twenty times slower, and the modes differ in what is compared alone.
		modes = []string{"strict", "strict-end"}
	}
	var names []string
	var results []Result
	for i := range suites {
		names = append(names, suites[i].Name)
		for _, mode := range modes {
			some, err := suites[i].Run(context.Background(), mode, reasons.Settings)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, some...)
		}
	}
	got := Tally(results)
	expected, err := ReadOutcomes(data + "expected.json")
	if err != nil && !*update {
		t.Fatal(err)
	}
	if *update {
		if raceEnabled {
			t.Fatal("-update needs all modes: without the race detector")
		}
		for script := range expected {
			// What is not here is expected as before.
			if got[script] == nil && !slices.Contains(names, suiteOf(script)) {
				got[script] = expected[script]
			}
		}
		if err := got.WriteFile(data + "expected.json"); err != nil {
			t.Fatal(err)
		}
		expected = got
	}
	for _, line := range Compare(expected, got, names, modes) {
		t.Error(line)
	}
	for _, line := range reasons.Mismatches(results) {
		t.Error(line)
	}
	for _, suite := range expected.Suites() {
		if !slices.Contains(names, suite) {
			t.Logf("%s: not here; neither passed nor failed", suite)
		}
	}
}
