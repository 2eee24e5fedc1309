//go:build unix && !linux

package life

import (
	"errors"
	"os"
	"syscall"
)

func flock(f *os.File, path string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &RunningError{Path: path}
	}
	return err
}
