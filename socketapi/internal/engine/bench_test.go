package engine_test

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
	"tapstack/tap"
)

func BenchmarkRead(b *testing.B) {
	w := newWire(b, tick, stack.Config{})
	a, _ := w.connect(nil)
	b.ReportAllocs()
	for b.Loop() {
		st := engine.Read(a.Endpoint)
		if !st.Synchronized {
			b.Fatal("no connection")
		}
	}
}

// blockSize is what one Write and one Read of a benchmark take: whole small
// segments, and one large.
const blockSize = 45 * mss

// BenchmarkWatch is what a block of a bulk transfer costs, in 45 segments or in
// one, with nobody looking, with a function at both ends, and with an Account
// at both. With -cpu 1 the time is the CPU time of both ends.
func BenchmarkWatch(b *testing.B) {
	for _, pipe := range []struct {
		name string
		cfg  *tap.PipeConfig
	}{{"small", &tap.PipeConfig{}}, {"large", large()}} {
		for _, v := range []struct {
			name  string
			watch func(c *waitable)
		}{
			{"off", func(*waitable) {}},
			{"watched", func(c *waitable) { engine.Watch(c.Endpoint, func() {}) }},
			{"accounted", func(c *waitable) {
				c.acct = engine.NewAccount(c.Endpoint, c.queue, tcpip.NewStdClock())
				engine.Watch(c.Endpoint, c.acct.Handled)
			}},
		} {
			b.Run(pipe.name+"/"+v.name, func(b *testing.B) { bulk(b, pipe.cfg, v.watch, (*waitable).readSome) })
		}
	}
}

// BenchmarkReceive is a bulk transfer in 64 KiB segments whose reader copies,
// or borrows.
func BenchmarkReceive(b *testing.B) {
	b.Run("read", func(b *testing.B) { bulk(b, large(), func(*waitable) {}, (*waitable).readSome) })
	b.Run("borrow", func(b *testing.B) {
		bulk(b, large(), func(*waitable) {}, func(w *waitable, _ []byte) (int, tcpip.Error) {
			c, err := w.borrow(blockSize)
			n := c.Len()
			c.Release()
			return n, err
		})
	})
}

// bulk moves blocks from one stack to another as fast as they go.
func bulk(b *testing.B, pipe *tap.PipeConfig, watch func(c *waitable), read func(w *waitable, buf []byte) (int, tcpip.Error)) {
	b.Helper()
	a, z := pair(b, pipe, nil)
	from, to := newWaitable(a, waiter.WritableEvents), newWaitable(z, waiter.ReadableEvents)
	watch(from)
	watch(to)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for block := make([]byte, blockSize); from.writeAll(block) == nil; {
		}
	}()
	buf, spare := make([]byte, blockSize), 0
	b.ReportAllocs()
	b.SetBytes(blockSize)
	for b.Loop() {
		for spare < blockSize {
			n, err := read(to, buf)
			if err != nil {
				b.Fatal(err)
			}
			spare += n
		}
		spare -= blockSize
	}
	to.Abort()
	<-done
}
