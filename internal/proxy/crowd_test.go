package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is how many clients come at once.
const crowd = 2000

// bad is what a client of a crowd does, and what that is counted as.
type bad struct {
	sends string
	half  bool // a FIN after it
	cause Cause
}

// TestCrowd: thousands of clients at once that say nothing, half of something,
// garbage or too much. All are refused, by cause, with a line in the log for
// each; who was connected before them, and who comes in between, is served.
func TestCrowd(t *testing.T) {
	for name, tc := range map[string]struct {
		start func(o Options) (*Service, error)
		kinds []bad
	}{
		"socks5": {func(o Options) (*Service, error) { return SOCKS5(SOCKS5Config{Options: o}) }, []bad{
			{"", false, CauseStalled},
			{"\x05\x01\x00\x05\x01\x00\x03\xffname", false, CauseStalled},
			{"\x05\x03\x00", true, CauseGone},
			{"GET / HTTP/1.1\r\n\r\n", false, CauseGarbage},
			{strings.Repeat("\x00", 64<<10), false, CauseGarbage},
		}},
		"http": {func(o Options) (*Service, error) { return HTTP(HTTPConfig{Options: o}) }, []bad{
			{"", false, CauseStalled},
			{"CONNECT x:1 HTTP/1.1\r\nHost:", false, CauseStalled},
			{"", true, CauseGone},
			{"\x05\x01\x00\r\n\r\n", false, CauseGarbage},
			{"CONNECT x:1 HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10), false, CauseGarbage},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := worlds(t, nil)[1] // the kernel's clients
			var log safeBuffer
			o := w.options(0)
			o.Limits.Handshake = 3 * time.Second
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			s, err := tc.start(o)
			ending(t, s, err)
			at := w.echoServer(t, 0)
			guest := func() net.Conn {
				c := w.dial(t, s)
				if name == "http" {
					connectHTTP(t, c, at)
				} else {
					connectSOCKS5(t, c, at)
				}
				return c
			}
			first := guest()
			want := make(map[Cause]uint64)
			var all sync.WaitGroup
			for i := range crowd {
				kind := tc.kinds[i%len(tc.kinds)]
				want[kind.cause]++
				all.Go(func() { w.visit(t, s, kind) })
			}
			for i := range 10 {
				echoes(t, first, fmt.Sprint("before ", i))
				echoes(t, guest(), fmt.Sprint("between ", i))
			}
			all.Wait()
			wantCount(t, s, "all refused", func(s Snapshot) bool { return total(s.Refused) == crowd })
			for cause, n := range want {
				if got := s.Snapshot().Refused[cause]; got != n {
					t.Errorf("%s: %d, want %d", cause, got, n)
				}
			}
			if lines := strings.Count(log.String(), "\n"); lines > len(want) {
				t.Errorf("%d lines for %d causes:\n%s", lines, len(want), log.String())
			}
			echoes(t, first, "after")
		})
	}
}

// visit is one client of a crowd, until the service has ended it.
func (w *world) visit(t *testing.T, s *Service, what bad) {
	c, err := w.client.DialContext(within(t), "tcp", s.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, what.sends) // fails where it is ended before
	if what.half {
		_ = closeWrite(c)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client that should end %q: %v", what.cause, err)
	}
}

// TestForwardNeighbours: clients of a target that does not answer wait, for no
// longer than Limits.Dial, and stall nobody else of the same forward.
func TestForwardNeighbours(t *testing.T) {
	const waiting = 50
	w := stacks(t)
	dial, at := w.far.DialContext, w.echoServer(t, 0)
	var dials atomic.Int64
	w.far.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) <= waiting {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx, network, address)
	}
	o := w.options(0)
	o.Limits.Dial = 2 * time.Second
	s, err := ForwardTCP(TCPForward{Options: o, Target: at})
	ending(t, s, err)
	var stuck []conn
	for range waiting {
		stuck = append(stuck, w.dial(t, s))
	}
	eventually(t, "all are being dialled for", func() bool { return dials.Load() == waiting })
	quick := w.dial(t, s)
	echoes(t, quick, "quick")
	for _, c := range stuck {
		wantReset(t, c)
	}
	echoes(t, quick, "still there")
	wantCount(t, s, "timeouts", func(s Snapshot) bool { return s.Refused[CauseTimeout] == waiting && s.Active == 1 })
}

// TestProxyHalfClose: a tunnel carries each side's FIN, and the other direction
// goes on.
func TestProxyHalfClose(t *testing.T) {
	for _, w := range worlds(t, nil) {
		for name, clientFirst := range map[string]bool{"client first": true, "target first": false} {
			for kind, connect := range map[string]func(testing.TB, net.Conn, string){"socks5": connectSOCKS5, "http": connectHTTP} {
				t.Run(w.name+"/"+kind+"/"+name, func(t *testing.T) {
					s := map[string]func(testing.TB, Options, Auth) *Service{"socks5": socks5, "http": httpProxy}[kind](t, w.options(0), nil)
					l := w.listen(t, 0)
					first := w.dial(t, s)
					connect(t, first, l.Addr().String())
					second := accept(t, l)
					if !clientFirst {
						first, second = second, first
					}
					_, err := io.WriteString(first, "question")
					if err = errors.Join(err, first.CloseWrite()); err != nil {
						t.Fatal(err)
					}
					wantEOF(t, second, "question")
					answer := bytes.Repeat([]byte("answer"), 100_000)
					go func() {
						_, _ = second.Write(answer)
						_ = second.Close()
					}()
					wantEOF(t, first, string(answer))
					wantCount(t, s, "an end in peace", ended(CauseClosed))
				})
			}
		}
	}
}
