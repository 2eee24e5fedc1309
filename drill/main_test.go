package drill_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
)

// repeat is how often TestDeterminism runs its scenario on each number of
// processors.
var repeat = flag.Int("repeat", 30, "runs of the racy scenario for each GOMAXPROCS")

func TestMain(m *testing.M) {
	flag.Parse()
	refs.SetLeakMode(refs.LeaksPanic)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
		refs.DoLeakCheck()
	}
	os.Exit(code)
}
