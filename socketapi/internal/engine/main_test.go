package engine_test

import (
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/refs"

	"tapstack/internal/netns/netnstest"
)

func TestMain(m *testing.M) {
	// Every packet and chunk of gVisor's must have been released in the end.
	refs.SetLeakMode(refs.LeaksPanic)
	code := netnstest.Main(m)
	refs.DoLeakCheck()
	os.Exit(code)
}
