package privilege

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The unit's filter is in force from the start and ours within it: what ours
// allows and the unit's does not would be refused all the same.
func TestUnitAllowsWhatTheFilterDoes(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatal("TAPSTACK_REQUIRE_TOOLS=1, but systemd-analyze is not installed (package systemd)")
		}
		t.Skip("systemd-analyze is not installed (package systemd)")
	}
	b, err := os.ReadFile("../../../testdata/tapstack.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string]bool{}
	add(t, unit, "@default")
	for line := range strings.Lines(string(b)) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter="); ok {
			for _, name := range strings.Fields(list) {
				add(t, unit, name)
			}
		}
	}
	if len(unit) < 100 {
		t.Fatalf("%d calls: the unit was not understood", len(unit))
	}
	var names []string
	for _, g := range allowed(1) {
		names = append(names, g.calls...)
		for _, c := range g.conditional {
			names = append(names, c.name)
		}
	}
	// What Drop itself needs.
	names = append(names, "capset", "prctl", "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
	for _, name := range names {
		if _, ours := machines["amd64"].SyscallNames[name]; ours && !unit[name] {
			t.Errorf("the unit does not allow %s", name)
		}
	}
}

// add puts a call, or what is in a group of calls, into set.
func add(t *testing.T, set map[string]bool, name string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		set[name] = true
		return
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for i, line := range strings.Split(string(out), "\n") {
		if line = strings.TrimSpace(line); i > 0 && line != "" && !strings.HasPrefix(line, "#") {
			add(t, set, line)
		}
	}
}
