package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestConnsLimit: one connection too many is reset, the others are not
// disturbed, and there is room again when one has ended.
func TestConnsLimit(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.Conns = 2
	s, err := ForwardTCP(TCPForward{Options: o, Target: w.echoServer(t, 0)})
	ending(t, s, err)
	one, two := w.dial(t, s), w.dial(t, s)
	echoes(t, one, "one")
	echoes(t, two, "two")
	w.wantRejected(t, s)
	wantCount(t, s, "one refused", func(s Snapshot) bool { return s.Refused[CauseLimit] == 1 && s.Active == 2 })
	echoes(t, two, "two")
	_ = one.Close()
	wantCount(t, s, "room", func(s Snapshot) bool { return s.Active == 1 })
	echoes(t, w.dial(t, s), "three")
}

// TestIdle: what moves nothing is reset, what moves something in one direction
// is not.
func TestIdle(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.Idle = 500 * time.Millisecond
	s, err := ForwardTCP(TCPForward{Options: o, Target: w.echoServer(t, 0)})
	ending(t, s, err)
	idle, busy := w.dial(t, s), w.dial(t, s)
	echoes(t, idle, "x")
	stop := make(chan struct{})
	gone := make(chan struct{})
	go func() { defer close(gone); wantReset(t, idle) }()
	go func() { <-gone; close(stop) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			echoes(t, busy, "y")
		case <-stop:
			running = false
		}
	}
	echoes(t, busy, "z")
	if got := s.Snapshot(); got.Ended[CauseIdle] != 1 || got.Active != 1 {
		t.Errorf("%+v", got)
	}
}

// lacking is a listener that is out of descriptors at first.
type lacking struct {
	net.Listener
	left atomic.Int64
}

func (l *lacking) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestOutOfDescriptors: what passes does not end a service.
func TestOutOfDescriptors(t *testing.T) {
	for name, start := range map[string]func(Options) (*Service, error){
		"socks5": func(o Options) (*Service, error) { return SOCKS5(SOCKS5Config{Options: o}) },
		"http":   func(o Options) (*Service, error) { return HTTP(HTTPConfig{Options: o}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := stacks(t)
			listen := w.near.Listen
			w.near.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
				l, err := listen(ctx, network, address)
				lacks := &lacking{Listener: l}
				lacks.left.Store(2)
				return lacks, err
			}
			s, err := start(w.options(0))
			ending(t, s, err)
			_ = w.dial(t, s)
			wantCount(t, s, "accepted", func(s Snapshot) bool { return s.Active == 1 })
		})
	}
}

// blackhole is a network in which one address never answers.
func blackhole(n Network, address string) Network {
	dial := n.DialContext
	n.DialContext = func(ctx context.Context, network, a string) (net.Conn, error) {
		if a == address {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx, network, a)
	}
	return n
}

// TestDialTimeout: a target that does not answer ends in a reset after
// Limits.Dial.
func TestDialTimeout(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.Dial = 50 * time.Millisecond
	// On the link, and nobody's: the neighbour does not answer.
	s, err := ForwardTCP(TCPForward{Options: o, Target: "192.0.2.99:80"})
	ending(t, s, err)
	w.wantRejected(t, s)
	wantCount(t, s, "a timeout", refused(CauseTimeout))
}

// TestShutdownDrains: what is relayed may go on to its end, while nothing new
// is let in.
func TestShutdownDrains(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			s := forward(t, w, 0, w.echoServer(t, 0))
			c := w.dial(t, s)
			echoes(t, c, "before")
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(within(t)) }()
			eventually(t, "nobody listens", func() bool {
				again, err := w.client.DialContext(within(t), "tcp", s.Addr().String())
				if err == nil {
					reset(again)
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
			echoes(t, c, "during")
			select {
			case err := <-done:
				t.Fatalf("Shutdown has returned: %v", err)
			default:
			}
			_ = c.CloseWrite()
			wantEOF(t, c, "")
			_ = c.Close()
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := s.Shutdown(within(t)); err != nil {
				t.Errorf("second Shutdown: %v", err)
			}
		})
	}
}

// TestShutdownInTime: what has not ended by then is reset, and counted.
func TestShutdownInTime(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			s := forward(t, w, 0, w.echoServer(t, 0))
			one, two := w.dial(t, s), w.dial(t, s)
			echoes(t, one, "1")
			echoes(t, two, "2")
			ctx, cancel := context.WithCancel(within(t))
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(ctx) }()
			eventually(t, "it drains", func() bool { return s.fresh.Err() != nil })
			echoes(t, one, "3")
			cancel()
			err := <-done
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 connections were reset") {
				t.Errorf("Shutdown: %v", err)
			}
			wantReset(t, one)
			wantReset(t, two)
			if got := s.Snapshot(); got.Ended[CauseShutdown] != 2 || got.Active != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestShutdownWhileDialling: who is not connected yet is reset at once.
func TestShutdownWhileDialling(t *testing.T) {
	w := stacks(t)
	w.far = blackhole(w.far, "192.0.2.77:1")
	s := forward(t, w, 0, "192.0.2.77:1")
	c := w.dial(t, s)
	wantCount(t, s, "accepted", func(s Snapshot) bool { return s.Active == 1 })
	if err := s.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wantReset(t, c)
	if got := s.Snapshot(); got.Refused[CauseShutdown] != 1 {
		t.Errorf("%+v", got)
	}
}

// TestShutdownWaitsForAcks: bytes that were relayed before Shutdown has returned
// are with the target, so that the stack may be closed.
func TestShutdownWaitsForAcks(t *testing.T) {
	w := stacks(t)
	l := w.listen(t, 0)
	s := forward(t, w, 0, l.Addr().String())
	c, target := w.dial(t, s), accept(t, l)
	const size = 1 << 20
	go func() {
		_, _ = io.CopyN(c, zeros{}, size)
		_ = c.CloseWrite()
	}()
	_ = target.CloseWrite()
	wantEOF(t, c, "")
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(within(t)) }()
	if n, err := io.Copy(io.Discard, target); n != size || err != nil {
		t.Errorf("%d of %d bytes: %v", n, size, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := w.farStack.Close(); err != nil {
		t.Error(err)
	}
}

// safeBuffer is a bytes.Buffer that several goroutines write to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestHostileInputIsLoggedOnce: a hundred clients that send garbage make one
// line for the operator, and a hundred for whoever counts.
func TestHostileInputIsLoggedOnce(t *testing.T) {
	w := stacks(t)
	var out safeBuffer
	o := w.options(0)
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	s, err := SOCKS5(SOCKS5Config{Options: o})
	ending(t, s, err)
	for range 100 {
		c := w.dial(t, s)
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		wantReset(t, c)
	}
	wantCount(t, s, "all refused", func(s Snapshot) bool { return s.Refused[CauseGarbage] == 100 })
	if got := strings.Count(out.String(), "\n"); got != 1 || !strings.Contains(out.String(), "cause=garbage") {
		t.Errorf("%d lines:\n%s", got, out.String())
	}
}

func TestThrottle(t *testing.T) {
	l := newThrottle(nil, &Options{}, "test")
	now := time.Unix(1_000_000, 0)
	for i, want := range []string{"0 true", "0 false", "0 false", "2 true"} {
		missed, ok := l.turn(CauseAuth, now)
		if got := fmt.Sprint(missed, ok); got != want {
			t.Errorf("turn %d: %s, want %s", i, got, want)
		}
		if i == 2 {
			now = now.Add(logInterval)
		}
	}
	if _, ok := l.turn(CauseName, now); !ok {
		t.Error("another cause had to wait")
	}
}

func TestRecent(t *testing.T) {
	r := newRecent[string, int](2)
	r.put("a", 1)
	r.put("b", 2)
	r.get("a")
	if old, evicted := r.put("c", 3); !evicted || old != 2 {
		t.Errorf("evicted %d, %v; want b, which was not used for longest", old, evicted)
	}
	if _, evicted := r.put("a", 4); evicted {
		t.Error("replacing took an entry out")
	}
	if v, ok := r.get("a"); v != 4 || !ok {
		t.Errorf("%d, %v", v, ok)
	}
	r.remove("a")
	r.remove("nothing")
	if _, ok := r.get("a"); ok || r.len() != 1 {
		t.Errorf("%v, %d left", ok, r.len())
	}
}
