package socketapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

const tuneStart, tuneMost = 16 << 10, 3 << 20

// tuneStack has small buffers that may become large.
func tuneStack(noSend, noReceive bool) *stack.Config {
	r := stack.BufferRange{Default: tuneStart, Max: tuneMost}
	return &stack.Config{TCP: stack.TCPConfig{
		SendBuffer: r, ReceiveBuffer: r, NoSendAutotune: noSend, NoAutotune: noReceive,
	}}
}

// tuned makes a connection with the given choices at the dialled and at the
// accepted end.
func tuned(t *testing.T, cfg *stack.Config, d socketapi.Dialer, lc socketapi.ListenConfig) (c, s *socketapi.TCPConn) {
	t.Helper()
	a, b, _, _ := linked(t, &tap.PipeConfig{QueueLen: 4096}, cfg)
	d.Stack, lc.Stack = a, b
	l, err := lc.ListenTCP(within(t), "tcp", netip.AddrPortFrom(b4.Addr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := d.DialContext(within(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = s.Close() })
	return conn.(*socketapi.TCPConn), s
}

// largestSend moves n bytes from w to r, and returns the largest size that w's
// send buffer was seen to have: it never shrinks by itself.
func largestSend(t *testing.T, w, r *socketapi.TCPConn, n int) (largest int) {
	t.Helper()
	out := waitAside(func() error {
		piece := make([]byte, 64<<10)
		for left := n; left > 0; left -= len(piece) {
			if _, err := w.Write(piece[:min(left, len(piece))]); err != nil {
				return err
			}
			snd := w.SendBuffer()
			largest = max(largest, snd.Size, snd.Queued)
		}
		return nil
	})
	_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := endedWith(t, "Write", out); err != nil {
		t.Fatal(err)
	}
	return largest
}

// TestSendAutotune: whoever chooses, for the stack, a dialler, a listener or a
// connection, the send buffer grows as far as that says and no further, and says
// so itself.
func TestSendAutotune(t *testing.T) {
	t.Parallel()
	const off = socketapi.AutotuneOff
	for _, c := range []struct {
		stackOff bool
		limit    int // of Dialer and ListenConfig
		then     int // of SetSendAutotune, unless it is never
		most     int
	}{
		{false, 0, never, tuneMost},
		{true, 0, never, 0},
		{false, 100_000, never, 100_000},
		{true, 100_000, never, 100_000},
		{false, off, never, 0},
		{false, 1 << 40, never, tuneMost},
		{true, 0, 0, tuneMost},
		{false, off, 50_000, 50_000},
		{false, 50_000, 0, tuneMost},
		{false, 0, off, 0},
		{false, 1000, never, 1000}, // which it has already
	} {
		for _, accepted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%+v, accepted %v", c, accepted), func(t *testing.T) {
				w, r := tuned(t, tuneStack(c.stackOff, false),
					socketapi.Dialer{SendAutotune: c.limit}, socketapi.ListenConfig{SendAutotune: c.limit})
				if accepted {
					w, r = r, w
				}
				if c.then != never {
					if err := w.SetSendAutotune(c.then); err != nil {
						t.Fatal(err)
					}
				}
				if got := w.SendBuffer(); got.AutotuneMax != c.most || got.Size != tuneStart {
					t.Errorf("size %d, may grow to %d, want %d and %d", got.Size, got.AutotuneMax, tuneStart, c.most)
				}
				largest := largestSend(t, w, r, 1<<20)
				switch grows := c.most > tuneStart; {
				case grows && (largest <= tuneStart || largest > c.most):
					t.Errorf("grew to %d, want more than %d and at most %d", largest, tuneStart, c.most)
				case !grows && largest != tuneStart:
					t.Errorf("it has %d, want %d for ever", largest, tuneStart)
				}
			})
		}
	}
}

const never = -1 << 40

// TestAutotuneIsOver: a size that was set is kept, and nothing brings autotuning
// back.
func TestAutotuneIsOver(t *testing.T) {
	w, r := tuned(t, tuneStack(false, false), socketapi.Dialer{SendAutotune: 1 << 20}, socketapi.ListenConfig{})
	if err := w.SetWriteBuffer(20_000); err != nil {
		t.Fatal(err)
	}
	if err := w.SetReadBuffer(30_000); err != nil {
		t.Fatal(err)
	}
	if snd, rcv := w.Buffers(); snd.AutotuneMax != 0 || rcv.AutotuneMax != 0 {
		t.Errorf("may grow to %d and %d", snd.AutotuneMax, rcv.AutotuneMax)
	}
	if largest := largestSend(t, w, r, 1<<20); largest != 20_000 {
		t.Errorf("grew to %d", largest)
	}
	if err := w.SetSendAutotune(0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("after SO_SNDBUF: %v", err)
	}
	if err := w.SetReceiveAutotune(0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("after SO_RCVBUF: %v", err)
	}
	a, _ := pair(t, nil)
	udp, err := socketapi.NewSocket(a, "udp4")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if err := udp.SetSendAutotune(0); !errors.Is(err, syscall.ENOPROTOOPT) {
		t.Errorf("UDP: %v", err)
	}
	var none *socketapi.TCPConn
	if err := none.SetSendAutotune(0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("nil: %v", err)
	}
}

// TestReceiveAutotuneIsChosen: the receive side has the same choices.
func TestReceiveAutotuneIsChosen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stackOff    bool
		limit, most int
	}{
		{false, 0, tuneMost},
		{true, 0, 0},
		{true, 200_000, 200_000},
		{false, socketapi.AutotuneOff, 0},
	} {
		for _, accepted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%+v, accepted %v", c, accepted), func(t *testing.T) {
				r, w := tuned(t, tuneStack(false, c.stackOff),
					socketapi.Dialer{ReceiveAutotune: c.limit}, socketapi.ListenConfig{ReceiveAutotune: c.limit})
				if accepted {
					r, w = w, r
				}
				if got := r.ReceiveBuffer(); got.AutotuneMax != c.most {
					t.Errorf("may grow to %d, want %d", got.AutotuneMax, c.most)
				}
				largestSend(t, w, r, 1<<20)
				switch size := r.ReceiveBuffer().Size; {
				case c.most != 0 && (size <= tuneStart || size > c.most):
					t.Errorf("grew to %d, want more than %d and at most %d", size, tuneStart, c.most)
				case c.most == 0 && size != tuneStart:
					t.Errorf("it has %d, want %d for ever", size, tuneStart)
				}
			})
		}
	}
}
