// Package netnstest puts tests into private network namespaces. A package
// whose tests need a TAP, or the kernel's sockets, has
//
//	func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }
//
// and in each such test
//
//	ns := netnstest.Need(t)
//
// Need skips the test on a system that forbids namespaces. On one that is
// known to allow them, set TAPSTACK_REQUIRE_TAP=1: then it fails instead.
package netnstest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tapstack/internal/netns"
)

// Main runs a package's tests and returns the exit status for os.Exit. An
// ordinary user's tests run in a user and network namespace made for the
// whole process, root's in the host's: there Need makes all that is private.
// Tests that pass but leave a goroutine behind fail; opts name exceptions.
func Main(m *testing.M, opts ...goleak.Option) int {
	if os.Geteuid() != 0 && !fuzzWorker() {
		// On an error the tests that need no namespace still run, and Need
		// meets the same error and says so by the test's name.
		_ = netns.Enter()
	}
	code := m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(opts...); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left after the tests:", err)
		return 1
	}
	return 0
}

// fuzzWorker reports whether this is a process that go test -fuzz started: a
// child of one that has been through Main, in the same namespace, and holding
// pipes that it needs to stay the owner of.
func fuzzWorker() bool {
	return slices.ContainsFunc(os.Args, func(a string) bool {
		return strings.HasPrefix(strings.TrimLeft(a, "-"), "test.fuzzworker")
	})
}

// Need returns a new namespace with lo up, closed when t ends. Where the
// system has none to give it does what [Skip] does.
func Need(t testing.TB) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		Skip(t, err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// Skip ends a test that the system does not allow: for want of a namespace,
// or of a TAP in it. It skips the test, or with TAPSTACK_REQUIRE_TAP=1 fails
// it, for the reason given.
func Skip(t testing.TB, reason error) {
	t.Helper()
	if os.Getenv("TAPSTACK_REQUIRE_TAP") == "1" {
		t.Fatalf("TAPSTACK_REQUIRE_TAP=1, but: %v", reason)
	}
	t.Skip(reason)
}
