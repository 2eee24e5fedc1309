package tap

import (
	"io"
	"testing"
)

// Contract is testContract for devices of packages that import this one.
func Contract(t *testing.T, newDevice func(*testing.T) (dev Device, far io.ReadWriteCloser, fill bool)) {
	testContract(t, func(t *testing.T) (r rig) {
		r.dev, r.far, r.fill = newDevice(t)
		return r
	})
}

// FarEnd is a device as the other end of a rig.
func FarEnd(d Device) io.ReadWriteCloser { return &queueFile{dev: d} }
