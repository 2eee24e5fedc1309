package socketapi_test

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
)

// TestReadLowWater: Read returns once for a mark's worth of bytes, not once per
// segment, and the rest comes with the FIN.
func TestReadLowWater(t *testing.T) {
	const mark, total = 20_000, 205_000
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	if err := r.SetReadLowWater(mark); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range total / 500 {
			if _, err := w.Write(make([]byte, 500)); err != nil {
				t.Error(err)
			}
		}
		_ = w.CloseWrite()
	}()
	buf := make([]byte, 64<<10)
	reads, got := 0, 0
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		n, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		reads++
		got += n
		if n < mark && got != total {
			t.Errorf("read %d returned %d bytes, below the mark, after %d", reads, n, got)
		}
	}
	if got != total || reads > total/mark+1 {
		t.Errorf("%d bytes of %d in %d reads", got, total, reads)
	}
}

// TestReadLowWaterGivesWay: what a short buffer asks for, less than the mark, is
// enough; and a mark that is lowered, or clamped by a smaller buffer, wakes who
// waited for the old one.
func TestReadLowWaterGivesWay(t *testing.T) {
	for name, lower := range map[string]func(*socketapi.TCPConn) error{
		"the mark is lowered":     func(r *socketapi.TCPConn) error { return r.SetReadLowWater(100) },
		"the buffer becomes less": func(r *socketapi.TCPConn) error { return r.SetReadBuffer(4096) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, fixed())
			w, r := connect(t, a, b, b4.Addr())
			if err := r.SetReadLowWater(30_000); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, 5000)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it has arrived", func() bool { return r.ReceiveBuffer().Queued == 5000 })
			if n, err := r.Read(make([]byte, 10)); n != 10 || err != nil {
				t.Errorf("a short buffer: %d, %v", n, err)
			}
			p := socketapi.NewPoller()
			defer p.Close()
			if err := p.Add(r, socketapi.EventIn, socketapi.EdgeTriggered, nil); err != nil {
				t.Fatal(err)
			}
			events := make([]socketapi.Event, 1)
			if n, err := p.Poll(events); n != 0 || err != nil {
				t.Errorf("%d events below the mark: %+v, %v", n, events, err)
			}
			read := waitAside(func() error { return r.WaitReadable(context.Background(), 30_000) })
			if name == "the mark is lowered" {
				read = waitAside(func() error { _, err := r.Read(make([]byte, 40_000)); return err })
			}
			polled := waitAside(func() error { _, err := p.Wait(context.Background(), events); return err })
			if err := lower(r); err != nil {
				t.Fatal(err)
			}
			if err := endedWith(t, "the reader", read); err != nil {
				t.Error(err)
			}
			if name == "the mark is lowered" {
				// Read may have been first, and then there is nothing to report.
				if _, err := w.Write(make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
			}
			if err := endedWith(t, "the poller", polled); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMarksAreClamped: a mark above the buffer's size is the size, and can be
// reached.
func TestMarksAreClamped(t *testing.T) {
	const size = 16 << 10
	a, b := pair(t, nil)
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: size}))
	for _, c := range []struct{ ask, want int }{{1 << 40, size}, {size + 1, size}, {-1, size}, {0, 1}, {5000, 5000}} {
		if err := r.SetReadLowWater(c.ask); err != nil {
			t.Fatal(err)
		}
		if got := r.ReceiveBuffer().LowWater; got != c.want {
			t.Errorf("asked for %d: mark %d, want %d", c.ask, got, c.want)
		}
	}
	go func() { _, _ = w.Write(make([]byte, 2*size)) }()
	if err := r.SetReadLowWater(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitReadable(within(t), 1<<30); err != nil {
		t.Fatal(err)
	}
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	mss, err := r.MaxSegment()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 2*size)); err != nil || n <= size-mss || n > size {
		t.Errorf("Read returned %d of a buffer of %d: %v", n, size, err)
	}
}

// TestMarkWithSmallSegments: segments of one byte fill the buffer's memory long
// before the mark; a reader that waits for it goes on.
func TestMarkWithSmallSegments(t *testing.T) {
	const size, total = 8 << 10, 3000
	a, b := pair(t, nil)
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: size}))
	if err := r.SetReadLowWater(size); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range total {
			if _, err := w.Write([]byte{1}); err != nil {
				t.Error(err)
				return
			}
		}
		_ = w.CloseWrite()
	}()
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	got, reads, buf := 0, 0, make([]byte, size)
	for {
		n, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes of %d: %v; %+v", got, total, err, r.ReceiveBuffer())
		}
		got += n
		reads++
	}
	if got != total || reads == 1 {
		t.Errorf("%d bytes of %d in %d reads: the memory was never full", got, total, reads)
	}
}

// TestWriteLowWater: whatever the writer and the network do, no look finds as
// much as a segment more unsent than the mark.
func TestWriteLowWater(t *testing.T) {
	for mark, size := range map[int]int{1: 100_000, 1000: 200_000, 16 << 10: 1 << 20} {
		a, b := pair(t, fixed())
		w, r := connect(t, a, b, b4.Addr())
		if err := w.SetWriteLowWater(mark); err != nil {
			t.Fatal(err)
		}
		mss, err := w.MaxSegment()
		if err != nil {
			t.Fatal(err)
		}
		out := waitAside(func() error {
			_, err := w.Write(make([]byte, size))
			return errors.Join(err, w.CloseWrite())
		})
		looks := make(chan int, 1)
		stop := make(chan struct{})
		go func() {
			n := 0
			defer func() { looks <- n }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if s := w.SendBuffer(); s.Unsent >= mark+mss {
					t.Errorf("%d unsent with a mark of %d and segments of %d", s.Unsent, mark, mss)
					return
				}
				n++
			}
		}()
		_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := io.Copy(io.Discard, struct{ io.Reader }{r})
		if err != nil || n != int64(size) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err := endedWith(t, "Write", out); err != nil {
			t.Error(err)
		}
		close(stop)
		if <-looks == 0 {
			t.Error("nobody looked")
		}
	}
}

// TestWriteLowWaterIsLifted: a writer that waits for its mark goes on when the
// mark is raised or taken away.
func TestWriteLowWaterIsLifted(t *testing.T) {
	for _, to := range []int{0, 20_000} {
		a, b := pair(t, fixed())
		w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: 4 << 10}))
		if err := w.SetWriteLowWater(1000); err != nil {
			t.Fatal(err)
		}
		out := waitAside(func() error { _, err := w.Write(make([]byte, 20_000)); return err })
		eventually(t, "the mark is reached", func() bool { s := w.SendBuffer(); return s.Unsent >= 1000 && s.Unsent == s.Queued && s.Window == 0 })
		if _, err := w.Socket().Send([]byte("x"), 0); !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("Send above the mark: %v", err)
		}
		if err := w.SetWriteLowWater(to); err != nil {
			t.Fatal(err)
		}
		if err := endedWith(t, "Write", out); err != nil {
			t.Error(err)
		}
		_ = w.SetWriteDeadline(time.Now().Add(-1))
		if _, err := w.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = r
	}
}
