package life

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const unitFile = "../../../testdata/tapstack.service"

// unit reads the example unit, with this test's program for the daemon's: verify
// wants one that is there.
func unit(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "/usr/local/bin/tapstack", self)
	if text == string(b) {
		t.Fatal("the unit does not start the program")
	}
	return text
}

// analyze runs systemd-analyze, which needs no systemd running.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatal("TAPSTACK_REQUIRE_TOOLS=1, but systemd-analyze is not installed (package systemd)")
		}
		t.Skip("systemd-analyze is not installed (package systemd)")
	}
	path := t.TempDir() + "/tapstack.service"
	if err := os.WriteFile(path, []byte(unit(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", append(args, path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestUnitIsValid(t *testing.T) {
	if out := analyze(t, "verify"); strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
}

// 2.2 of 10, and most of that is a network that is no use without.
func TestUnitIsTight(t *testing.T) {
	analyze(t, "security", "--offline=true", "--threshold=25")
}
