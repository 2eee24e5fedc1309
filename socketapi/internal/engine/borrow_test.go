package engine_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
	"tapstack/tap"
)

// large is a pipe for frames of up to 64 KiB.
func large() *tap.PipeConfig {
	return &tap.PipeConfig{Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true}}
}

// pattern is a position in a stream of noise that repeats itself after a
// length to which no chunk, segment or frame is related.
type pattern int

var noise = func() []byte {
	b := make([]byte, 1_000_003)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// fill continues the stream.
func (p *pattern) fill(b []byte) {
	for len(b) > 0 {
		n := copy(b, noise[int(*p)%len(noise):])
		*p += pattern(n)
		b = b[n:]
	}
}

// isNext reports whether b is what comes next.
func (p *pattern) isNext(b []byte) bool {
	ok := true
	for len(b) > 0 {
		next := noise[int(*p)%len(noise):]
		n := min(len(b), len(next))
		ok = ok && bytes.Equal(b[:n], next[:n])
		*p += pattern(n)
		b = b[n:]
	}
	return ok
}

func bytesOf(c engine.Chunk) []byte { return bytes.Join(c.Slices(), nil) }

// TestBorrow takes parts of segments, whole ones, and several.
func TestBorrow(t *testing.T) {
	w := newWire(t, time.Millisecond, fixed(64<<10))
	a, b := w.connect(nil)
	if _, err := engine.Borrow(b.Endpoint, 100); err == nil {
		t.Fatal("nothing was borrowed")
	} else if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
		t.Fatalf("nothing to borrow: %v", err)
	}
	data := make([]byte, 3*mss+500)
	var fill, expect pattern
	fill.fill(data)
	if n, err := a.Write(bytes.NewReader(data), tcpip.WriteOptions{}); err != nil || int(n) != len(data) {
		t.Fatal(n, err)
	}
	w.run(10 * time.Millisecond)
	if _, err := engine.Borrow(b.Endpoint, 0); err == nil {
		t.Error("0 bytes were borrowed")
	}
	var kept []engine.Chunk
	for _, c := range []struct{ max, want, slices int }{
		{1, 1, 1},
		{mss - 2, mss - 2, 1},
		{1, 1, 1},               // exactly to a segment's end
		{mss + 10, mss + 10, 2}, // over it
		{1 << 20, mss + 490, 2}, // the rest
	} {
		before := engine.Read(b.Endpoint).Rcv.Queued
		chunk, err := engine.Borrow(b.Endpoint, c.max)
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Len() != c.want || len(chunk.Slices()) != c.slices || len(bytesOf(chunk)) != c.want {
			t.Errorf("at most %d: %d bytes in %d slices, want %d in %d", c.max, chunk.Len(), len(chunk.Slices()), c.want, c.slices)
		}
		if !expect.isNext(bytesOf(chunk)) {
			t.Errorf("at most %d: other bytes", c.max)
		}
		if after := engine.Read(b.Endpoint).Rcv.Queued; before-after != c.want {
			t.Errorf("the receive buffer went from %d to %d", before, after)
		}
		kept = append(kept, chunk)
	}
	if m := engine.Read(b.Endpoint).Rcv.Memory; m != 0 {
		t.Errorf("%d bytes of the receive buffer are still charged", m)
	}

	// The end, and after it: the memory stays.
	if err := a.Shutdown(tcpip.ShutdownWrite); err != nil {
		t.Fatal(err)
	}
	w.run(10 * time.Millisecond)
	_, err := engine.Borrow(b.Endpoint, 100)
	if _, ok := err.(*tcpip.ErrClosedForReceive); !ok {
		t.Errorf("after the FIN: %v", err)
	}
	b.Close()
	_ = w.stacks[1].Close()
	expect = 0
	for _, c := range kept {
		if !expect.isNext(bytesOf(c)) {
			t.Error("other bytes after Close")
		}
		c.Release()
	}
}

// TestReleased: a handle is dead after Release, also when its memory has become
// another Chunk.
func TestReleased(t *testing.T) {
	engine.Chunk{}.Release()
	if (engine.Chunk{}).Len() != 0 || (engine.Chunk{}).Slices() != nil {
		t.Error("the zero Chunk is not empty")
	}
	w := newWire(t, time.Millisecond, stack.Config{})
	a, b := w.connect(nil)
	a.put(t, 100)
	w.run(10 * time.Millisecond)
	borrow := func() engine.Chunk {
		c, err := engine.Borrow(b.Endpoint, 50)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := borrow()
	old.Release()
	live := borrow()
	defer live.Release()
	for name, use := range map[string]func(){
		"Release": old.Release,
		"Len":     func() { old.Len() },
		"Slices":  func() { old.Slices() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a released Chunk", name)
				}
			}()
			use()
		}()
	}
}

// TestBorrowedIsNotOverwritten keeps many chunks under heavy traffic, of large
// frames and small, mixes borrowing with reading, and looks at each again
// before it is released.
func TestBorrowedIsNotOverwritten(t *testing.T) {
	const total = 64 << 20
	for _, c := range []struct {
		name  string
		pipe  *tap.PipeConfig
		write int
	}{
		{"large frames", large(), 256 << 10},
		{"mixed frames", large(), 33_000},
		{"small frames", &tap.PipeConfig{}, 64 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t, c.pipe, nil)
			go func() {
				var p pattern
				out, block := newWaitable(a, waiter.WritableEvents), make([]byte, c.write)
				for int(p) < total {
					p.fill(block)
					if out.writeAll(block) != nil {
						return // the reader has given up and says why
					}
				}
				_ = a.Shutdown(tcpip.ShutdownWrite)
			}()
			keepAndCheck(t, newWaitable(b, waiter.ReadableEvents), total)
		})
	}
}

func keepAndCheck(t *testing.T, in *waitable, total int) {
	t.Helper()
	type loan struct {
		chunk engine.Chunk
		from  pattern
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var loans []loan
	var pos pattern
	buf := make([]byte, 100_000)
	giveBack := func(i int) {
		l := loans[i]
		for _, s := range l.chunk.Slices() {
			if at := l.from; !l.from.isNext(s) {
				t.Errorf("%d bytes borrowed at %d are others now", len(s), at)
			}
		}
		l.chunk.Release()
		loans[i] = loans[len(loans)-1]
		loans = loans[:len(loans)-1]
	}
	for {
		if rng.IntN(4) == 0 {
			n, err := in.readSome(buf[:1+rng.IntN(100_000)])
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			if !pos.isNext(buf[:n]) {
				t.Fatalf("other bytes read before %d", pos)
			}
			continue
		}
		c, err := in.borrow(1 + rng.IntN(200_000))
		if err != nil {
			t.Fatal(err)
		}
		if c.Len() == 0 {
			break
		}
		loans = append(loans, loan{c, pos})
		pos += pattern(c.Len())
		if len(loans) > 100 {
			giveBack(rng.IntN(len(loans)))
		}
	}
	for len(loans) > 0 {
		giveBack(0)
	}
	if int(pos) < total {
		t.Errorf("%d of %d bytes", pos, total)
	}
}

// TestBorrowAllocates nothing, once the pools are warm.
func TestBorrowAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	w := newWire(t, time.Millisecond, fixed(1<<20))
	a, b := w.connect(nil)
	for left := 800 * mss; left > 0; {
		left -= a.put(t, left)
		w.run(10 * time.Millisecond)
	}
	for range 20 {
		w.run(10 * time.Millisecond)
	}
	allocs := testing.AllocsPerRun(500, func() {
		c, err := engine.Borrow(b.Endpoint, 1000)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
