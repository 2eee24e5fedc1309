package life

import (
	"strings"
	"syscall"
	"testing"
)

func TestFirstSignalDrainsSecondEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := spawn(t, "drain").start()
		p.line()
		_ = p.Process.Signal(sig)
		if got := p.line(); !strings.Contains(got, sig.String()) {
			t.Errorf("drains because of %q, not %v", got, sig)
		}
		_ = p.Process.Signal(sig)
		if got := p.reap(); got != sig {
			t.Errorf("ended by %v, not %v", got, sig)
		}
	}
}

func TestHangupReloads(t *testing.T) {
	p := spawn(t, "reload").start()
	p.line()
	for range 3 {
		_ = p.Process.Signal(syscall.SIGHUP)
		if got := p.line(); got != "reload" {
			t.Errorf("%q", got)
		}
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	if got := p.line(); got != "end" {
		t.Errorf("%q", got)
	}
	if sig := p.reap(); sig != 0 {
		t.Errorf("ended by %v", sig)
	}
}
