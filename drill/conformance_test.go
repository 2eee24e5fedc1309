package drill_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapstack/drill"
)

// TestConformance runs every script below the directory that the environment
// names, by the profile of its folder, and tells how many pass.
func TestConformance(t *testing.T) {
	dir := os.Getenv("CONFORMANCE")
	if dir == "" {
		t.Skip("CONFORMANCE names no directory with other people's scripts")
	}
	mode, err := drill.ParseMode(os.Getenv("DRILL_MODE"))
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]*[3]int)
	reasons := make(map[string][]string)
	for _, path := range conformance(t) {
		cfg := profileOf(path)
		cfg.Mode = mode
		res := drill.RunFile(path, cfg)
		folder := strings.TrimPrefix(filepath.Dir(path), dir+"/")
		if counts[folder] == nil {
			counts[folder] = new([3]int)
		}
		counts[folder][res.Outcome]++
		if res.Outcome != drill.Pass {
			key := fmt.Sprint(res.Outcome, ": ", res.Reason)
			reasons[key] = append(reasons[key], strings.TrimPrefix(res.String(), dir+"/"))
		}
	}
	var total [3]int
	for _, f := range sorted(counts) {
		t.Logf("%-60s %v", f, *counts[f])
		for i, n := range counts[f] {
			total[i] += n
		}
	}
	for _, k := range sorted(reasons) {
		t.Logf("%d x %s\n   %s", len(reasons[k]), k, strings.Join(reasons[k], "\n   "))
	}
	t.Logf("pass %d, fail %d, unsupported %d", total[0], total[1], total[2])
}

// conformance lists the scripts below the directory that the environment names.
func conformance(t *testing.T) (files []string) {
	t.Helper()
	dir := os.Getenv("CONFORMANCE")
	if dir == "" {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".pkt" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in", dir, err)
	}
	return files
}

// profileOf is how the scripts of a folder are run.
func profileOf(path string) *drill.Config {
	cfg := &drill.Config{}
	if strings.Contains(path, "freebsd") {
		cfg.Profile = drill.FreeBSD
	}
	return cfg
}

func sorted[V any](m map[string]V) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	slices.SortFunc(ks, cmp.Compare[string])
	return ks
}
