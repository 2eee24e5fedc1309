//go:build !linux

package tap

import (
	"errors"
	"os"
)

// FromFile is a matter of Linux.
func FromFile(f *os.File, _ *Config) (Device, error) {
	f.Close()
	return nil, errors.New("tap: a device from an open file: only on Linux")
}
