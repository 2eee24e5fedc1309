package socketapi_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// shortfall is the worst-case error of "a buffer of n bytes lets the peer have n
// bytes in flight and unread": less than one segment of mss bytes. Segments
// smaller than their bookkeeping fill the buffer's memory first, which is 2n
// bytes: what it holds of them is sure.
func shortfall(n, mss int) int {
	if mss >= bookkeeping {
		return mss
	}
	return n - 2*n/(mss+bookkeeping)*mss
}

// bookkeeping is what a segment costs besides its payload, at most: gVisor's
// tcp.SegOverheadSize, and the end of the chunk that the payload is in.
const bookkeeping = 650

// fill writes to w until the buffer at r takes no more, or has what is sure and
// the peer's memory is full: then what it sends is dropped and sent again.
func fill(t *testing.T, w *socketapi.Socket, r *socketapi.TCPConn, sure int, drops bool) (rcv socketapi.ReceiveBuffer) {
	t.Helper()
	chunk := make([]byte, 64<<10)
	eventually(t, "both buffers are full", func() bool {
		_, err := w.Send(chunk, 0)
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			t.Fatal(err)
		}
		snd, _ := w.Buffers()
		rcv = r.ReceiveBuffer()
		if drops {
			return rcv.Queued >= sure
		}
		// A window that the scale rounds down to none refuses what is under
		// way already: that is then sent again and again until somebody reads.
		return snd.Free == 0 && snd.Window == 0 && rcv.Window < rcv.Size/2
	})
	return rcv
}

// TestReceiveBufferHoldsN: with a receive buffer of N bytes set before the
// handshake, on either side, the peer gets N bytes out of its hands while nobody
// reads.
func TestReceiveBufferHoldsN(t *testing.T) {
	t.Parallel()
	for _, mtu := range []int{576, 1500, 9000, 65521} {
		a, b, _, _ := linked(t, &tap.PipeConfig{MTU: mtu}, nil)
		addrs := map[string]netip.Addr{"IPv4": b4.Addr(), "IPv6": b6.Addr()}
		if mtu < tap.MinMTU6 {
			delete(addrs, "IPv6")
		}
		for name, addr := range addrs {
			for _, n := range []int{2 << 10, 10_000, 64 << 10, 500_000, 2 << 20} {
				t.Run(fmt.Sprintf("MTU %d, %s, %d bytes", mtu, name, n), func(t *testing.T) {
					size := options(map[socketapi.Option]int{socketapi.SO_RCVBUF: n, socketapi.SO_SNDBUF: 64 << 10})
					// A connection for each direction: gVisor ignores the ACKs of
					// a peer whose segments a window rounded down to 0 refuses
					// (receiver.acceptable), so that one full direction may
					// hold the other up until somebody reads.
					for _, accepted := range []bool{false, true} {
						if accepted && n > 64<<10 && mtu != 9000 {
							continue
						}
						w, r := connectWith(t, a, b, addr, size, size)
						if accepted {
							w, r = r, w
						}
						holds(t, w, r, n)
						_ = w.Abort()
						_ = r.Abort()
					}
				})
			}
		}
	}
}

func holds(t *testing.T, w, r *socketapi.TCPConn, n int) {
	t.Helper()
	if got := r.ReceiveBuffer().Size; got != n {
		t.Errorf("asked for %d, has %d", n, got)
	}
	mss, err := w.MaxSegment()
	if err != nil {
		t.Fatal(err)
	}
	low := n - shortfall(n, mss)
	rcv := fill(t, w.Socket(), r, low, mss < bookkeeping)
	t.Logf("mss %d, size %d: queued %d, short by %d", mss, n, rcv.Queued, n-rcv.Queued)
	if rcv.Queued > n {
		t.Errorf("%d bytes in a buffer of %d", rcv.Queued, n)
	}
	if rcv.Queued < low {
		t.Errorf("%d bytes in a buffer of %d: at least %d were promised for segments of %d", rcv.Queued, n, low, mss)
	}
	if rcv.HighWater != rcv.Queued {
		t.Errorf("high water %d with %d queued", rcv.HighWater, rcv.Queued)
	}
}

// TestReceiveBufferHoldsKernels is the same with Linux as the sending peer.
func TestReceiveBufferHoldsKernels(t *testing.T) {
	ns := netnstest.Need(t)
	for _, mtu := range []int{1500, 9000} {
		cfg := tap.Config{MTU: mtu, Host: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24"), netip.MustParsePrefix("fd01::1/64")}}
		var dev tap.Device
		if err := ns.Do(func() (err error) { dev, err = tap.Open(&cfg); return err }); err != nil {
			netnstest.Skip(t, err)
		}
		s := host(t, dev, nil, netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd01::2/64"))
		for _, addr := range []string{"10.1.0.2:0", "[fd01::2]:0"} {
			for _, n := range []int{2 << 10, 10_000, 64 << 10, 500_000, 2 << 20} {
				t.Run(fmt.Sprintf("MTU %d, %s, %d bytes", mtu, addr, n), func(t *testing.T) {
					lc := socketapi.ListenConfig{Stack: s, Control: func(_, _ string, so *socketapi.Socket) error { return so.SetOption(socketapi.SO_RCVBUF, n) }}
					l, err := lc.ListenTCP(within(t), "tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
					far, err := ns.DialContext(within(t), "tcp", l.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					defer far.Close()
					r, err := l.AcceptTCP()
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					kernelHolds(t, far, r, n)
				})
			}
		}
		_ = s.Close()
	}
}

func kernelHolds(t *testing.T, far net.Conn, r *socketapi.TCPConn, n int) {
	t.Helper()
	mss, err := r.MaxSegment()
	if err != nil {
		t.Fatal(err)
	}
	out := waitAside(func() error {
		_, err := far.Write(make([]byte, n+(1<<20)))
		return err
	})
	low := n - shortfall(n, mss)
	eventually(t, fmt.Sprintf("%d bytes", low), func() bool { return r.ReceiveBuffer().Queued >= low })
	// What else fits comes now, or with a window probe.
	for range 20 {
		if err := r.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := r.WaitReadable(t.Context(), n); !errors.Is(err, os.ErrDeadlineExceeded) && err != nil {
			t.Fatal(err)
		}
	}
	rcv := r.ReceiveBuffer()
	t.Logf("mss %d, size %d: queued %d, short by %d, window %d", mss, n, rcv.Queued, n-rcv.Queued, rcv.Window)
	if rcv.Queued > n {
		t.Errorf("%d bytes in a buffer of %d", rcv.Queued, n)
	}
	_ = far.SetDeadline(time.Now())
	if err := <-out; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// TestReceiveAutotune: the buffer grows with what is read, and neither it, nor
// the window, nor what is queued passes the maximum between any two reads.
func TestReceiveAutotune(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{100_000, 300_000, 0} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			a, b := pair(t, &stack.Config{TCP: stack.TCPConfig{
				SendBuffer:    stack.BufferRange{Default: 4 << 20},
				ReceiveBuffer: stack.BufferRange{Default: 32 << 10},
			}})
			bound := limit
			if limit == 0 {
				bound = 2 << 20
			}
			w, r := connectWith(t, a, b, b4.Addr(), nil, func(so *socketapi.Socket) error { return so.SetReceiveAutotune(limit) })
			out := waitAside(func() error { _, err := w.Write(make([]byte, 2<<20)); return errors.Join(err, w.CloseWrite()) })
			look := readerFunc(func(p []byte) (int, error) {
				if rcv := r.ReceiveBuffer(); rcv.Size > bound || rcv.Window+rcv.Queued > bound {
					t.Errorf("size %d, window %d, queued %d with a maximum of %d", rcv.Size, rcv.Window, rcv.Queued, bound)
				}
				return r.Read(p[:min(len(p), 4<<10)])
			})
			_ = r.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.Copy(io.Discard, look); err != nil {
				t.Error(err)
			}
			if err := endedWith(t, "Write", out); err != nil {
				t.Error(err)
			}
			if got := r.ReceiveBuffer().Size; got <= 32<<10 || limit != 0 && got > limit {
				t.Errorf("the buffer has %d, began with %d and may have %d", got, 32<<10, limit)
			} else {
				t.Logf("size %d", got)
			}
			if err := r.SetReadBuffer(50_000); err != nil {
				t.Fatal(err)
			}
			if err := r.Socket().SetReceiveAutotune(limit); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("after SO_RCVBUF: %v", err)
			}
		})
	}
}

// readerFunc is a function as io.Reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestHighWater: the marks keep the most that any look has seen.
func TestHighWater(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	taken := writeUntilFull(t, w)
	snd, rcv := w.SendBuffer(), r.ReceiveBuffer()
	if snd.HighWater != snd.Queued || rcv.HighWater != rcv.Queued {
		t.Errorf("full: %+v %+v", snd, rcv)
	}
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, int64(taken)); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAcked(within(t)); err != nil {
		t.Fatal(err)
	}
	if s, r := w.SendBuffer(), r.ReceiveBuffer(); s.Queued != 0 || r.Queued != 0 || s.HighWater != snd.HighWater || r.HighWater != rcv.HighWater {
		t.Errorf("empty again: %+v %+v", s, r)
	}
}
