package doctor

import (
	"fmt"
	"os"
	"testing"

	"tapstack/internal/netns/netnstest"
)

// helperMode, when set, makes this test binary a helper.
const helperMode = "DOCTOR_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperMode) != "" {
		if err := Helper(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(netnstest.Main(m))
}
