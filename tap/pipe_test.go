package tap

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var allOffloads = Offloads{Csum: true, TSO4: true, TSO6: true, USO: true, ECN: true}

// read is one Read of a frame that is known to be there.
func read(t *testing.T, q Queue) ([]byte, Offload) {
	t.Helper()
	buf := make([]byte, MaxFrame)
	n, off, err := q.Read([][]byte{buf})
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n], off
}

func TestPipeDefaults(t *testing.T) {
	a, b := Pipe(nil)
	for _, d := range []Device{a, b} {
		if d.MTU() != 1500 || len(d.Queues()) != 1 || d.Offloads() != (Offloads{}) {
			t.Errorf("%s: MTU %d, %d queues, offloads %v", d.Name(), d.MTU(), len(d.Queues()), d.Offloads())
		}
	}
	if a.Name() != "pipe0" || b.Name() != "pipe1" {
		t.Errorf("%s and %s", a.Name(), b.Name())
	}
}

func TestPipeFarEndClosed(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(Device)
	}{
		{"closed", func(d Device) { d.Close() }},
		{"deleted", func(d Device) { d.(*PipeEnd).Delete() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := Pipe(nil)
			qa, qb := a.Queues()[0], b.Queues()[0]
			frame := [][]byte{testFrame(60, 1)}
			for _, q := range []Queue{qa, qa, qb} {
				if err := q.Write(frame, Offload{}); err != nil {
					t.Fatal(err)
				}
			}
			c.end(b)
			if err := qa.Write(frame, Offload{}); !errors.Is(err, ErrDown) {
				t.Errorf("Write: %v, want ErrDown", err)
			}
			if got, _ := read(t, qa); !bytes.Equal(got, frame[0]) {
				t.Error("the frame under way is lost")
			}
			ended := make(chan error)
			go func() {
				_, _, err := qa.Read([][]byte{make([]byte, 100)})
				ended <- err
			}()
			runtime.Gosched()
			select {
			case err := <-ended:
				t.Errorf("Read: %v, want to wait", err)
			default:
			}
			a.Close()
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read: %v, want net.ErrClosed", err)
			}
			if s := a.Stats(); s != (Stats{TxFrames: 2, TxBytes: 120, RxFrames: 1, RxBytes: 60, TxDrops: Drops{Down: 1}}) {
				t.Errorf("a counted %+v", s)
			}
			if s := b.Stats(); s != (Stats{TxFrames: 1, TxBytes: 60, RxDrops: Drops{Down: 2}}) {
				t.Errorf("b counted %+v", s)
			}
		})
	}
}

func TestPipeDeleted(t *testing.T) {
	a, b := Pipe(nil)
	defer b.Close()
	q := a.Queues()[0]
	ended := make(chan error)
	go func() {
		_, _, err := q.Read([][]byte{make([]byte, 100)})
		ended <- err
	}()
	a.(*PipeEnd).Delete()
	if err := <-ended; !errors.Is(err, ErrGone) {
		t.Errorf("Read: %v, want ErrGone", err)
	}
	if err := q.Write([][]byte{testFrame(60, 1)}, Offload{}); !errors.Is(err, ErrGone) {
		t.Errorf("Write: %v, want ErrGone", err)
	}
	a.Close()
	a.(*PipeEnd).Delete() // changes nothing any more
	if err := q.Write([][]byte{testFrame(60, 1)}, Offload{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v, want net.ErrClosed", err)
	}
}

// The far end's end reaches a writer that waits for it.
func TestPipeFarEndClosedWhileFull(t *testing.T) {
	a, b := Pipe(&PipeConfig{QueueLen: 1, WriteWait: time.Hour})
	frame := [][]byte{testFrame(60, 1)}
	if err := a.Queues()[0].Write(frame, Offload{}); err != nil {
		t.Fatal(err)
	}
	written := make(chan error)
	go func() { written <- a.Queues()[0].Write(frame, Offload{}) }()
	runtime.Gosched()
	b.Close()
	if err := <-written; !errors.Is(err, ErrDown) {
		t.Errorf("%v, want ErrDown", err)
	}
	a.Close()
}

func TestPipeNeverWaits(t *testing.T) {
	a, b := Pipe(&PipeConfig{QueueLen: 3, WriteWait: -1})
	frame := [][]byte{testFrame(60, 1)}
	for i := range 5 {
		err := a.Queues()[0].Write(frame, Offload{})
		if full := errors.Is(err, ErrFull); full != (i >= 3) {
			t.Errorf("frame %d: %v", i, err)
		}
	}
	if n := b.(*PipeEnd).Pending(); n != 3 {
		t.Errorf("%d frames pending, want 3", n)
	}
	read(t, b.Queues()[0])
	if n := b.(*PipeEnd).Pending(); n != 2 {
		t.Errorf("%d frames pending, want 2", n)
	}
}

// Many writers and a slow queue: every place that gets free is found, and
// what one end wrote is what the other read.
func TestPipeManyWritersAgree(t *testing.T) {
	const queues, writers, frames = 2, 4, 300
	a, b := Pipe(&PipeConfig{Queues: queues, QueueLen: 2, WriteWait: time.Hour, Offloads: allOffloads})
	var wg sync.WaitGroup
	for i := range queues {
		for w := range writers {
			wg.Go(func() {
				for j := range frames {
					off, n := Offload{}, 60+j
					if j%10 == 0 {
						off, n = Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: GSOTCPv4, GSOSize: 1400}, 9000
					}
					if err := a.Queues()[i].Write([][]byte{testFrame(n, uint32(w))}, off); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			buf := make([]byte, MaxFrame)
			for range writers * frames {
				n, off, err := b.Queues()[i].Read([][]byte{buf})
				if err != nil || (off.GSO == GSOTCPv4) != (n == 9000) {
					t.Errorf("%d bytes, %+v, %v", n, off, err)
					return
				}
			}
		})
	}
	wg.Wait()
	sa, sb := a.Stats(), b.Stats()
	if sa.TxFrames != queues*writers*frames || sa.TxFrames != sb.RxFrames || sa.TxBytes != sb.RxBytes || sa.TxDrops != (Drops{}) || sb.RxDrops != (Drops{}) {
		t.Errorf("counted\n%+v\n%+v", sa, sb)
	}
}

func TestPipeQueuesAreApart(t *testing.T) {
	a, b := Pipe(&PipeConfig{Queues: 3})
	for i, q := range a.Queues() {
		if err := q.Write([][]byte{testFrame(60, uint32(i))}, Offload{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, q := range b.Queues() {
		if got, _ := read(t, q); !bytes.Equal(got, testFrame(60, uint32(i))) {
			t.Errorf("queue %d has another's frame", i)
		}
	}
}

func TestPipeOffload(t *testing.T) {
	a, b := Pipe(&PipeConfig{Offloads: allOffloads})
	large := Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: GSOTCPv4, GSOSize: 1460, HdrLen: 54}
	for _, c := range []struct {
		n   int
		off Offload
	}{
		{MaxFrame, large},
		{60, Offload{CsumValid: true}},
		{60, Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6}},
	} {
		want := testFrame(c.n, 1)
		if err := a.Queues()[0].Write(split(want, 4000), c.off); err != nil {
			t.Fatal(err)
		}
		if got, off := read(t, b.Queues()[0]); !bytes.Equal(got, want) || off != c.off {
			t.Errorf("%d bytes, %+v: got %d, %+v", c.n, c.off, len(got), off)
		}
	}

	// Without an offload header there is no place for "valid".
	a, b = Pipe(nil)
	if err := a.Queues()[0].Write([][]byte{testFrame(60, 1)}, Offload{CsumValid: true}); err != nil {
		t.Fatal(err)
	}
	if _, off := read(t, b.Queues()[0]); off != (Offload{}) {
		t.Errorf("got %+v from a pipe without offloads", off)
	}
}

func TestPipeLargeFramesAllocateNothing(t *testing.T) {
	a, b := Pipe(&PipeConfig{Offloads: allOffloads})
	off := Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: GSOTCPv4, GSOSize: 1460}
	out, in := [][]byte{testFrame(60000, 1)}, [][]byte{make([]byte, MaxFrame)}
	allocs := testing.AllocsPerRun(100, func() {
		if a.Queues()[0].Write(out, off) != nil {
			t.FailNow()
		}
		if _, _, err := b.Queues()[0].Read(in); err != nil {
			t.FailNow()
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestPipeConfigValidate(t *testing.T) {
	for _, c := range []struct {
		cfg PipeConfig
		say string
	}{
		{PipeConfig{MTU: 67}, "MTU 67 "},
		{PipeConfig{MTU: 65522}, "MTU 65522 "},
		{PipeConfig{Queues: -1}, "-1 queues"},
		{PipeConfig{QueueLen: -1}, "queue length -1"},
		{PipeConfig{Offloads: Offloads{TSO4: true}}, `"tso4" need csum`},
	} {
		err := c.cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.say)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: Pipe did not panic", c.cfg)
				}
			}()
			Pipe(&c.cfg)
		}()
	}
}

func BenchmarkPipe(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
		off  Offload
	}{
		{"1514", 1514, Offload{}},
		{"65226", 65226, Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: GSOTCPv4, GSOSize: 1460}},
	} {
		b.Run(c.name, func(b *testing.B) {
			x, y := Pipe(&PipeConfig{Offloads: allOffloads})
			out, in := [][]byte{testFrame(c.n, 1)}, [][]byte{make([]byte, MaxFrame)}
			b.SetBytes(int64(c.n))
			b.ReportAllocs()
			for b.Loop() {
				x.Queues()[0].Write(out, c.off)
				y.Queues()[0].Read(in)
			}
		})
	}
}
