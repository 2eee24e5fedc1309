package privilege

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns/netnstest"
)

// Whoever is found can be become: the daemon's tests do.
func TestUnprivileged(t *testing.T) {
	name, err := Unprivileged()
	switch {
	case os.Getuid() != 0:
		if name != "" || err == nil || !strings.Contains(err.Error(), "not started as root") {
			t.Errorf("%q, %v", name, err)
		}
	case err != nil:
		t.Logf("root, and nobody to become: %v", err)
	case !slices.Contains(Users, name):
		t.Errorf("%q", name)
	}
}

func TestMapped(t *testing.T) {
	path := t.TempDir() + "/map"
	if err := os.WriteFile(path, []byte("         0       1000          1\n       100  231072       10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"0": true, "1": false, "99": false, "100": true, "109": true, "110": false, "x": false, "": false} {
		if got := mapped(path, id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
	if !mapped(path+"/none", "5") {
		t.Error("a kernel without maps")
	}
}

// In log mode everything goes on as without a filter, and every thread has one.
func TestSeccompLog(t *testing.T) {
	if err := askSeccomp(); err != nil {
		netnstest.Skip(t, err)
	}
	p := start(t, netnstest.Need(t), childConfig{Drop: &Config{Landlock: Off, Seccomp: Log}})
	r := p.report()
	if r.Calls != 0 || !r.Seccomp || !strings.Contains(strings.Join(r.Notes, "\n"), "refuses nothing") {
		t.Errorf("%+v", r)
	}
	for name := range refused {
		if got := p.do("call", name); got.Errno == int(unix.EPERM) {
			t.Errorf("%s: refused", name)
		}
	}
	p.end()
	if _, err := Drop(Config{Landlock: Log}); err == nil || Dropped() {
		t.Errorf("Landlock that only logs: %v", err)
	}
}
