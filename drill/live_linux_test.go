package drill_test

import (
	"testing"

	"tapstack/internal/netns/netnstest"
	"tapstack/internal/rawlink"
)

// TestRealTimeTAP runs scripts over live TAPs: their packets pass the kernel.
func TestRealTimeTAP(t *testing.T) {
	open := rawlink.In(netnstest.Need(t))
	near, far, err := open(1500)
	if err != nil {
		netnstest.Skip(t, err)
	}
	near.Close()
	far.Close()
	runLive(t, live, open)
}
