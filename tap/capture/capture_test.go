package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"tapstack/tap"
)

func TestConversation(t *testing.T) {
	d, far := pipe(t, &tap.PipeConfig{Names: [2]string{"near", "far"}})
	var file bytes.Buffer
	var clock ticker
	write(t, d, numbered(60, 0), tap.Offload{}) // before Start: not in the file
	read(t, far)
	c := start(t, d, &file, &Config{Now: clock.now})

	var want [][]byte
	for i := range uint32(10) {
		out, in := numbered(60+int(i), i), numbered(1500, i)
		write(t, d, out, tap.Offload{})
		read(t, far)
		write(t, far, in, tap.Offload{})
		read(t, d)
		want = append(want, out, in)
	}
	s := stop(t, c)
	write(t, d, numbered(60, 0), tap.Offload{}) // after Stop: neither

	if s.Frames != 20 || s.Received != 20 || s.Bytes != uint64(file.Len()) || !s.End.After(s.Start) {
		t.Errorf("stats %+v, a file of %d bytes", s, file.Len())
	}
	frames := mustReadAll(t, file.Bytes())
	if len(frames) != len(want) {
		t.Fatalf("%d frames, want %d", len(frames), len(want))
	}
	for i, f := range frames {
		dir := []Direction{Outbound, Inbound}[i%2]
		at := tickerStart.Add(time.Duration(i+2) * tick) // the first tick is Start's
		if !bytes.Equal(f.Data, want[i]) || f.Length != len(want[i]) || f.Direction != dir ||
			!f.Time.Equal(at) || f.Interface != "near" || f.Lost != 0 {
			t.Errorf("frame %d: %+v; want %v at %v: %x", i, f, dir, at, want[i])
		}
	}
}

// statsIn is the statistics block of a file, read by the library.
func statsIn(t *testing.T, file []byte) (stats pcapgo.NgInterfaceStatistics, section pcapgo.NgSectionInfo) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{
		StatisticsCallback: func(_ int, s pcapgo.NgInterfaceStatistics) { stats = s },
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := r.ReadPacketData(); errors.Is(err, io.EOF) {
			return stats, r.SectionInfo()
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// gate is a writer that can be made to block, or to fail.
type gate struct {
	bytes.Buffer
	open    sync.Mutex // held: Write blocks
	entered chan struct{}
	err     error
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	g.open.Lock()
	defer g.open.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	return g.Buffer.Write(p)
}

// A file that does not move costs records, each of them counted, and no frame.
func TestSlowWriter(t *testing.T) {
	d, far := pipe(t, nil)
	w := &gate{entered: make(chan struct{}, 1)}
	const granules = 1024
	c := start(t, d, w, &Config{BufferSize: granules * granule})
	<-w.entered // the head
	w.open.Lock()

	pass := func(from, to uint32) {
		for i := from; i < to; i++ {
			write(t, d, numbered(100, i), tap.Offload{})
			read(t, far)
		}
	}
	pass(0, 1)
	<-w.entered // the goroutine has the first, and is stuck with it
	const n = granules + 500
	pass(1, n+1)
	if s := c.Stats(); s.Dropped != 500 {
		t.Errorf("dropped %d while the ring was full, want %d: %+v", s.Dropped, 500, s)
	}
	if s := d.Stats(); s.TxFrames != n+1 || s.TxDrops.Total() != 0 {
		t.Errorf("the device counted %+v", s)
	}
	w.open.Unlock()
	for c.Stats().Frames < granules+1 {
		<-w.entered
	}
	pass(n+1, n+2)
	s := stop(t, c)
	if s.Frames != granules+2 || s.Dropped != 500 || s.Received != n+2 {
		t.Errorf("%+v", s)
	}

	frames := mustReadAll(t, w.Bytes())
	if uint64(len(frames)) != s.Frames {
		t.Fatalf("%d frames in the file, want %d", len(frames), s.Frames)
	}
	for i, f := range frames[:granules+1] {
		if numberOf(f.Data) != uint32(i) || f.Lost != 0 {
			t.Fatalf("frame %d is %d, %d lost", i, numberOf(f.Data), f.Lost)
		}
	}
	if f := frames[granules+1]; numberOf(f.Data) != n+1 || f.Lost != 500 {
		t.Errorf("the frame after the loss is %d, %d lost", numberOf(f.Data), f.Lost)
	}
	stats, section := statsIn(t, w.Bytes())
	if stats.PacketsReceived != n+2 || stats.PacketsDropped != 500 ||
		!stats.StartTime.Equal(s.Start) || !stats.EndTime.Equal(s.End) {
		t.Errorf("statistics block %+v", stats)
	}
	if section.Application != "tapstack" || section.OS == "" || section.Hardware == "" {
		t.Errorf("section header %+v", section)
	}
}

func TestWriterError(t *testing.T) {
	d, far := pipe(t, nil)
	if _, err := d.Start(&gate{err: syscall.EACCES}, nil); !errors.Is(err, syscall.EACCES) {
		t.Errorf("Start: %v, want EACCES", err)
	}

	w := &gate{}
	c := start(t, d, w, nil)
	w.open.Lock()
	w.err = syscall.ENOSPC
	w.open.Unlock()
	head := w.Len()
	write(t, d, numbered(60, 1), tap.Offload{})
	<-c.Done() // by itself
	s, err := c.Stop()
	if !errors.Is(err, syscall.ENOSPC) || s.Bytes != uint64(head) {
		t.Errorf("%+v, %v; want ENOSPC", s, err)
	}
	if d.running.Load() != nil {
		t.Error("the capture is still attached")
	}
	write(t, d, numbered(60, 2), tap.Offload{}) // the device goes on
	read(t, far)
	read(t, far)

	// One that fails only when the statistics are written.
	w = &gate{}
	c = start(t, d, w, nil)
	w.err = syscall.EIO // nothing passes, so nobody else looks
	if _, err := c.Stop(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Stop: %v, want EIO", err)
	}
}

func TestLimits(t *testing.T) {
	d, far := pipe(t, &tap.PipeConfig{Offloads: tap.Offloads{Csum: true}})
	pass := func(n, length int, c *Capture) {
		for i := range n {
			off := tap.Offload{}
			if i%3 == 0 {
				off = tap.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6}
			}
			write(t, d, numbered(length, uint32(i)), off)
			read(t, far)
		}
	}
	t.Run("frames", func(t *testing.T) {
		var file bytes.Buffer
		c := start(t, d, &file, &Config{MaxFrames: 7})
		pass(20, 60, c)
		<-c.Done()
		if s := stop(t, c); s.Frames != 7 || len(mustReadAll(t, file.Bytes())) != 7 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		var file bytes.Buffer
		c := start(t, d, &file, &Config{MaxBytes: 10_000})
		pass(20, 999, c)
		<-c.Done()
		s := stop(t, c)
		if file.Len() > 10_000 || file.Len() < 9_000 || s.Bytes != uint64(file.Len()) {
			t.Errorf("a file of %d bytes, %+v", file.Len(), s)
		}
		if stats, _ := statsIn(t, file.Bytes()); stats.PacketsReceived != s.Received {
			t.Errorf("statistics block %+v, want %+v", stats, s)
		}
		if _, err := d.Start(io.Discard, &Config{MaxBytes: 100}); err == nil {
			t.Error("a file of 100 bytes is possible")
		}
	})
	t.Run("snap length", func(t *testing.T) {
		var file bytes.Buffer
		c := start(t, d, &file, &Config{SnapLen: 20, BufferSize: 2 * granule})
		pass(1, 1000, c)
		stop(t, c)
		f := mustReadAll(t, file.Bytes())[0]
		if !bytes.Equal(f.Data, numbered(1000, 0)[:20]) || f.Length != 1000 {
			t.Errorf("%d of %d bytes", len(f.Data), f.Length)
		}
	})
}

// What a block takes in the file is known before it is written.
func TestFrameLen(t *testing.T) {
	f, err := newFile(io.Discard, "tap0", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 9 {
		for _, lost := range []uint64{0, 3} {
			for _, off := range []tap.Offload{{}, {NeedsCsum: true, CsumStart: 34, CsumOffset: 6},
				{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: tap.GSOTCPv4, GSOSize: 1448}} {
				before := f.len()
				rec := &record{dir: Inbound, off: off, n: n, length: n, lost: lost}
				if err := f.write(rec, make([]byte, n)); err != nil {
					t.Fatal(err)
				}
				if got, want := f.len()-before, frameLen(n, lost, formatOffload(off)); got != want {
					t.Errorf("%d bytes, %d lost, %+v: %d bytes, expected %d", n, lost, off, got, want)
				}
			}
		}
	}
	before := f.len()
	now := time.Now()
	if err := f.finish(&Stats{Start: now, End: now}); err != nil || f.len()-before != statsLen {
		t.Errorf("statistics: %d bytes, expected %d; %v", f.len()-before, statsLen, err)
	}
}

func TestFilterAndDirection(t *testing.T) {
	d, far := pipe(t, nil)
	var even, in bytes.Buffer
	a := start(t, d, &even, &Config{Filter: func(f []byte) bool { return numberOf(f)%2 == 0 }})
	b := start(t, d, &in, &Config{Direction: Inbound})
	for i := range uint32(10) {
		write(t, d, numbered(60, i), tap.Offload{})
		read(t, far)
		write(t, far, numbered(60, 100+i), tap.Offload{})
		read(t, d)
	}
	if s := stop(t, a); s.Frames != 10 || s.Filtered != 10 {
		t.Errorf("%+v", s)
	}
	for _, f := range mustReadAll(t, even.Bytes()) {
		if numberOf(f.Data)%2 != 0 {
			t.Errorf("frame %d", numberOf(f.Data))
		}
	}
	if s := stop(t, b); s.Frames != 10 || s.Received != 10 {
		t.Errorf("%+v", s)
	}
	for _, f := range mustReadAll(t, in.Bytes()) {
		if f.Direction != Inbound || numberOf(f.Data) < 100 {
			t.Errorf("frame %d, %v", numberOf(f.Data), f.Direction)
		}
	}
}

func TestClose(t *testing.T) {
	d, _ := pipe(t, nil)
	var file bytes.Buffer
	c := start(t, d, &file, nil)
	write(t, d, numbered(60, 1), tap.Offload{})
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	<-c.Done()
	if s := stop(t, c); s.Frames != 1 || len(mustReadAll(t, file.Bytes())) != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := d.Start(io.Discard, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Queues()[0].Write([][]byte{numbered(60, 1)}, tap.Offload{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestPassThrough(t *testing.T) {
	a, b := tap.Pipe(&tap.PipeConfig{MTU: 9000, Queues: 3, Offloads: tap.Offloads{Csum: true}})
	d := Wrap(a)
	defer d.Close()
	defer b.Close()
	if d.Name() != a.Name() || d.MTU() != 9000 || len(d.Queues()) != 3 || d.Offloads() != a.Offloads() || d.Unwrap() != a {
		t.Error("the wrapper looks different from what is inside")
	}
	for i, q := range d.Queues() {
		frame := numbered(60, uint32(i))
		if err := q.Write([][]byte{frame}, tap.Offload{}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 60)
		if _, _, err := b.Queues()[i].Read([][]byte{got}); err != nil || !bytes.Equal(got, frame) {
			t.Errorf("queue %d: %x, %v", i, got, err)
		}
	}
	if d.Stats() != a.Stats() || d.Stats().TxFrames != 3 {
		t.Errorf("%+v", d.Stats())
	}
}

// idlerQueue is a pipe's queue that could tell when it is idle.
type idlerQueue struct {
	tap.Queue
	f func()
}

func (q *idlerQueue) OnIdle(f func()) bool { q.f = f; return true }

// idlerDevice has one.
type idlerDevice struct {
	tap.Device
	queue *idlerQueue
}

func (d idlerDevice) Queues() []tap.Queue { return []tap.Queue{d.queue} }

func TestOnIdle(t *testing.T) {
	a, b := tap.Pipe(nil)
	defer b.Close()
	inner := idlerDevice{a, &idlerQueue{Queue: a.Queues()[0]}}
	d := Wrap(inner)
	defer d.Close()
	called := false
	if !d.Queues()[0].(tap.Idler).OnIdle(func() { called = true }) {
		t.Fatal("the wrapper cannot tell, and what is inside can")
	}
	if inner.queue.f(); !called {
		t.Error("another function was passed on")
	}
	if Wrap(a).Queues()[0].(tap.Idler).OnIdle(func() {}) {
		t.Error("the wrapper can tell, and what is inside cannot")
	}
}

func TestValidate(t *testing.T) {
	d, _ := pipe(t, nil)
	for _, bad := range []Config{{SnapLen: -1}, {SnapLen: 1 << 20}, {MaxBytes: -1}, {Direction: 3},
		{BufferSize: -1}, {BufferSize: maxBufferSize + 1}, {BufferSize: math.MaxInt}, {BufferSize: tap.MaxFrame}, {SnapLen: 300, BufferSize: 1023}} {
		if _, err := d.Start(io.Discard, &bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	for _, good := range []Config{{}, {SnapLen: 300, BufferSize: 1024}, {BufferSize: minRing(tap.MaxFrame)}, {BufferSize: maxBufferSize}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	if _, err := d.Start(nil, nil); err == nil {
		t.Error("no writer is accepted")
	}
	if d.running.Load() != nil {
		t.Error("a capture runs")
	}
}

func TestNoAllocation(t *testing.T) {
	d, far := pipe(t, nil)
	frame, buf := numbered(1500, binary.MaxVarintLen16), make([]byte, 1500)
	out, in := [][]byte{frame[:700], frame[700:]}, [][]byte{buf[:700], buf[700:]}
	run := func() {
		var errs [4]error
		errs[0] = d.Queues()[0].Write(out, tap.Offload{})
		_, _, errs[1] = far.Queues()[0].Read(in)
		errs[2] = far.Queues()[0].Write(out, tap.Offload{})
		_, _, errs[3] = d.Queues()[0].Read(in)
		if err := errors.Join(errs[:]...); err != nil {
			t.Error(err)
		}
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("off: %v allocations", n)
	}
	// The goroutine allocates, in the library, so keep it from running.
	w := &gate{entered: make(chan struct{}, 1)}
	start(t, d, w, nil)
	<-w.entered
	w.open.Lock()
	defer w.open.Unlock()
	run()
	<-w.entered
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("on: %v allocations", n)
	}
}
