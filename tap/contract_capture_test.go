package tap_test

import (
	"io"
	"testing"

	"tapstack/tap"
	"tapstack/tap/capture"
)

// A device that is captured behaves as it does alone.
func TestCaptureContract(t *testing.T) {
	for name, on := range map[string]bool{"off": false, "on": true} {
		t.Run(name, func(t *testing.T) {
			tap.Contract(t, func(t *testing.T) (dev tap.Device, far io.ReadWriteCloser, fill, busy bool) {
				ours, peer := tap.Pipe(&tap.PipeConfig{QueueLen: 20})
				d := capture.Wrap(ours)
				if on {
					c, err := d.Start(io.Discard, nil)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						if _, err := c.Stop(); err != nil {
							t.Error(err)
						}
					})
				}
				return d, tap.FarEnd(peer), true, on
			})
		})
	}
}
