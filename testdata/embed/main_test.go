// The test of embedding: a module that is not tapstack's imports it, builds,
// and runs without any privilege.
package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestEmbedding(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines >= 30 {
		t.Errorf("%d lines: the README promises fewer than 30", lines)
	}
	program := filepath.Join(t.TempDir(), "embedded")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	got, err := exec.CommandContext(t.Context(), program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, source) {
		t.Errorf("it printed:\n%s\nwant its source", got)
	}
}
