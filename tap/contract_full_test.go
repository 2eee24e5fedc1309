package tap

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// fillUp writes until the device is full, and returns how many frames it took
// and how long the first that it did not take had to wait.
func (r rig) fillUp(t *testing.T, frame []byte) (taken uint64, waited time.Duration) {
	t.Helper()
	if !r.fill {
		t.Skip("this device's other end takes whatever comes")
	}
	for {
		start := time.Now()
		err := r.dev.Queues()[0].Write([][]byte{frame}, Offload{})
		if errors.Is(err, ErrFull) {
			return taken, time.Since(start)
		}
		if err != nil {
			t.Fatal(err)
		}
		taken++
	}
}

// writePatiently writes a frame for as long as the device is full.
func (r rig) writePatiently(frame []byte) <-chan error {
	written := make(chan error)
	go func() {
		for {
			err := r.dev.Queues()[0].Write([][]byte{frame}, Offload{})
			if !errors.Is(err, ErrFull) {
				written <- err
				return
			}
		}
	}()
	return written
}

func testFull(t *testing.T, r rig) {
	frame := testFrame(60, 1)
	taken, waited := r.fillUp(t, frame)
	// A busy machine may make it longer; what matters is that it ends.
	if waited < writeWait {
		t.Errorf("waited %v, want %v", waited, writeWait)
	}
	if s := r.dev.Stats(); s.TxFrames != taken || s.TxDrops != (Drops{Full: 1}) {
		t.Errorf("wrote %d, counted %+v", taken, s)
	}

	// Writers wait together, not one after the other: that would take no less
	// than the sum, each time. A busy machine may do so once, not ten times.
	const writers = 50
	drops := Drops{Full: 1}
	var together time.Duration
	for range 10 {
		together = r.waitTogether(t, writers, frame)
		drops.Full += writers
		if s := r.dev.Stats(); s.TxDrops != drops {
			t.Errorf("counted %+v, want %+v", s.TxDrops, drops)
		}
		if together < writers*writeWait {
			return
		}
	}
	t.Errorf("%d writers waited %v, where one waits %v", writers, together, writeWait)
}

// waitTogether has writers write to the full device at once, and returns how
// long it took until all had given up.
func (r rig) waitTogether(t *testing.T, writers int, frame []byte) time.Duration {
	t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			if err := r.dev.Queues()[0].Write([][]byte{frame}, Offload{}); !errors.Is(err, ErrFull) {
				t.Errorf("%v, want ErrFull", err)
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

func testFullThenFree(t *testing.T, r rig) {
	frame := testFrame(60, 1)
	taken, _ := r.fillUp(t, frame)
	written := r.writePatiently(frame)
	for range taken {
		r.expectFar(t, frame)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	r.expectFar(t, frame)
}

func testFullThenClosed(t *testing.T, r rig) {
	frame := testFrame(60, 1)
	r.fillUp(t, frame)
	written := r.writePatiently(frame)
	runtime.Gosched() // most of the time it waits by now
	r.dev.Close()
	if err := <-written; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
}
