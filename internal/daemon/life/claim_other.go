//go:build !linux

package life

import (
	"context"
	"os"
)

// Take claims the lock file at path, which it makes if need be; its directory
// has to be there. A *RunningError if another process has it. What a killed one
// has left is not waited for here: it is gone with the process.
func Take(_ context.Context, path string) (*Claim, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return &Claim{file: f}, nil
}

// Release lets the next one in. The second call does nothing.
func (c *Claim) Release() error {
	_ = c.file.Close() // fails only if closed before
	return nil
}
