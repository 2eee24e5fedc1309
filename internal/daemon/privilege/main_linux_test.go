package privilege

import (
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/refs"

	"tapstack/internal/netns/netnstest"
)

// childMode, when set, makes this test binary a small daemon (child).
const childMode = "TAPSTACK_PRIVILEGE_TEST_CHILD"

func TestMain(m *testing.M) {
	if cfg := os.Getenv(childMode); cfg != "" {
		os.Exit(child(cfg))
	}
	refs.SetLeakMode(refs.LeaksPanic)
	os.Exit(netnstest.Main(m))
}
