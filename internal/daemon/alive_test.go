package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"tapstack/socketapi"
)

// TestAlive: the watchdog is told that all is well only as long as it is.
func TestAlive(t *testing.T) {
	c := newControlled(t, plain)
	answering := make(chan struct{})
	go func() {
		for {
			select {
			case <-c.pulse:
			case <-answering:
				return
			}
		}
	}()
	d := socketapi.Dialer{Stack: c.peer}
	conn, err := d.DialContext(within(t), "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ping(t, conn)
	for range 10 {
		if err := c.alive(within(t)); err != nil {
			t.Error(err)
		}
	}
	ping(t, conn)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	// A lock that is not given back: somebody hangs in a reload.
	c.mu.Lock()
	hangs := make(chan error, 1)
	go func() { hangs <- c.alive(within(t)) }()
	select {
	case err := <-hangs:
		t.Errorf("with the lock held: %v", err)
	case <-short().Done():
	}
	c.mu.Unlock()
	if err := <-hangs; err != nil {
		t.Error(err)
	}
	// The loop that obeys signals hangs.
	close(answering)
	if err := c.alive(short()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the loop: %v", err)
	}
	c.stack.Close()
	if err := c.alive(within(t)); err == nil {
		t.Error("alive without a stack")
	}
}
