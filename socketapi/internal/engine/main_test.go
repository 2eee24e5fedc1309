package engine_test

import (
	"os"
	"testing"

	"tapstack/internal/stacktest"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

var (
	eventually = stacktest.Eventually
)
