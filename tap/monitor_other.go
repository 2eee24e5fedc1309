//go:build !linux

package tap

// monitor is a matter of Linux.
type monitor struct{}

func (*monitor) Close() error { return nil }
