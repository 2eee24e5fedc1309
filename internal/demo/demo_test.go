package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tapstack/internal/netns/netnstest"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m, goleak.IgnoreCurrent())) }

// few is what the long parts move in a test.
const few = 16 << 20

func TestPipe(t *testing.T) {
	var out bytes.Buffer
	report, err := Run(t.Context(), Config{Device: "pipe", Bytes: few, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK || report.Kernel || report.Device != "pipe" {
		t.Errorf("%+v\n%s", report, &out)
	}
	if !strings.Contains(out.String(), "the kernel took no part") {
		t.Errorf("the verdict does not say who took part:\n%s", &out)
	}
}

// TestNoTAP: without a device the story says why and goes on over a pipe,
// unless a TAP was asked for.
func TestNoTAP(t *testing.T) {
	why := errors.New("no room in the inn")
	var out bytes.Buffer
	report, err := Run(t.Context(), Config{Bytes: few, Out: &out, NoTAP: why})
	if err != nil {
		t.Fatal(err)
	}
	if report.Device != "pipe" || report.Note != why.Error() || !strings.Contains(out.String(), why.Error()) {
		t.Errorf("%+v\n%s", report, &out)
	}
	if _, err := Run(t.Context(), Config{Device: "tap", Bytes: few, NoTAP: why}); !errors.Is(err, why) {
		t.Errorf("--device tap: %v", err)
	}
}

// TestTAP runs the program itself, which makes its own namespace.
func TestTAP(t *testing.T) {
	netnstest.Need(t)
	bin := filepath.Join(t.TempDir(), "tapstack")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "tapstack/cmd/tapstack").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin, "demo", "--json", "--bytes", "16777216")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &stderr)
	}
	var report Report
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := dec.Decode(&report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if dec.More() {
		t.Error("there is something behind the JSON")
	}
	if report.Device != "tap" || !report.Kernel || !report.OK || len(report.Checks) < 30 {
		t.Errorf("%s", out)
	}
}
