package socketapi_test

import (
	"testing"

	"tapstack/socketapi"
)

// TestAccountKeepsPace: with segments coming fast the account looks less often
// than they come, and still counts every byte; when they have ended it looks
// after each again.
func TestAccountKeepsPace(t *testing.T) {
	a, b := pair(t, nil)
	w, r := connect(t, a, b, b4.Addr())
	for _, c := range []*socketapi.TCPConn{w, r} {
		if err := c.SetAccounting(true); err != nil {
			t.Fatal(err)
		}
	}
	size, most := uint64(0), uint64(16<<20)
	for size < 1<<20 || size < most && socketapi.Pauses(r) == 0 {
		exchangeBytes(t, w, r, 1<<20)
		size += 1 << 20
	}
	if err := w.WaitAcked(within(t)); err != nil {
		t.Fatal(err)
	}
	out, _ := w.Holdup()
	in, _ := r.Holdup()
	if out.Sent != size || out.Acked != size || in.Received != size || in.Read != size {
		t.Errorf("sent %d, acknowledged %d, received %d, read %d of %d", out.Sent, out.Acked, in.Received, in.Read, size)
	}
	if socketapi.Pauses(r) == 0 {
		t.Error("the reader's account never paused")
	}
	eventually(t, "it looks again", func() bool { return socketapi.Watching(r) })
	high := r.ReceiveBuffer().HighWater
	if err := r.SetReadBuffer(1 << 20); err != nil {
		t.Fatal(err)
	}
	write(t, w, 100)
	arrives(t, r, 100)
	if got := r.ReceiveBuffer().HighWater; got < high {
		t.Errorf("high water %d, was %d", got, high)
	}
	if err := r.SetAccounting(false); err != nil {
		t.Fatal(err)
	}
	if socketapi.Watching(r) {
		t.Error("switched off it is still called for every segment")
	}
}
