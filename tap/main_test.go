package tap

import (
	"os"
	"testing"

	"tapstack/internal/netns/netnstest"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }
