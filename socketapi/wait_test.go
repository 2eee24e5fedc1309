package socketapi_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
)

// repeats is how often the tests below let a wait race with what ends it.
var repeats = map[bool]int{false: 1000, true: 400}[underRace] // each costs ten times as much then

// yield lets others run for a moment, so that what races meets at different
// points.
func yield(rnd *rand.Rand) {
	for range rnd.IntN(20) {
		runtime.Gosched()
	}
}

// waitAside runs wait on a goroutine; the error comes by the channel.
func waitAside(wait func() error) <-chan error {
	out := make(chan error, 1)
	go func() { out <- wait() }()
	return out
}

// ended takes the result of waitAside, or gives up.
func endedWith(t *testing.T, what string, out <-chan error) error {
	t.Helper()
	select {
	case err := <-out:
		return err
	case <-within(t).Done():
		t.Fatalf("%s was not woken", what)
		return nil
	}
}

// TestWaitAckedIsExact withholds the acknowledgement: the wait returns after it
// is let go, and does.
func TestWaitAckedIsExact(t *testing.T) {
	t.Parallel()
	a, b, _, lb := linked(t, nil, fixed())
	w, r := connect(t, a, b, b4.Addr())
	go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{r}) }()
	rnd := rand.New(rand.NewPCG(1, 1))
	ctx := context.Background()
	for i := range repeats {
		lb.hold()
		if _, err := w.Write(make([]byte, 1+rnd.IntN(5000))); err != nil {
			t.Fatal(err)
		}
		if rnd.IntN(2) == 0 {
			// The acknowledgement is already waiting to be let go.
			eventually(t, "the peer acknowledges", func() bool { return lb.holding() > 0 })
		}
		var released atomic.Bool
		early := make(chan error, 1)
		go func() {
			err := w.WaitAcked(ctx)
			if err == nil && !released.Load() {
				err = errors.New("returned before the acknowledgement was let go")
			}
			if q := w.SendBuffer().Queued; err == nil && q != 0 {
				err = errors.New("returned with bytes unacknowledged")
			}
			early <- err
		}()
		yield(rnd)
		released.Store(true)
		lb.letGo()
		if err := endedWith(t, "WaitAcked", early); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// TestWaitAckedCountsWhatWasBefore: bytes written after the call are not waited
// for.
func TestWaitAckedCountsWhatWasBefore(t *testing.T) {
	a, b, la, _ := linked(t, nil, fixed())
	w, _ := connect(t, a, b, b4.Addr())
	if _, err := w.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAcked(within(t)); err != nil {
		t.Fatal(err)
	}
	la.hold()
	defer la.letGo()
	if _, err := w.Write(make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	out := waitAside(func() error { return w.WaitAcked(context.Background()) })
	eventually(t, "it waits", func() bool { return socketapi.Waits(w) })
	before := la.holding()
	if _, err := w.Write(make([]byte, 70)); err != nil {
		t.Fatal(err)
	}
	la.letPass(before)
	if err := endedWith(t, "WaitAcked", out); err != nil {
		t.Fatal(err)
	}
	if got := w.SendBuffer().Queued; got != 70 {
		t.Errorf("%d bytes unacknowledged, want 70", got)
	}
}

// TestWaitAckedAtTheEnd is WaitAcked in every way a connection ends.
func TestWaitAckedAtTheEnd(t *testing.T) {
	a, b, la, lb := linked(t, nil, fixed())
	fresh := func(t *testing.T) (w, r *socketapi.TCPConn) {
		la.letGo()
		lb.letGo()
		return connect(t, a, b, b4.Addr())
	}
	t.Run("nothing was ever written", func(t *testing.T) {
		w, _ := fresh(t)
		lb.hold()
		if err := w.WaitAcked(within(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("CloseWrite", func(t *testing.T) {
		w, r := fresh(t)
		lb.hold()
		if _, err := w.Write(make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		out := waitAside(func() error { return w.WaitAcked(context.Background()) })
		lb.letGo()
		if err := endedWith(t, "WaitAcked", out); err != nil {
			t.Error(err)
		}
		// Both FINs, and again.
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "TIME-WAIT", func() bool { return w.State() == socketapi.TimeWait })
		if err := w.WaitAcked(within(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("the peer resets", func(t *testing.T) {
		w, r := fresh(t)
		la.hold()
		if _, err := w.Write(make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		out := waitAside(func() error { return w.WaitAcked(context.Background()) })
		if err := r.Abort(); err != nil {
			t.Fatal(err)
		}
		nested(t, endedWith(t, "WaitAcked", out), "wait", syscall.ECONNRESET)
		la.letGo()
		// Still, when somebody else was told.
		if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
		nested(t, w.WaitAcked(within(t)), "wait", syscall.ECONNRESET)
	})
	t.Run("Close", func(t *testing.T) {
		w, _ := fresh(t)
		lb.hold()
		if _, err := w.Write(make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		out := waitAside(func() error { return w.WaitAcked(context.Background()) })
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		nested(t, endedWith(t, "WaitAcked", out), "wait", net.ErrClosed)
		lb.letGo()
		nested(t, w.WaitAcked(within(t)), "wait", net.ErrClosed)
	})
	t.Run("the stack ends", func(t *testing.T) {
		w, _ := fresh(t)
		lb.hold()
		if _, err := w.Write(make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		out := waitAside(func() error { return w.WaitAcked(context.Background()) })
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := endedWith(t, "WaitAcked", out); !errors.Is(err, a.Err()) {
			t.Error(err)
		}
	})
}

// TestWaitReadableIsExact: the wait returns with the last of n bytes.
func TestWaitReadableIsExact(t *testing.T) {
	t.Parallel()
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b6.Addr())
	rnd := rand.New(rand.NewPCG(2, 2))
	buf := make([]byte, 64<<10)
	for i := range repeats {
		n := 1 + rnd.IntN(6_000)
		done := make(chan error, 1)
		go func() {
			err := r.WaitReadable(context.Background(), n)
			if q := r.ReceiveBuffer().Queued; err == nil && q != n {
				t.Errorf("round %d: woken with %d of %d bytes", i, q, n)
			}
			done <- err
		}()
		for left := n; left > 0; {
			m := min(left, 1+rnd.IntN(n))
			if _, err := w.Write(buf[:m]); err != nil {
				t.Fatal(err)
			}
			left -= m
			yield(rnd)
		}
		if err := endedWith(t, "WaitReadable", done); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWaitWritableIsExact: with a mark, the socket becomes writable when less
// than that is unsent, and not before.
func TestWaitWritableIsExact(t *testing.T) {
	t.Parallel()
	const mark = 4 << 10
	a, b := pair(t, fixed())
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: 8 << 10}))
	if err := w.SetWriteLowWater(mark); err != nil {
		t.Fatal(err)
	}
	mss, err := w.MaxSegment()
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	buf := make([]byte, 16<<10)
	for i := range repeats {
		// The peer's window is closed and the mark is reached.
		eventually(t, "the mark is reached", func() bool {
			_, err := w.Socket().Send(buf, 0)
			if st := w.SendBuffer(); st.Unsent >= mark+mss {
				t.Fatalf("round %d: %d unsent with a mark of %d", i, st.Unsent, mark)
			} else {
				return errors.Is(err, syscall.EAGAIN) && st.Unsent >= mark && st.Unsent == st.Queued
			}
			return false
		})
		done := make(chan error, 1)
		go func() {
			err := w.WaitWritable(context.Background())
			if u := w.SendBuffer().Unsent; err == nil && u >= mark {
				t.Errorf("round %d: woken with %d unsent", i, u)
			}
			done <- err
		}()
		yield(rnd)
		if _, err := io.ReadFull(r, buf[:r.ReceiveBuffer().Queued]); err != nil {
			t.Fatal(err)
		}
		if err := endedWith(t, "WaitWritable", done); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// TestWaitUnsentIsExact: the wait returns when the last but n have been sent.
func TestWaitUnsentIsExact(t *testing.T) {
	t.Parallel()
	a, b := pair(t, fixed())
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: 8 << 10}))
	rnd := rand.New(rand.NewPCG(4, 4))
	buf := make([]byte, 16<<10)
	for i := range repeats {
		size := 8<<10 + 1 + rnd.IntN(7<<10)
		n := rnd.IntN(size)
		if _, err := w.Write(buf[:size]); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			err := w.WaitUnsent(context.Background(), n)
			if u := w.SendBuffer().Unsent; err == nil && u > n {
				t.Errorf("round %d: woken with %d unsent, not %d", i, u, n)
			}
			done <- err
		}()
		yield(rnd)
		if _, err := io.ReadFull(r, buf[:size]); err != nil {
			t.Fatal(err)
		}
		if err := endedWith(t, "WaitUnsent", done); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// TestWaitUnsentHearsOfNagle: what Nagle's algorithm, or MsgMore, has held back
// and a later call sends is noticed though the peer stays silent.
func TestWaitUnsentHearsOfNagle(t *testing.T) {
	for name, release := range map[string]func(w *socketapi.TCPConn) error{
		"SetNoDelay": func(w *socketapi.TCPConn) error { return w.SetNoDelay(true) },
		"Write": func(w *socketapi.TCPConn) error {
			mss, err := w.MaxSegment()
			if err == nil {
				_, err = w.Write(make([]byte, mss-10))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _, lb := linked(t, nil, fixed())
			w, _ := connect(t, a, b, b4.Addr())
			if err := w.SetNoDelay(false); err != nil {
				t.Fatal(err)
			}
			lb.hold()
			for range 2 { // the first goes out, the second waits for its acknowledgement
				if _, err := w.Write(make([]byte, 10)); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.SendBuffer().Unsent; got != 10 {
				t.Fatalf("%d unsent", got)
			}
			out := waitAside(func() error { return w.WaitUnsent(context.Background(), 0) })
			eventually(t, "it waits", func() bool { return socketapi.Waits(w) })
			if err := release(w); err != nil {
				t.Fatal(err)
			}
			if err := endedWith(t, "WaitUnsent", out); err != nil {
				t.Error(err)
			}
			eventually(t, "the peer's acknowledgements are withheld", func() bool { return lb.holding() > 0 })
		})
	}
}

// TestWaitsEnd by context and by deadline: cancelled, too late before, too late
// meanwhile.
func TestWaitsEnd(t *testing.T) {
	a, b, _, lb := linked(t, nil, fixed())
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: 8 << 10}))
	if _, err := w.Write(make([]byte, 30_000)); err != nil {
		t.Fatal(err)
	}
	_ = w.SetWriteLowWater(100)
	lb.hold()
	defer lb.letGo()
	_ = r
	for name, c := range map[string]struct {
		wait func(context.Context) error
		set  func(time.Time) error
	}{
		"WaitReadable": {func(ctx context.Context) error { return w.WaitReadable(ctx, 1) }, w.SetReadDeadline},
		"WaitWritable": {w.WaitWritable, w.SetWriteDeadline},
		"WaitUnsent":   {func(ctx context.Context) error { return w.WaitUnsent(ctx, 0) }, w.SetWriteDeadline},
		"WaitAcked":    {w.WaitAcked, w.SetWriteDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			bg := context.Background()
			ctx, cancel := context.WithCancel(bg)
			out := waitAside(func() error { return c.wait(ctx) })
			cancel()
			nested(t, endedWith(t, name, out), "wait", context.Canceled)

			ctx, cancel = context.WithTimeout(bg, time.Millisecond)
			defer cancel()
			err := c.wait(ctx)
			nested(t, err, "wait", context.DeadlineExceeded)
			nested(t, err, "wait", os.ErrDeadlineExceeded)

			for _, d := range []time.Duration{-time.Second, time.Millisecond} {
				out = waitAside(func() error { return c.wait(bg) })
				_ = c.set(time.Now().Add(d))
				err = endedWith(t, name, out)
				nested(t, err, "wait", os.ErrDeadlineExceeded)
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("%v is no timeout", err)
				}
				nested(t, c.wait(bg), "wait", os.ErrDeadlineExceeded) // it has passed before
			}
			_ = c.set(time.Time{})
			ctx, cancel = context.WithTimeout(bg, time.Millisecond)
			defer cancel()
			nested(t, c.wait(ctx), "wait", context.DeadlineExceeded) // and applies no more
		})
	}
}

// TestWaitsBesideCalls runs all waits while Write and Read run: nobody takes a
// wake-up that was another's.
func TestWaitsBesideCalls(t *testing.T) {
	const size = 1 << 20
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, wait := range []func(context.Context) error{
		w.WaitAcked, w.WaitWritable,
		func(ctx context.Context) error { return w.WaitUnsent(ctx, 1000) },
		func(ctx context.Context) error { return r.WaitReadable(ctx, 100) },
	} {
		for range 2 {
			wg.Go(func() {
				for wait(ctx) == nil && ctx.Err() == nil {
					runtime.Gosched() // what holds already returns at once
				}
			})
		}
	}
	wg.Go(func() {
		for sent := 0; sent < size; sent += 10_000 {
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				t.Error(err)
			}
		}
		_ = w.CloseWrite()
	})
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	n, err := io.Copy(io.Discard, struct{ io.Reader }{r})
	if err != nil || n < size {
		t.Errorf("%d bytes: %v; %+v %+v", n, err, w.SendBuffer(), r.ReceiveBuffer())
		_ = w.Abort()
	} else if err := w.WaitAcked(within(t)); err != nil {
		t.Error(err)
	}
	stop()
	wg.Wait()
}
