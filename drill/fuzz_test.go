package drill_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapstack/drill"
)

// FuzzRun demands that whatever parses ends, in good time and without a panic.
func FuzzRun(f *testing.F) {
	files, err := filepath.Glob(ownScripts + "/*.pkt")
	if err != nil || len(files) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		begun := time.Now()
		drill.RunText("fuzz", src, &drill.Config{Steps: 2_000, WallLimit: 2 * time.Second})
		if d := time.Since(begun); d > hung {
			t.Errorf("took %v", d)
		}
	})
}
