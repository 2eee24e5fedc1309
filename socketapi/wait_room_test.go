package socketapi_test

import (
	"context"
	"io"
	"runtime"
	"testing"

	"tapstack/socketapi"
)

// TestWaitWritableHearsOfAnyRoom: also of less than gVisor tells writers of,
// which is half of the send buffer.
func TestWaitWritableHearsOfAnyRoom(t *testing.T) {
	t.Parallel()
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	if err := w.SetWriteBuffer(64 << 10); err != nil { // fixed() leaves it to grow
		t.Fatal(err)
	}
	writeUntilFull(t, w)
	done := waitAside(func() error { return w.WaitWritable(context.Background()) })
	eventually(t, "somebody waits", func() bool { return socketapi.Waits(w) })
	if _, err := io.ReadFull(r, make([]byte, 20<<10)); err != nil {
		t.Fatal(err)
	}
	if err := endedWith(t, "WaitWritable", done); err != nil {
		t.Error(err)
	}
	if snd := w.SendBuffer(); snd.Free == 0 || snd.Free >= snd.Size/2 {
		t.Errorf("the room was to be small: %+v", snd)
	}
}

// TestWriteHearsOfALargerBuffer: a Write that waits goes on when the buffer is
// made larger, be it by little.
func TestWriteHearsOfALargerBuffer(t *testing.T) {
	t.Parallel()
	a, b := pair(t, fixed())
	w, _ := connect(t, a, b, b4.Addr())
	writeUntilFull(t, w)
	done := waitAside(func() error { _, err := w.Write(make([]byte, 1000)); return err })
	eventually(t, "Write waits", func() bool { return socketapi.Writing(w) })
	for range 100 {
		runtime.Gosched()
	}
	if err := w.SetWriteBuffer(w.SendBuffer().Size + 10_000); err != nil {
		t.Fatal(err)
	}
	if err := endedWith(t, "Write", done); err != nil {
		t.Error(err)
	}
}
