package stack

import (
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/log"
)

// gVisor logs to standard error, in a format of its own, whenever a peer sends
// it something odd. This package counts instead. GVISOR_LOG=1 in the
// environment leaves the log on, for whoever debugs the engine.
func init() {
	if os.Getenv("GVISOR_LOG") == "" {
		log.SetTarget(silence{})
	}
}

type silence struct{}

func (silence) Emit(int, log.Level, time.Time, string, ...any) {}
