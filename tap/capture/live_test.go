package capture

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"tapstack/tap"
)

// traffic passes numbered frames both ways, on every queue, until stop; then
// each frame written has been read at the other end.
type traffic struct {
	stopping          atomic.Bool
	writers, readers  sync.WaitGroup
	inbound, outbound atomic.Uint64
}

func startTraffic(t *testing.T, d, far tap.Device) *traffic {
	tr := &traffic{}
	for i := range d.Queues() {
		for _, way := range []struct {
			from, to tap.Queue
			count    *atomic.Uint64
		}{
			{d.Queues()[i], far.Queues()[i], &tr.outbound},
			{far.Queues()[i], d.Queues()[i], &tr.inbound},
		} {
			tr.writers.Go(func() {
				for n := uint32(0); !tr.stopping.Load(); n++ {
					frame := numbered(60+int(n%1400), n)
					frame[len(frame)-1] = byte(n)
					err := way.from.Write([][]byte{frame[:30], frame[30:]}, tap.Offload{})
					if err != nil && !errors.Is(err, tap.ErrFull) {
						t.Error(err)
						return
					}
					if err == nil {
						way.count.Add(1)
					}
				}
			})
			tr.readers.Go(func() {
				buf := make([]byte, 2000)
				for {
					n, _, err := way.to.Read([][]byte{buf[:14], buf[14:]})
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					if !intact(buf[:n]) {
						t.Errorf("%d bytes read, torn: %x", n, buf[:n])
					}
				}
			})
		}
	}
	return tr
}

func intact(frame []byte) bool {
	n := numberOf(frame)
	return len(frame) == 60+int(n%1400) && frame[len(frame)-1] == byte(n)
}

func (tr *traffic) stop(d, far tap.Device) {
	tr.stopping.Store(true)
	tr.writers.Wait()
	d.Close()
	far.Close()
	tr.readers.Wait()
}

// On and off, several at once, while frames pass: every file is whole.
func TestLive(t *testing.T) {
	d, far := pipe(t, &tap.PipeConfig{Queues: 2})
	tr := startTraffic(t, d, far)
	var wg sync.WaitGroup
	for who := range 3 {
		wg.Go(func() {
			for range 30 {
				var file bytes.Buffer
				c, err := d.Start(&file, &Config{BufferSize: 256 << 10, MaxFrames: 200})
				if err != nil {
					t.Error(err)
					return
				}
				// Stop at once, or while frames pass, or when it has ended.
				for c.Stats().Frames < uint64(100*who) && !t.Failed() {
					runtime.Gosched()
				}
				s := stop(t, c)
				checkLive(t, file.Bytes(), s)
			}
		})
	}
	wg.Wait()
	tr.stop(d, far)
	if d.running.Load() != nil {
		t.Error("a capture is still attached")
	}
}

func checkLive(t *testing.T, file []byte, s Stats) {
	frames := mustReadAll(t, file)
	var lost uint64
	for _, f := range frames {
		lost += f.Lost
		if !intact(f.Data) || f.Direction == AnyDirection || f.Time.Before(s.Start) || f.Time.After(s.End) {
			t.Fatalf("frame %+v in a capture of %+v", f, s)
		}
	}
	if uint64(len(frames)) != s.Frames || lost > s.Dropped {
		t.Fatalf("%d frames, %d lost; %+v", len(frames), lost, s)
	}
}

// With a large buffer nothing is lost: what passed is what is in the file.
func TestLiveComplete(t *testing.T) {
	d, far := pipe(t, &tap.PipeConfig{Queues: 2})
	var file bytes.Buffer
	c := start(t, d, &file, &Config{BufferSize: 64 << 20, SnapLen: 20})
	tr := startTraffic(t, d, far)
	for tr.inbound.Load() < 5000 || tr.outbound.Load() < 5000 {
		if d.Stats().RxDrops.Total() != 0 {
			break
		}
	}
	tr.stop(d, far)
	s := stop(t, c)
	var in, out uint64
	for _, f := range mustReadAll(t, file.Bytes()) {
		if f.Direction == Inbound {
			in++
		} else {
			out++
		}
	}
	// Of those written to the other end, some were never read.
	if s.Dropped != 0 || in != d.Stats().RxFrames || out < tr.outbound.Load() {
		t.Errorf("%d in, %d out; the device %+v, the capture %+v", in, out, d.Stats(), s)
	}
}

func TestRing(t *testing.T) {
	r := newRing(8 * granule)
	put := func(n int, number byte) bool {
		rec, data := r.reserve(n)
		if rec == nil {
			return false
		}
		for i := range data {
			data[i] = number
		}
		r.commit(rec)
		return true
	}
	take := func(n int, number byte, lost uint64) {
		t.Helper()
		rec, data := r.next()
		if rec == nil || len(data) != n || rec.lost != lost || !bytes.Equal(data, bytes.Repeat([]byte{number}, n)) {
			t.Fatalf("took %+v, %x; want %d bytes of %d", rec, data, n, number)
		}
		r.release(rec)
	}
	// The largest record that the ring must have room for, at every place.
	for i := range 20 {
		if !put(1, 1) || !put(4*granule, 2) {
			t.Fatalf("round %d: no room", i)
		}
		take(1, 1, 0)
		take(4*granule, 2, 0)
		if !put(0, 0) || !put(3*granule+1, 3) {
			t.Fatalf("round %d: no room", i)
		}
		take(0, 0, 0)
		take(3*granule+1, 3, 0)
	}
	// Full, and how many were lost.
	n := 0
	for put(granule, byte(n)) {
		n++
	}
	if n != 8 || put(1, 0) || r.dropped.Load() != 2 {
		t.Errorf("%d records, %d dropped", n, r.dropped.Load())
	}
	take(granule, 0, 0)
	put(10, 99)
	for i := range byte(7) {
		take(granule, i+1, 0)
	}
	take(10, 99, 2)

	// Closed: what is reserved is still to be read, then nothing.
	rec, data := r.reserve(5)
	copy(data, "\x07\x07\x07\x07\x07")
	end := r.close()
	if put(1, 1) || r.dropped.Load() != 2 {
		t.Error("a record after close")
	}
	if got, _ := r.next(); got != nil || r.head.Load() == end {
		t.Error("read a record that is being filled")
	}
	r.commit(rec)
	take(5, 7, 0)
	if r.head.Load() != end {
		t.Error("not at the end")
	}
}

// nothing is a device that does nothing at all, fast.
type nothing struct{ tap.Device }

func (nothing) Name() string                                    { return "nothing" }
func (n nothing) Queues() []tap.Queue                           { return []tap.Queue{n} }
func (nothing) Write([][]byte, tap.Offload) error               { return nil }
func (nothing) Read(b [][]byte) (n int, o tap.Offload, e error) { return len(b[0]), o, nil }
func (nothing) Close() error                                    { return nil }

// What a frame costs on the data path. In place of the capture's goroutine the
// benchmark empties the ring, so that each frame finds room; "full" is a ring
// that nobody empties.
func BenchmarkWrite(b *testing.B) {
	b.Run("bare", func(b *testing.B) { benchmarkWrite(b, nothing{}, 1514, nil) })
	b.Run("off", func(b *testing.B) { benchmarkWrite(b, Wrap(nothing{}), 1514, nil) })
	for _, bench := range []struct {
		name    string
		n, snap int
	}{
		{"on/60", 60, 0}, {"on/1514", 1514, 0}, {"on/65549", tap.MaxFrame, 0}, {"on/65549 snap 96", tap.MaxFrame, 96},
		{"full/1514", 1514, 0},
	} {
		b.Run(bench.name, func(b *testing.B) {
			d := Wrap(nothing{})
			c, err := newCapture(d, io.Discard, (&Config{SnapLen: bench.snap}).withDefaults())
			if err != nil {
				b.Fatal(err)
			}
			if err := d.attach(c); err != nil {
				b.Fatal(err)
			}
			benchmarkWrite(b, d, bench.n, func() {
				if rec, _ := c.ring.next(); rec != nil && bench.name[0] == 'o' {
					c.ring.release(rec)
				}
			})
		})
	}
}

func benchmarkWrite(b *testing.B, d tap.Device, n int, after func()) {
	q, bufs := d.Queues()[0], [][]byte{numbered(n, 0)}
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Write(bufs, tap.Offload{}); err != nil {
			b.Fatal(err)
		}
		if after != nil {
			after()
		}
	}
}

// What a frame costs the capture's goroutine, but for the writing itself.
func BenchmarkFile(b *testing.B) {
	f, err := newFile(io.Discard, "tap0", 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	data := numbered(1514, 0)
	rec := &record{dir: Inbound, n: len(data), length: len(data)}
	b.ReportAllocs()
	for b.Loop() {
		if err := f.write(rec, data); err != nil {
			b.Fatal(err)
		}
	}
}
