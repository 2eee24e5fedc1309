package socketapi_test

import (
	"io"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// Each of these has a receive window that ended at a remainder which its scale
// cannot express, and got it all the same: see engine.OpenRemainder. Nobody reads
// there until the other end has acknowledged.

// narrow is a connection of which c has a small receive buffer, and a large
// window scale.
func narrow(t *testing.T) (c, far *socketapi.TCPConn, closeWindow func()) {
	t.Helper()
	a, b, la, _ := linked(t, nil, &stack.Config{TCP: stack.TCPConfig{
		SendBuffer:    stack.BufferRange{Default: 256 << 10, Max: 256 << 10},
		ReceiveBuffer: stack.BufferRange{Default: 128 << 10},
		// A machine that is slow is no loss, which would close the congestion
		// window; nor is it a queue that fills, for which cubic takes it.
		MinRTO: 2 * time.Second, NoRACK: true, CongestionControl: "reno",
	}})
	c, far = connect(t, a, b, b4.Addr())
	return c, far, func() {
		t.Helper()
		const most = 80_000 // so that the congestion window has room for the rest
		write(t, far, most)
		eventually(t, "most is there", func() bool { return c.ReceiveBuffer().Queued == most && far.SendBuffer().Queued == 0 })
		la.hold()
		rest, last := far.SendBuffer().Window, 50
		write(t, far, rest-last)
		eventually(t, "the rest but for the last bytes", func() bool { return c.ReceiveBuffer().Queued == most+rest-last })
		// far does not know yet that there is no window for these any more.
		write(t, far, last)
		eventually(t, "all is sent", func() bool { return far.SendBuffer().Unsent == 0 })
		la.letGo()
	}
}

// full reports whether c has to wait for far to read.
func full(c *socketapi.TCPConn) func() bool {
	return func() bool {
		snd := c.SendBuffer()
		return snd.Window == 0 && snd.Unsent > 0 && snd.Unsent == snd.Queued
	}
}

// TestWriteBlockedBeforeAnythingCame: a Write that found no room before anything
// was received goes on when the other end reads.
func TestWriteBlockedBeforeAnythingCame(t *testing.T) {
	t.Parallel()
	c, far, closeWindow := narrow(t)
	const size = 1 << 20
	out := waitAside(func() error { _, err := c.Write(make([]byte, size)); return err })
	eventually(t, "there is no room", full(c))
	closeWindow()
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{far}, size); err != nil {
		t.Fatal(err)
	}
	if err := endedWith(t, "Write", out); err != nil {
		t.Fatal(err)
	}
}

// TestPolledSendBlockedBeforeAnythingCame is the same for a Socket in a Poller.
func TestPolledSendBlockedBeforeAnythingCame(t *testing.T) {
	t.Parallel()
	c, far, closeWindow := narrow(t)
	so := c.Socket()
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(so, socketapi.EventOut, socketapi.EdgeTriggered, nil); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	left := size
	out := waitAside(func() error {
		buf := make([]byte, size)
		for left > 0 {
			n, err := so.Send(buf[:left], 0)
			left -= n
			if err == nil {
				continue
			}
			if _, err := p.Wait(within(t), make([]socketapi.Event, 1)); err != nil {
				return err
			}
		}
		return nil
	})
	eventually(t, "there is no room", full(c))
	closeWindow()
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{far}, size); err != nil {
		t.Fatal(err)
	}
	if err := endedWith(t, "Send", out); err != nil {
		t.Fatal(err)
	}
}

// TestWaitAckedWithoutReading: what was written is acknowledged, and that is
// told, though the receive buffer is full.
func TestWaitAckedWithoutReading(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{false, true} {
		c, _, closeWindow := narrow(t)
		if before { // it watches already
			write(t, c, 1)
			if err := c.WaitAcked(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		closeWindow()
		write(t, c, 1000)
		if err := c.WaitAcked(within(t)); err != nil {
			t.Fatalf("before %v: %v", before, err)
		}
	}
}
