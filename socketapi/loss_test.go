package socketapi_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"tapstack/netem"
	"tapstack/socketapi"
	"tapstack/stack"
)

// TestLoss: 3 MB over 100 Mbit/s and 10 ms of round trip, which take 0.3 s when
// nothing is lost; of a thousand frames each way some are lost, or some begin an
// outage of up to 30 ms. It all arrives, and the median of ten runs is no
// worse than stands here: in virtual time, so that it is the same everywhere.
// Without engine.MendRecovery outages make it 14 s.
func TestLoss(t *testing.T) {
	for _, c := range []struct {
		perMille int
		outages  bool
		median   time.Duration // at most
	}{
		{10, false, 2200 * time.Millisecond},
		{3, true, 2500 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%d in 1000, outages %v", c.perMille, c.outages), func(t *testing.T) {
			var took []time.Duration
			for seed := range byte(10) {
				took = append(took, lossy(t, seed, c.perMille, c.outages))
			}
			slices.Sort(took)
			t.Logf("%v to %v, median %v", took[0], took[len(took)-1], took[len(took)/2])
			if took[len(took)/2] > c.median {
				t.Errorf("median %v, want %v at most", took[len(took)/2], c.median)
			}
		})
	}
}

// lossy is how long the transfer takes.
func lossy(t *testing.T, seed byte, perMille int, outages bool) time.Duration {
	t.Helper()
	const size = 3 << 20
	clock := stack.NewVirtualClock()
	chance := rand.New(rand.NewPCG(uint64(seed), 7))
	var until time.Time // of an outage
	lose := func(n int) bool {
		if clock.Now().Before(until) {
			return true
		}
		if n < 20 || chance.IntN(1000) >= perMille {
			return false
		}
		if outages {
			until = clock.Now().Add(time.Duration(chance.IntN(30)) * time.Millisecond)
		}
		return true
	}
	there := netem.PathConfig{Delay: 5 * time.Millisecond, Rate: 100_000_000, Lose: lose}
	back := netem.PathConfig{Delay: 5 * time.Millisecond, Lose: func(n int) bool { return n >= 20 && chance.IntN(1000) < perMille }}
	da, db, err := netem.NewLink(&netem.LinkConfig{There: there, Back: back}, clock)
	if err != nil {
		t.Fatal(err)
	}
	a := host(t, da, &stack.Config{Clock: clock, Rand: rand.NewChaCha8([32]byte{1, seed})}, a4)
	b := host(t, db, &stack.Config{Clock: clock, Rand: rand.NewChaCha8([32]byte{2, seed})}, b4)

	var began, ended time.Time
	clock.Go(func() {
		lc := socketapi.ListenConfig{Stack: b, KeepAlive: -1}
		c, err := acceptOne(lc.Listen(context.Background(), "tcp4", ":80"))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		n, err := io.Copy(io.Discard, struct{ io.Reader }{c})
		if n != size || err != nil {
			t.Errorf("%d bytes arrived: %v", n, err)
		}
		ended = clock.Now()
	})
	clock.Go(func() {
		d := socketapi.Dialer{Stack: a, KeepAlive: -1}
		c, err := d.DialContext(context.Background(), "tcp4", "192.0.2.2:80")
		if err != nil {
			t.Error(err)
			return
		}
		began = clock.Now()
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
	clock.Run(5*time.Minute, a, b)
	_ = a.Close()
	_ = b.Close()
	clock.Settle()
	return ended.Sub(began)
}

// acceptOne takes the first connection.
func acceptOne(l net.Listener, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Accept()
}
