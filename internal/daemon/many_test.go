package daemon

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/cli"
	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// many makes n connections to the daemon's discard service.
func (c *controlled) many(t testing.TB, n int) {
	t.Helper()
	d := socketapi.Dialer{Stack: c.peer}
	conns := make([]net.Conn, n)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				conn, err := d.DialContext(t.Context(), "tcp", "192.0.2.2:9")
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = conn
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, conn := range conns {
			if tc, ok := conn.(*socketapi.TCPConn); ok {
				_ = tc.Abort()
			}
		}
	})
}

type lineCounter int

func (n *lineCounter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' {
			*n++
		}
	}
	return len(p), nil
}

// TestManySockets lists a few thousand, whole.
func TestManySockets(t *testing.T) {
	c := newControlled(t, plain)
	const n = 2000
	c.many(t, n)
	var lines lineCounter
	if err := (&cli.SS{TCP: true, NoHeader: true}).Run(within(t), c.api, &lines); err != nil || lines != n {
		t.Errorf("%d lines, %v", lines, err)
	}
	list, err := c.api.Sockets(within(t), &api.SocketQuery{TCP: true, States: []string{"ESTABLISHED"}, Memory: true, Info: true})
	if err != nil || len(list) != n || len(list[n-1].Info) < 20 {
		t.Errorf("%d sockets, %v", len(list), err)
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSS is tapstack ss of ten thousand connections, without the start of
// the process.
func BenchmarkSS(b *testing.B) {
	c := newControlled(b, plain)
	const n = 10_000
	c.many(b, n)
	for _, one := range []struct {
		name string
		o    cli.SS
	}{{"t", cli.SS{TCP: true}}, {"tm", cli.SS{TCP: true, Memory: true}}, {"tmi", cli.SS{TCP: true, Memory: true, Info: true}}} {
		b.Run(one.name, func(b *testing.B) {
			before := cpuTime(b)
			defer func() { b.ReportMetric((cpuTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op") }()
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				var lines lineCounter
				if err := one.o.Run(ctx, c.api, &lines); err != nil || lines < n {
					b.Fatalf("%d lines, %v", lines, err)
				}
				cancel()
			}
		})
	}
}

// BenchmarkWatchSockets is one look of tapstack top, server and client, at a
// thousand and at ten thousand connections.
func BenchmarkWatchSockets(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := newControlled(b, plain)
			c.many(b, n)
			looks, before := 0, cpuTime(b)
			enough := errors.New("enough")
			err := c.api.WatchSockets(b.Context(), &api.SocketWatchQuery{Interval: 50 * time.Millisecond, Limit: 50}, func(w *api.SocketWatch) error {
				if looks++; looks == b.N || w.Matched < n {
					return enough
				}
				return nil
			})
			if !errors.Is(err, enough) || looks < b.N {
				b.Fatalf("%d looks, %v", looks, err)
			}
			b.ReportMetric((cpuTime(b)-before).Seconds()*1000/float64(looks), "cpu-ms/look")
		})
	}
}
