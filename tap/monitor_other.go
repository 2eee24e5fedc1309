//go:build !linux

package tap

// monitor is a matter of Linux.
type monitor struct{}

// mtuHistory is, too: no change of an MTU is seen elsewhere.
type mtuHistory struct{}

func (*monitor) Close() error { return nil }
