package life

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childMode, when set, makes this test binary one of the programs in
// child_linux_test.go.
const childMode = "TAPSTACK_LIFE_TEST_CHILD"

// programs are filled in where the system has what they are about.
var programs = map[string]func() int{}

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(programs[mode]())
	}
	goleak.VerifyTestMain(m)
}
