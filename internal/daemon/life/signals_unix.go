//go:build unix

package life

import (
	"os"
	"os/signal"
	"syscall"
)

// dieOf ends the process by the signal, so that its parent sees why.
func dieOf(sig os.Signal) {
	signal.Reset(sig)
	_ = syscall.Kill(os.Getpid(), sig.(syscall.Signal))
	// It may be blocked in this thread and be taken by another.
	select {}
}
