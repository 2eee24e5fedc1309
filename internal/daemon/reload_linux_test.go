package daemon

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestReloadDoesNotWait: a configuration that has become a pipe nobody writes
// to, or a device, is refused at once; a daemon that waited for it could not be
// told to stop any more.
func TestReloadDoesNotWait(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	for name, make := range map[string]func(path string) error{
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		if err := os.Remove(c.cfg.File); err != nil {
			t.Fatal(err)
		}
		if err := make(c.cfg.File); err != nil {
			t.Fatal(err)
		}
		if _, err := c.api.Reload(ctx); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(c.cfg.File); err != nil {
		t.Fatal(err)
	}
	c.rewrite(t, plain)
	if _, err := c.api.Reload(ctx); err != nil {
		t.Errorf("a file again: %v", err)
	}
}
