package socketapi_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

var (
	propertyTime = flag.Duration("property", 4*time.Second, "how long TestStreams tries random operations")
	propertySeed = flag.Uint64("seed", 0, "the first seed of TestStreams; 0 for one by the clock")
)

// TestStreams does random operations on both ends of a connection, over a link
// that may lose and reorder, and compares both streams byte for byte: nothing
// lost, nothing doubled; and after every operation what the buffers say with
// what was written and read.
func TestStreams(t *testing.T) {
	t.Parallel()
	seed := *propertySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	cfg := fixed()
	cfg.TCP.MinRTO = 20 * time.Millisecond
	cfg.TCP.SendBuffer = stack.BufferRange{Default: 32 << 10}
	cfg.TCP.ReceiveBuffer = stack.BufferRange{Default: 32 << 10}
	a, b, la, lb := linked(t, nil, cfg)
	runs := 0
	for end := time.Now().Add(*propertyTime); runs == 0 || time.Now().Before(end); runs++ {
		name := fmt.Sprintf("-seed=%d", seed)
		if !streams(t, name, rand.New(rand.NewPCG(seed, 0)), a, b, la, lb) {
			t.Fatalf("failed: go test -run=TestStreams %s", name)
		}
		seed++
	}
	t.Logf("%d runs, the last with seed %d", runs, seed-1)
}

// streams is one connection's life. It reports whether all went well.
func streams(t *testing.T, name string, rnd *rand.Rand, a, b *stack.Stack, la, lb *link) bool {
	t.Helper()
	addr := b4.Addr()
	if rnd.IntN(2) == 0 {
		addr = b6.Addr()
	}
	x, y := connect(t, a, b, addr)
	loss, swap := 0.0, 0.0
	if rnd.IntN(2) == 0 {
		loss, swap = 0.01, 0.03
	}
	la.disturb(rnd.Uint64(), loss, swap)
	lb.disturb(rnd.Uint64(), loss, swap)
	defer la.disturb(0, 0, 0)
	defer lb.disturb(0, 0, 0)
	var ends [2]*streamEnd
	for i, c := range []*socketapi.TCPConn{x, y} {
		ends[i] = &streamEnd{t: t, c: c, name: fmt.Sprint(name, " end ", i), start: socketapi.AccountOf(c), size: 1 + rnd.IntN(1+rnd.IntN(150_000))}
	}
	ends[0].toRead, ends[1].toRead = ends[1].size, ends[0].size
	stop := make(chan struct{})
	var work, meddlers sync.WaitGroup
	for _, e := range ends {
		for _, part := range []func(*rand.Rand){e.write, e.read} {
			r := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
			work.Go(func() { part(r) })
		}
		r := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
		meddlers.Go(func() { e.meddle(r, stop) })
	}
	work.Wait()
	close(stop)
	meddlers.Wait()
	if t.Failed() {
		return false
	}
	for _, e := range ends {
		e.settle()
		_ = e.c.Close()
	}
	return !t.Failed()
}

// streamEnd is one end of a connection: what it has still to write and has read.
type streamEnd struct {
	t      *testing.T
	c      *socketapi.TCPConn
	name   string
	start  socketapi.Account
	size   int // to be written here
	toRead int // the other end writes
	done   int // of size, by the writer
	got    int // by the reader
}

func (e *streamEnd) fail(format string, args ...any) {
	e.t.Errorf(e.name+": "+format, args...)
	snd, rcv := e.c.Buffers()
	e.t.Logf("%s: %v %+v %+v %+v", e.name, e.c.State(), snd, rcv, socketapi.AccountOf(e.c))
	_ = e.c.Abort() // ends the others too
}

// pattern is a stream's byte at an offset: no shift of the stream looks like it.
func pattern(off int) byte { return byte(off) ^ byte(off>>8)*31 ^ byte(off>>16)*131 }

// next are the next n bytes to be written.
func (e *streamEnd) next(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = pattern(e.done + i)
	}
	return p
}

// compare checks bytes that were read, or peeked at, at offset off.
func (e *streamEnd) compare(p []byte, off int) bool {
	for i, b := range p {
		if b != pattern(off+i) {
			e.fail("byte %d is another", off+i)
			return false
		}
	}
	return true
}

// Write implements io.Writer for the rest of the stream.
func (e *streamEnd) Write(p []byte) (int, error) {
	if !e.compare(p, e.got) {
		return 0, io.ErrUnexpectedEOF
	}
	e.got += len(p)
	return len(p), nil
}

// bytesOf is a reader of p that knows nothing else: no WriteTo.
type bytesOf struct{ p []byte }

func (r *bytesOf) Read(b []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.p)
	r.p = r.p[n:]
	return n, nil
}

// write writes all there is to write, in one way or another, and a FIN.
func (e *streamEnd) write(rnd *rand.Rand) {
	c := e.c
	_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
	for e.done < e.size {
		p := e.next(min(e.size-e.done, 1+rnd.IntN(1+rnd.IntN(40_000))))
		var n int
		var err error
		switch rnd.IntN(8) {
		case 0, 1:
			n, err = c.Write(p)
		case 2:
			var n64 int64
			cut := rnd.IntN(len(p) + 1)
			n64, err = c.WriteBuffers([][]byte{p[:cut], nil, p[cut:]})
			n = int(n64)
		case 3:
			n, err = c.Socket().Send(p, socketapi.MsgMore)
		case 4:
			n, err = c.Socket().SendMsg(&socketapi.Message{Buffers: [][]byte{nil, p}}, 0)
		case 5:
			var n64 int64
			n64, err = io.Copy(c, &bytesOf{p})
			n = int(n64)
		case 6: // a deadline that may expire
			_ = c.SetWriteDeadline(time.Now().Add(time.Duration(rnd.IntN(2000)) * time.Microsecond))
			n, err = c.Write(p)
			_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = nil
			}
		case 7:
			err = e.wait(rnd)
		}
		if errors.Is(err, syscall.EAGAIN) {
			err = c.WaitWritable(within(e.t))
		}
		e.done += n
		if err != nil {
			e.fail("writing: %v after %d of %d", err, e.done, e.size)
			return
		}
		now := socketapi.AccountOf(c)
		if acked := int(now.SndUna - e.start.SndUna); acked+now.SndQueued != e.done {
			e.fail("%d written, but %d acknowledged and %d queued", e.done, acked, now.SndQueued)
			return
		}
	}
	if err := c.CloseWrite(); err != nil {
		e.fail("CloseWrite: %v", err)
	}
}

// wait waits for something about the send buffer, but not for long.
func (e *streamEnd) wait(rnd *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	waits := []func(context.Context) error{e.c.WaitAcked, e.c.WaitWritable, func(ctx context.Context) error { return e.c.WaitUnsent(ctx, rnd.IntN(5000)) }}
	if err := waits[rnd.IntN(len(waits))](ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// read reads the other end's stream to its end.
func (e *streamEnd) read(rnd *rand.Rand) {
	c := e.c
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(c, socketapi.EventIn, socketapi.Mode(rnd.IntN(2)), nil); err != nil {
		e.fail("Add: %v", err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	rest := rnd.IntN(e.toRead + 1) // from here on by io.Copy
	for e.got < rest {
		if err := e.readSome(rnd, p, make([]byte, 1+rnd.IntN(1+rnd.IntN(30_000)))); err != nil {
			e.fail("reading: %v after %d of %d", err, e.got, e.toRead)
			return
		}
		now := socketapi.AccountOf(c)
		received := int(now.RcvNxt - e.start.RcvNxt)
		// The FIN takes a sequence number and no room.
		if fin := received - now.RcvQueued - e.got; fin != 0 && (fin != 1 || received != e.toRead+1) {
			e.fail("%d received, but %d read and %d queued", received, e.got, now.RcvQueued)
			return
		}
	}
	if _, err := io.Copy(struct{ io.Writer }{e}, c); err != nil || e.got != e.toRead {
		e.fail("copying: %d of %d: %v", e.got, e.toRead, err)
	}
}

func (e *streamEnd) readSome(rnd *rand.Rand, p *socketapi.Poller, buf []byte) error {
	c, so := e.c, e.c.Socket()
	n, err := 0, error(nil)
	switch rnd.IntN(6) {
	case 0, 1:
		n, err = c.Read(buf)
	case 2: // a deadline that may expire
		_ = c.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(2000)) * time.Microsecond))
		n, err = c.Read(buf)
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	case 3:
		n, err = so.Recv(buf, socketapi.MsgPeek)
		if err == nil {
			e.compare(buf[:n], e.got)
			n = 0
		}
	case 4:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		err = c.WaitReadable(ctx, rnd.IntN(40_000))
		cancel()
	case 5:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		var events [1]socketapi.Event
		_, err = p.Wait(ctx, events[:])
		cancel()
		if err == nil {
			n, err = so.RecvMsg(&socketapi.Message{Buffers: [][]byte{buf[:len(buf)/2], buf[len(buf)/2:]}}, 0)
		}
	}
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	e.compare(buf[:n], e.got)
	e.got += n
	return err
}

// meddle changes sizes and marks both ways until stop.
func (e *streamEnd) meddle(rnd *rand.Rand, stop <-chan struct{}) {
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		n := rnd.IntN(1 + rnd.IntN(100_000))
		var err error
		switch rnd.IntN(5) {
		case 0:
			err = e.c.SetReadBuffer(n)
		case 1:
			err = e.c.SetWriteBuffer(n)
		case 2:
			err = e.c.SetReadLowWater(n)
		case 3:
			err = e.c.SetWriteLowWater(n)
		case 4:
			err = e.c.SetNoDelay(n%2 == 0)
		}
		if err != nil && !e.t.Failed() {
			e.fail("meddling: %v", err)
			return
		}
	}
}

// settle checks the books after both streams have ended.
func (e *streamEnd) settle() {
	if err := e.c.WaitAcked(within(e.t)); err != nil {
		e.fail("WaitAcked: %v", err)
		return
	}
	eventually(e.t, e.name+": the FINs are acknowledged", func() bool {
		now := socketapi.AccountOf(e.c)
		// What leads from LAST-ACK to CLOSED acknowledges all, and gVisor takes
		// no further notice of it.
		acked := e.c.State() == socketapi.Closed || int(now.SndUna-e.start.SndUna) == e.size+1
		return acked && int(now.RcvNxt-e.start.RcvNxt) == e.toRead+1
	})
	snd, rcv := e.c.Buffers()
	if snd.Queued != 0 || snd.Unsent != 0 || rcv.Queued != 0 || e.done != e.size || e.got != e.toRead {
		e.fail("in the end: %d of %d written, %d of %d read, %+v %+v", e.done, e.size, e.got, e.toRead, snd, rcv)
	}
}
