package drill_test

import (
	"flag"
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/refs"

	"tapstack/internal/netns/netnstest"
)

// repeat is how often TestDeterminism runs its scenario on each number of
// processors.
var repeat = flag.Int("repeat", 30, "runs of the racy scenario for each GOMAXPROCS")

func TestMain(m *testing.M) {
	flag.Parse()
	refs.SetLeakMode(refs.LeaksPanic)
	code := netnstest.Main(m)
	if code == 0 {
		refs.DoLeakCheck()
	}
	os.Exit(code)
}
