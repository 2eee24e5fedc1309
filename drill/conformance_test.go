package drill_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/drill"
)

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
