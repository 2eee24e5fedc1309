//go:build !linux

package life

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Take is for Linux.
func Take(context.Context, string) (*Claim, error) {
	return nil, fmt.Errorf("a claim on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Release does nothing.
func (c *Claim) Release() error { return c.file.Close() }
