//go:build !linux

package tap

import (
	"errors"
	"os"
)

// FromFiles is a matter of Linux.
func FromFiles(files []*os.File, _ *Config) (Device, error) {
	for _, f := range files {
		f.Close()
	}
	return nil, errors.New("tap: a device from open files: only on Linux")
}

// FromFile is, too.
func FromFile(f *os.File, _ *Config) (Device, error) {
	f.Close()
	return nil, errors.New("tap: a device from an open file: only on Linux")
}
