package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
)

// A rig is a device under test with the other end in the test's hands: the
// rest of the pipe, or a socket in the kernel. One goroutine uses far.
type rig struct {
	dev  Device
	far  io.ReadWriteCloser // one frame a call
	fill bool               // unread, the device gets full
	busy bool               // it has goroutines of its own, which allocate
}

// The contract of Device and Queue, for whatever newRig makes.
func testContract(t *testing.T, newRig func(*testing.T) rig) {
	for _, c := range []struct {
		name string
		test func(*testing.T, rig)
	}{
		{"frames keep their order", testOrder},
		{"any split of the slices gives the same frame", testSplits},
		{"short, large and offloaded frames are refused", testRefused},
		{"a VLAN tag does not count", testTagged},
		{"a frame beyond the reader's slices is dropped", testReaderTooSmall},
		{"close ends a Read", testCloseEndsRead},
		{"close twice, then use", testAfterClose},
		{"writers do not interleave", testConcurrentWriters},
		{"counters are exact", testCounters},
		{"no reference to the caller's slices", testNoReference},
		{"a full device makes the writer wait, not for ever", testFull},
		{"a place that becomes free is taken", testFullThenFree},
		{"close ends a writer that waits", testFullThenClosed},
		{"no allocation per frame", testAllocs},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			t.Cleanup(func() { r.dev.Close(); r.far.Close() })
			c.test(t, r)
		})
	}
}

// testFrame is n bytes that no other seed gives: a broadcast of an EtherType
// for experiments (IEEE 802), which the kernel does nothing with.
func testFrame(n int, seed uint32) []byte {
	f := make([]byte, n)
	copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	for i := EthernetHeaderLen; i < n; i++ {
		f[i] = byte(seed) ^ byte(i*7)
	}
	if n >= EthernetHeaderLen+4 {
		binary.BigEndian.PutUint32(f[EthernetHeaderLen:], seed)
	}
	return f
}

// split cuts b into pieces of size bytes, an empty one first and last.
func split(b []byte, size int) [][]byte {
	bufs := [][]byte{nil}
	for len(b) > size {
		bufs, b = append(bufs, b[:size:size]), b[size:]
	}
	return append(bufs, b, nil)
}

func (r rig) write(t *testing.T, frame []byte) {
	t.Helper()
	if err := r.dev.Queues()[0].Write([][]byte{frame}, Offload{}); err != nil {
		t.Fatal(err)
	}
}

func (r rig) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := r.far.Write(frame); err != nil {
		t.Fatal("far end:", err)
	}
}

func (r rig) expectRead(t *testing.T, want []byte) {
	t.Helper()
	buf := make([]byte, MaxFrame)
	n, off, err := r.dev.Queues()[0].Read([][]byte{buf})
	if err != nil || off != (Offload{}) || !bytes.Equal(buf[:n], want) {
		t.Fatalf("read %d bytes %.20x, %+v, %v; want %d bytes %.20x", n, buf[:n], off, err, len(want), want)
	}
}

func (r rig) expectFar(t *testing.T, want []byte) {
	t.Helper()
	buf := make([]byte, MaxFrame)
	n, err := r.far.Read(buf)
	if err != nil || !bytes.Equal(buf[:n], want) {
		t.Fatalf("far end: %d bytes %.20x, %v; want %d bytes %.20x", n, buf[:n], err, len(want), want)
	}
}

func testOrder(t *testing.T, r rig) {
	const bursts, burst = 30, 5
	for i := range uint32(bursts) {
		for j := range uint32(burst) {
			r.write(t, testFrame(60+int(j), i*burst+j))
			r.send(t, testFrame(1000+int(j), i*burst+j))
		}
		for j := range uint32(burst) {
			r.expectFar(t, testFrame(60+int(j), i*burst+j))
			r.expectRead(t, testFrame(1000+int(j), i*burst+j))
		}
	}
}

func testSplits(t *testing.T, r rig) {
	q := r.dev.Queues()[0]
	for i, n := range []int{EthernetHeaderLen, 15, 60, 1313, 1514} {
		for _, size := range []int{1, 3, 13, 14, 512, 4096} {
			frame := testFrame(n, uint32(i))
			if err := q.Write(split(frame, size), Offload{}); err != nil {
				t.Fatal(err)
			}
			r.expectFar(t, frame)

			r.send(t, frame)
			got := make([]byte, n) // exactly enough
			if m, _, err := q.Read(split(got, size)); err != nil || m != n || !bytes.Equal(got, frame) {
				t.Fatalf("%d bytes in pieces of %d: read %d, %v", n, size, m, err)
			}
		}
	}
}

func testRefused(t *testing.T, r rig) {
	q, limit := r.dev.Queues()[0], r.dev.MTU()+EthernetHeaderLen
	before := r.dev.Stats()
	for _, c := range []struct {
		n     int
		off   Offload
		count func(*Drops) *uint64
	}{
		{0, Offload{}, func(d *Drops) *uint64 { return &d.TooShort }},
		{13, Offload{}, func(d *Drops) *uint64 { return &d.TooShort }},
		{limit + 1, Offload{}, func(d *Drops) *uint64 { return &d.TooLarge }},
		{MaxFrame + 1, Offload{}, func(d *Drops) *uint64 { return &d.TooLarge }},
		{60, Offload{NeedsCsum: true, CsumStart: 50, CsumOffset: 16}, func(d *Drops) *uint64 { return &d.Offload }},
		{60, Offload{GSO: GSOTCPv4, GSOSize: 1}, func(d *Drops) *uint64 { return &d.Offload }},
	} {
		err := q.Write([][]byte{testFrame(max(c.n, 14), 1)[:c.n]}, c.off)
		if !errors.Is(err, ErrFrame) {
			t.Errorf("%d bytes, %+v: %v, want ErrFrame", c.n, c.off, err)
		}
		*c.count(&before.TxDrops)++
	}
	if s := r.dev.Stats(); s != before {
		t.Errorf("counted %+v\nwant    %+v", s, before)
	}
	r.write(t, testFrame(limit, 2)) // the device goes on
	r.expectFar(t, testFrame(limit, 2))
}

func testTagged(t *testing.T, r rig) {
	q, limit := r.dev.Queues()[0], r.dev.MTU()+EthernetHeaderLen+vlanLen
	tag := func(n int) []byte {
		f := testFrame(n, 7)
		copy(f[12:], "\x81\x00\x00\x05\x88\xb5")
		return f
	}
	r.send(t, tag(limit))
	r.expectRead(t, tag(limit))
	for _, size := range []int{limit, 5, 13} { // the header in one piece and in several
		if err := q.Write(split(tag(limit), size), Offload{}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, MaxFrame)
		n, err := r.far.Read(buf)
		// To a packet socket the kernel gives the tag apart from the frame.
		without := append(tag(limit)[:12], tag(limit)[12+vlanLen:]...)
		if err != nil || !bytes.Equal(buf[:n], tag(limit)) && !bytes.Equal(buf[:n], without) {
			t.Errorf("far end: %d bytes %.20x, %v", n, buf[:n], err)
		}
	}
	if err := q.Write([][]byte{tag(limit + 1)}, Offload{}); !errors.Is(err, ErrFrame) {
		t.Errorf("%d bytes: %v, want ErrFrame", limit+1, err)
	}
}

func testReaderTooSmall(t *testing.T, r rig) {
	r.send(t, testFrame(101, 1))
	r.send(t, testFrame(100, 2))
	buf := make([]byte, 100)
	n, _, err := r.dev.Queues()[0].Read(split(buf, 33))
	if err != nil || !bytes.Equal(buf[:n], testFrame(100, 2)) {
		t.Errorf("read %d bytes, %v; want the second frame", n, err)
	}
	if s := r.dev.Stats(); s.RxDrops != (Drops{TooLarge: 1}) || s.RxFrames != 1 || s.RxBytes != 100 {
		t.Errorf("counted %+v", s)
	}
}

func testCloseEndsRead(t *testing.T, r rig) {
	started, ended := make(chan bool), make(chan error)
	go func() {
		close(started)
		_, _, err := r.dev.Queues()[0].Read([][]byte{make([]byte, MaxFrame)})
		ended <- err
	}()
	<-started
	runtime.Gosched() // most of the time it waits by now
	if err := r.dev.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
}

func testAfterClose(t *testing.T, r rig) {
	r.send(t, testFrame(60, 1)) // not to be read any more
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := r.dev.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	q := r.dev.Queues()[0]
	if err := q.Write([][]byte{testFrame(60, 1)}, Offload{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v, want net.ErrClosed", err)
	}
	if _, _, err := q.Read([][]byte{make([]byte, 100)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v, want net.ErrClosed", err)
	}
	if s := r.dev.Stats(); s.TxFrames != 0 || s.TxDrops.Total() != 0 {
		t.Errorf("counted %+v", s)
	}
}

func testConcurrentWriters(t *testing.T, r rig) {
	const writers, frames = 4, 50
	q := r.dev.Queues()[0]
	unread := make(chan struct{}, 20) // a packet socket drops what it has no room for
	var wg sync.WaitGroup
	for w := range uint32(writers) {
		wg.Go(func() {
			for i := range uint32(frames) {
				unread <- struct{}{}
				frame := testFrame(100+int(300*w+i), w<<16|i)
				err := q.Write(split(frame, 7+int(w)*50), Offload{})
				for errors.Is(err, ErrFull) {
					err = q.Write(split(frame, 7+int(w)*50), Offload{})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [writers]uint32
	buf := make([]byte, MaxFrame)
	for range writers * frames {
		n, err := r.far.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		<-unread
		seed := binary.BigEndian.Uint32(buf[EthernetHeaderLen:])
		w, i := seed>>16, seed&0xffff
		if w >= writers || i != next[w] || !bytes.Equal(buf[:n], testFrame(100+int(300*w+i), seed)) {
			t.Fatalf("writer %d, frame %d, %d bytes: torn or out of order", w, i, n)
		}
		next[w]++
	}
	wg.Wait()
}

func testCounters(t *testing.T, r rig) {
	var want Stats
	for i, n := range []int{14, 60, 900, 1514} {
		r.write(t, testFrame(n, uint32(i)))
		r.expectFar(t, testFrame(n, uint32(i)))
		r.send(t, testFrame(n, uint32(i)))
		r.expectRead(t, testFrame(n, uint32(i)))
		want.TxFrames, want.TxBytes = want.TxFrames+1, want.TxBytes+uint64(n)
		want.RxFrames, want.RxBytes = want.RxFrames+1, want.RxBytes+uint64(n)
	}
	if s := r.dev.Stats(); s != want {
		t.Errorf("counted %+v\nwant    %+v", s, want)
	}
}

func testNoReference(t *testing.T, r rig) {
	frame := testFrame(200, 1)
	bufs := split(frame, 50)
	if err := r.dev.Queues()[0].Write(bufs, Offload{}); err != nil {
		t.Fatal(err)
	}
	clear(frame)
	clear(bufs)
	r.expectFar(t, testFrame(200, 1))

	r.send(t, testFrame(200, 2))
	first := make([]byte, 200)
	if _, _, err := r.dev.Queues()[0].Read([][]byte{first}); err != nil {
		t.Fatal(err)
	}
	r.send(t, testFrame(200, 3))
	r.expectRead(t, testFrame(200, 3))
	if !bytes.Equal(first, testFrame(200, 2)) {
		t.Error("the second Read changed what the first had returned")
	}
}

func testAllocs(t *testing.T, r rig) {
	if r.busy {
		t.Skip("allocations are counted of the whole process")
	}
	for _, pieces := range []int{1, 2, 20} {
		t.Run(fmt.Sprint(pieces, " pieces"), func(t *testing.T) {
			frame, in, far := testFrame(1500, 1), make([]byte, 1600), make([]byte, 1600)
			out, bufs := split(frame, len(frame)/pieces), split(in, len(in)/pieces)
			q := r.dev.Queues()[0]
			var errs [4]error
			allocs := testing.AllocsPerRun(100, func() {
				errs[0] = q.Write(out, Offload{})
				_, errs[1] = r.far.Read(far)
				_, errs[2] = r.far.Write(frame)
				_, _, errs[3] = q.Read(bufs)
			})
			if err := errors.Join(errs[:]...); err != nil {
				t.Fatal(err)
			}
			if allocs != 0 {
				t.Errorf("%v allocations for a frame out and a frame in", allocs)
			}
		})
	}
}

// queueFile is a queue as one end of a rig: one plain frame a call.
type queueFile struct {
	dev Device
	rd  [1][]byte
	wr  [1][]byte
}

func (f *queueFile) Read(p []byte) (int, error) {
	f.rd[0] = p
	n, _, err := f.dev.Queues()[0].Read(f.rd[:])
	return n, err
}

func (f *queueFile) Write(p []byte) (int, error) {
	f.wr[0] = p
	return len(p), f.dev.Queues()[0].Write(f.wr[:], Offload{})
}

func (f *queueFile) Close() error { return f.dev.Close() }

func TestPipeContract(t *testing.T) {
	testContract(t, func(*testing.T) rig {
		a, b := Pipe(&PipeConfig{QueueLen: 20})
		return rig{dev: a, far: &queueFile{dev: b}, fill: true}
	})
}

// The portable queue, over a pipe in water's place. It must not be the queue
// that limits, or waits: not every error of a system is known to it.
func TestStreamContract(t *testing.T) {
	testContract(t, func(*testing.T) rig {
		a, b := Pipe(&PipeConfig{MTU: MaxMTU})
		d := newDevice("stream0", 1500, "plain", "")
		q := newStreamQueue(d, &queueFile{dev: a})
		d.add(q, &q.counters, a)
		return rig{dev: d, far: &queueFile{dev: b}}
	})
}
