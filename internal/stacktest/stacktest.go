// Package stacktest is what the tests of several packages share: a host on a
// device, a TestMain that finds what was left behind, and waiting without
// sleeping. It is for tests alone.
package stacktest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"

	"tapstack/internal/netns/netnstest"
	"tapstack/stack"
	"tapstack/tap"
)

// Main is [netnstest.Main], and demands that every packet and chunk of gVisor's
// has been released in the end: it panics, with the place that took it.
func Main(m *testing.M, opts ...goleak.Option) int {
	refs.SetLeakMode(refs.LeaksPanic)
	code := netnstest.Main(m, opts...)
	if code == 0 {
		refs.DoLeakCheck()
	}
	return code
}

// Host makes a stack with one NIC, on dev, which are gone when the test is.
func Host(t testing.TB, dev tap.Device, cfg *stack.Config, addrs ...netip.Prefix) *stack.Stack {
	t.Helper()
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.AddNIC(dev, &stack.NICConfig{Addresses: addrs}); err != nil {
		t.Fatal(err)
	}
	return s
}

// Within bounds what a test waits for: far above what it takes, so that only a
// hang ends it.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Eventually looks until ok holds, and fails after a time that only a hang
// takes.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}
