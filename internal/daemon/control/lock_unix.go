//go:build unix

package control

import (
	"errors"
	"os"
	"syscall"
)

// lockPath makes sure that of two daemons that start at once one alone
// replaces a stale socket. The file stays: removing it would let in two.
func lockPath(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errInUse
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
