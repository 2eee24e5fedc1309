package socketapi_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// fixed is a stack whose buffers stay at 64 KiB of payload.
func fixed() *stack.Config {
	return &stack.Config{TCP: stack.TCPConfig{
		SendBuffer:    stack.BufferRange{Default: 64 << 10},
		ReceiveBuffer: stack.BufferRange{Default: 64 << 10},
		NoAutotune:    true,
	}}
}

// writeUntilFull fills both buffers of a connection whose reader sleeps. It
// returns how many bytes Write has taken. One Write is not enough: gVisor wakes
// a waiting writer only when half the send buffer is free, so there may be room
// while it waits.
func writeUntilFull(t *testing.T, w *socketapi.TCPConn) int {
	t.Helper()
	total := 0
	eventually(t, "the send buffer is full and the window closed", func() bool {
		_ = w.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		n, err := w.Write(make([]byte, 10_000))
		total += n
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		b := w.SendBuffer()
		return b.Free == 0 && b.Window == 0
	})
	_ = w.SetWriteDeadline(time.Time{})
	return total
}

// TestWhoHasTheBytes follows bytes through both buffers of a connection: the
// thesis of the package, in one test.
func TestWhoHasTheBytes(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())

	if snd, rcv := w.SendBuffer(), r.ReceiveBuffer(); snd.Queued != 0 || rcv.Queued != 0 || snd.Size != snd.Free || rcv.Size != rcv.Free {
		t.Fatalf("fresh: %+v %+v", snd, rcv)
	}

	// Less than a window: acknowledged, hence in the receive buffer alone,
	// though nobody has read it.
	if _, err := w.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything is acknowledged", func() bool { return w.SendBuffer().Queued == 0 })
	if rcv := r.ReceiveBuffer(); rcv.Queued != 5000 || rcv.Free != rcv.Size-5000 {
		t.Errorf("receive buffer %+v, want 5000 queued", rcv)
	}

	// More than everything: the receive buffer fills and closes the window,
	// the send buffer fills behind it.
	taken := 5000 + writeUntilFull(t, w)
	snd, rcv := w.SendBuffer(), r.ReceiveBuffer()
	if rcv.Window != 0 || rcv.Queued < rcv.Size*9/10 || rcv.Queued > rcv.Size {
		t.Errorf("full receive buffer: %+v", rcv)
	}
	if snd.Queued < snd.Size || snd.Free != 0 {
		t.Errorf("full send buffer: %+v", snd)
	}
	if snd.Unsent != snd.Queued {
		t.Errorf("%d of %d unsent: nothing can be under way into a closed window", snd.Unsent, snd.Queued)
	}
	if snd.Queued+rcv.Queued != taken {
		t.Errorf("Write took %d: %d in the send buffer and %d in the receive buffer", taken, snd.Queued, rcv.Queued)
	}

	// Reading opens the window and everything arrives.
	if n, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, int64(taken)); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	eventually(t, "both buffers are empty", func() bool {
		return w.SendBuffer().Queued == 0 && r.ReceiveBuffer().Queued == 0 && r.ReceiveBuffer().Window > 0
	})
}

func TestSizesAreInForce(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b6.Addr())
	if got := r.ReceiveBuffer().Size; got != 64<<10 {
		t.Errorf("receive buffer of %d by default", got)
	}
	if got := w.SendBuffer().Size; got != 64<<10 {
		t.Errorf("send buffer of %d by default", got)
	}
	for _, c := range []struct{ ask, rcv, snd int }{
		{20_000, 20_000, 20_000},
		{1, 2 << 10, 4 << 10}, // the smallest
		{0, 2 << 10, 4 << 10},
		{-1, 2 << 20, 4 << 20},      // unsigned, as Linux has it
		{1 << 40, 2 << 20, 4 << 20}, // the largest
	} {
		if err := r.SetReadBuffer(c.ask); err != nil {
			t.Fatal(err)
		}
		if err := w.SetWriteBuffer(c.ask); err != nil {
			t.Fatal(err)
		}
		if got := r.ReceiveBuffer().Size; got != c.rcv {
			t.Errorf("asked for %d, the receive buffer has %d, want %d", c.ask, got, c.rcv)
		}
		if got := w.SendBuffer().Size; got != c.snd {
			t.Errorf("asked for %d, the send buffer has %d, want %d", c.ask, got, c.snd)
		}
	}
}

// TestSocketsList finds every socket of a stack with its buffers, whoever
// holds it.
func TestSocketsList(t *testing.T) {
	a, b := pair(t, nil)
	l, err := socketapi.Listen(b, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w, r := connect(t, a, b, b4.Addr())
	if _, err := w.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has arrived", func() bool { return r.ReceiveBuffer().Queued == 6 })
	list := socketapi.TCPSockets(b)
	if len(list) != 2 {
		t.Fatalf("%d sockets: %+v", len(list), list)
	}
	if s := list[0]; s.State != socketapi.Listening || s.Local.Port() != 80 {
		t.Errorf("first: %+v", s)
	}
	if s := list[1]; s.State != socketapi.Established || s.Receive.Queued != 6 ||
		s.Remote.String() != w.LocalAddr().String() || s.Local.String() != w.RemoteAddr().String() {
		t.Errorf("second: %+v", s)
	}
}

// TestUDPSocketsList finds UDP sockets, and only those.
func TestUDPSocketsList(t *testing.T) {
	a, b := pair(t, nil)
	l, err := socketapi.ListenUDP(b, "udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect(t, a, b, b4.Addr())
	c, err := (&socketapi.Dialer{Stack: b}).Dial("udp", "192.0.2.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list := socketapi.UDPSockets(b)
	if len(list) != 2 {
		t.Fatalf("%d sockets: %+v", len(list), list)
	}
	if list[0].Local.Port() != 53 || list[0].Remote.IsValid() || list[0].Receive.Size == 0 {
		t.Errorf("%+v", list[0])
	}
	if list[1].Remote.String() != "192.0.2.1:9" || list[1].Local.String() != c.LocalAddr().String() {
		t.Errorf("%+v", list[1])
	}
}

// TestBuffersAfterClose: what was written before Close is still on its way,
// and can still be watched.
func TestBuffersAfterClose(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	taken := writeUntilFull(t, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if snd := w.SendBuffer(); snd.Queued == 0 {
		t.Errorf("after Close: %+v", snd)
	}
	if got := w.State(); got != socketapi.FinWait1 {
		t.Errorf("state %v, want FIN-WAIT-1: the FIN waits behind the data", got)
	}
	var all bytes.Buffer
	if _, err := all.ReadFrom(r); err != nil || all.Len() != taken {
		t.Fatalf("%d of %d bytes: %v", all.Len(), taken, err)
	}
	eventually(t, "the send buffer has drained", func() bool { return w.SendBuffer().Queued == 0 })
}
