package drill_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"tapstack/netem"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap/capture"
)

// world are two stacks in virtual time, joined by a link that is captured.
type world struct {
	clock  *stack.VirtualClock
	a, b   *stack.Stack
	remote netip.AddrPort
	file   memory
	stop   func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: stack.NewVirtualClock(), remote: netip.MustParseAddrPort("10.0.0.2:80")}
	lost := func(n int) bool { return n%37 == 0 }
	devA, devB, err := netem.NewLink(&netem.LinkConfig{
		There: netem.PathConfig{Delay: 3 * time.Millisecond, Rate: 50e6, Lose: lost},
		Back:  netem.PathConfig{Delay: 3 * time.Millisecond, Rate: 50e6, Lose: lost},
	}, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	captured := capture.Wrap(devA)
	c, err := captured.Start(&w.file, &capture.Config{Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	host := func(seed byte, dev *stack.NICConfig) *stack.Stack {
		s, err := stack.New(&stack.Config{Clock: w.clock, Rand: chance(seed)})
		if err != nil {
			t.Fatal(err)
		}
		device := devB
		if seed == 1 {
			device = captured
		}
		if _, err := s.AddNIC(device, dev); err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.a = host(1, &stack.NICConfig{HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
	w.b = host(2, &stack.NICConfig{HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}})
	w.stop = func() {
		_, _ = c.Stop()
		w.a.Close()
		w.b.Close()
		w.clock.Settle() // those that still wait learn of it
	}
	return w
}

// chance is randomness that is the same every time.
func chance(seed byte) io.Reader { return &steady{n: uint32(seed)} }

// serve echoes every connection, in an application for each.
func (w *world) serve(t *testing.T) {
	lc := socketapi.ListenConfig{Stack: w.b}
	l, err := lc.Listen(context.Background(), "tcp4", ":80")
	if err != nil {
		t.Error(err)
		return
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		w.clock.Go(func() {
			defer c.Close()
			_, _ = io.Copy(onlyWriter{c}, onlyReader{c})
		})
	}
}

// onlyReader and onlyWriter leave io.Copy no other way.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }

// ask sends and receives, in two applications.
func (w *world) ask(t *testing.T, n int, done *int) {
	d := socketapi.Dialer{Stack: w.a}
	c, err := d.DialContext(context.Background(), "tcp4", w.remote.String())
	if err != nil {
		t.Error(err)
		return
	}
	w.clock.Go(func() {
		for range 3 {
			if _, err := c.Write(make([]byte, n)); err != nil {
				t.Error(err)
			}
			w.clock.Sleep(time.Millisecond)
		}
		_ = c.(*socketapi.TCPConn).CloseWrite()
	})
	got, err := io.Copy(io.Discard, onlyReader{c})
	if err != nil || got != int64(3*n) {
		t.Errorf("%d bytes, %v; want %d", got, err, 3*n)
	}
	_ = c.Close()
	*done++
}

// scenario has four clients at once, each in two goroutines, and a server with
// one for each; whoever came first would send first, if they were let.
func scenario(t *testing.T) []byte {
	w := newWorld(t)
	done := 0
	w.clock.Go(func() { w.serve(t) })
	const clients = 4
	for i := range clients {
		w.clock.Go(func() { w.ask(t, 500+900*i, &done) })
	}
	w.clock.Run(10*time.Second, w.a, w.b)
	if done != clients {
		t.Errorf("%d of %d clients are done after ten seconds", done, clients)
	}
	w.stop()
	return w.file.Bytes()
}

// TestApplications runs the scenario many times on several numbers of
// processors and demands the same capture, byte for byte.
func TestApplications(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runs := *repeat
	if raceEnabled {
		runs = min(runs, 2)
	}
	var want [32]byte
	var first []byte
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		for i := range runs {
			file := scenario(t)
			if t.Failed() {
				t.FailNow()
			}
			if first == nil {
				first, want = bytes.Clone(file), sha256.Sum256(file)
			}
			if sha256.Sum256(file) != want {
				t.Fatalf("run %d with GOMAXPROCS %d has another capture", i, n)
			}
		}
	}
	const least = 50
	if frames := countFrames(t, first); frames < least {
		t.Errorf("the scenario has %d frames; it should have %d to be one", frames, least)
	}
}

// steady is a linear congruential generator.
type steady struct {
	mu sync.Mutex
	n  uint32
}

func (s *steady) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p {
		s.n = s.n*1664525 + 1013904223
		p[i] = byte(s.n >> 24)
	}
	return len(p), nil
}
