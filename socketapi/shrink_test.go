package socketapi_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"tapstack/socketapi"
)

// TestShrinkBelowQueued: both buffers are made smaller than what is in them.
// The new size is what is reported, nothing is free, nothing is lost, and the
// buffers are that small from then on.
func TestShrinkBelowQueued(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	taken := writeUntilFull(t, w)
	wasSnd, wasRcv := w.SendBuffer(), r.ReceiveBuffer()
	for _, ask := range []int{10_000, 1, 30_000} {
		if err := errors.Join(w.SetWriteBuffer(ask), r.SetReadBuffer(ask)); err != nil {
			t.Fatal(err)
		}
		snd, rcv := w.SendBuffer(), r.ReceiveBuffer()
		if want := max(ask, 4<<10); snd.Size != want || snd.Queued != wasSnd.Queued || snd.Free != 0 {
			t.Errorf("asked for %d: %+v, want size %d, as much queued as in %+v", ask, snd, want, wasSnd)
		}
		if want := max(ask, 2<<10); rcv.Size != want || rcv.Queued != wasRcv.Queued || rcv.Free != 0 || rcv.Window < 0 {
			t.Errorf("asked for %d: %+v, want size %d, as much queued as in %+v", ask, rcv, want, wasRcv)
		}
		if rcv.HighWater != wasRcv.Queued || snd.HighWater != wasSnd.Queued {
			t.Errorf("high water %d and %d", snd.HighWater, rcv.HighWater)
		}
		if err := w.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a full buffer took %d, %v", n, err)
		}
		if ev := w.Socket().Ready(); ev&socketapi.EventOut != 0 {
			t.Errorf("ready for %v", ev)
		}
	}
	_ = w.SetWriteDeadline(time.Time{})
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, int64(taken)); err != nil {
		t.Fatalf("%d of %d bytes: %v", n, taken, err)
	}
	if err := w.WaitAcked(within(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is free", func() bool {
		return w.SendBuffer().Free == 30_000 && r.ReceiveBuffer().Free == 30_000
	})
	// They work on, and never hold more than they are now.
	text := bytes.Repeat([]byte("0123456789"), 20_000)
	out := waitAside(func() error { _, err := w.Write(text); return errors.Join(err, w.CloseWrite()) })
	var got []byte
	for buf := make([]byte, 7000); ; {
		if rcv := r.ReceiveBuffer(); rcv.Queued > 30_000 || rcv.Free < 0 {
			t.Errorf("%+v", rcv)
		}
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF { //nolint:errorlint // bare io.EOF is what is promised
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := endedWith(t, "Write", out); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got, text) {
		t.Errorf("%d bytes of %d, not the same", len(got), len(text))
	}
}

// TestUDPShrinkBelowQueued: what is in a UDP socket's receive buffer stays, and
// what comes then is lost and counted.
func TestUDPShrinkBelowQueued(t *testing.T) {
	a, b := pair(t, nil)
	u, err := socketapi.ListenUDP(b, "udp4", ":1000")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_ = u.SetReadDeadline(time.Now().Add(30 * time.Second))
	c, err := (&socketapi.Dialer{Stack: a}).Dial("udp", netip.AddrPortFrom(b4.Addr(), 1000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(n int) {
		for range n {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(1) // and the neighbours know each other
	read(t, u, 1000)
	send(10)
	eventually(t, "the datagrams are there", func() bool { return b.Stats().UDP.Received >= 11 })
	if err := u.SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	if got := u.ReceiveBuffer(); got.Size != 4<<10 || got.Next != 1000 || got.Dropped != 0 {
		t.Errorf("made smaller: %+v", got)
	}
	send(1)
	eventually(t, "one is lost", func() bool { return u.ReceiveBuffer().Dropped == 1 })
	for range 10 {
		read(t, u, 1000)
	}
	if got := u.ReceiveBuffer(); got.Next != 0 {
		t.Errorf("empty: %+v", got)
	}
	send(1)
	read(t, u, 1000)
}
