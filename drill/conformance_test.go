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
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".pkt" {
			return err
		}
		cfg := &drill.Config{Mode: mode}
		if strings.Contains(path, "freebsd") {
			cfg.Profile = drill.FreeBSD
		}
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
		return nil
	})
	if err != nil {
		t.Fatal(err)
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

func sorted[V any](m map[string]V) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	slices.SortFunc(ks, cmp.Compare[string])
	return ks
}
