package tap

import (
	"io"
	"testing"
)

// Contract is testContract for devices of packages that import this one.
func Contract(t *testing.T, newDevice func(*testing.T) (dev Device, far io.ReadWriteCloser, fill, busy bool)) {
	testContract(t, func(t *testing.T) (r rig) {
		r.dev, r.far, r.fill, r.busy = newDevice(t)
		return r
	})
}

// FarEnd is a device as the other end of a rig.
func FarEnd(d Device) io.ReadWriteCloser { return &queueFile{dev: d} }
