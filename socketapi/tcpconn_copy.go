package socketapi

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/socketapi/internal/engine"
)

// Chunk is received bytes in the memory that they were received into, borrowed
// until Release. It is a handle: copies are the same Chunk.
//
// A Chunk holds all of every segment that it has a part of, 64 KiB and more for
// one byte of a large one, and that no longer counts against the receive
// buffer: whoever keeps Chunks bounds their number.
type Chunk struct{ c engine.Chunk }

// Len is the number of bytes.
func (c Chunk) Len() int { return c.c.Len() }

// Slices are the bytes, in order. They must not be written to, nor used after
// Release.
func (c Chunk) Slices() [][]byte { return c.c.Slices() }

// Release gives the memory back. It must be called once, by anyone, also after
// the connection is closed; using a released Chunk panics.
func (c Chunk) Release() { c.c.Release() }

// RecvChunk takes at most n received bytes out of a stream's receive buffer
// without copying them. It makes the same room there as Recv, and has the same
// errors; EINVAL if n is not above zero.
func (so *Socket) RecvChunk(n int) (Chunk, error) {
	if err := so.use(); err != nil {
		return Chunk{}, err
	}
	defer so.done()
	switch {
	case so.kind != stream:
		return Chunk{}, syscall.EOPNOTSUPP
	case n <= 0:
		return Chunk{}, syscall.EINVAL
	}
	so.rcv.mu.Lock()
	defer so.rcv.mu.Unlock()
	c, err := engine.Borrow(so.tcp(), n)
	if _, eof := err.(*tcpip.ErrClosedForReceive); eof && ended(so.stack) == nil {
		return Chunk{}, io.EOF
	}
	if err != nil {
		return Chunk{}, so.errno(err)
	}
	so.moderate(c.Len())
	so.touch()
	return Chunk{c}, nil
}

// ReadChunk is Read without the copy: at most n received bytes, in the memory
// that they were received into. The caller releases the Chunk. Errors are those
// of Read; EINVAL if n is not above zero.
func (c *TCPConn) ReadChunk(n int) (Chunk, error) {
	if !c.valid() {
		return Chunk{}, errNil
	}
	chunk, err := c.readChunk(n)
	if err == io.EOF { //nolint:errorlint // bare, so that it can be returned bare
		return Chunk{}, err
	}
	return chunk, c.opErr("read", err)
}

func (c *TCPConn) readChunk(n int) (chunk Chunk, err error) {
	if err := c.so.use(); err != nil {
		return Chunk{}, err
	}
	defer c.so.done()
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	err = c.attempt(&c.rd, "read", func() (err error) {
		if err := c.so.awaitMark(n); err != nil {
			return err
		}
		chunk, err = c.so.RecvChunk(n)
		return err
	})
	return chunk, err
}

// buffersWriter is a writer for which several buffers are one call: ours.
type buffersWriter interface {
	WriteBuffers(bufs [][]byte) (int64, error)
}

// WriteTo writes what is received to w until the peer's FIN, straight from the
// memory that it was received into. It implements io.WriterTo, so that io.Copy
// uses it. An error of the connection is wrapped, one of w returned as it is;
// bytes that w did not take are lost then.
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	if !c.valid() {
		return 0, errNil
	}
	var done int64
	var bufs net.Buffers // out of the loop: a pointer to it escapes
	for {
		chunk, err := c.readChunk(copyChunk)
		if err == io.EOF { //nolint:errorlint // bare
			return done, nil
		}
		if err != nil {
			return done, c.opErr("writeto", err)
		}
		n, err := writeAll(w, chunk.Slices(), &bufs)
		chunk.Release()
		done += n
		if err != nil {
			return done, err
		}
	}
}

// copyChunk bounds what is borrowed at a time: enough for a system call to be
// worth it, little enough to leave the rest in the receive buffer, where it
// closes the window when w is slow.
const copyChunk = 256 << 10

// writeAll writes slices to w with as few calls as w allows: package net's own
// connections take them all at once.
func writeAll(w io.Writer, slices [][]byte, bufs *net.Buffers) (int64, error) {
	if bw, ok := w.(buffersWriter); ok {
		return bw.WriteBuffers(slices)
	}
	if len(slices) == 1 {
		n, err := w.Write(slices[0])
		if err == nil && n < len(slices[0]) {
			err = io.ErrShortWrite
		}
		return int64(n), err
	}
	*bufs = slices
	return bufs.WriteTo(w)
}

// ReadFrom writes what r gives until its end. It implements io.ReaderFrom, so
// that io.Copy uses it. Other Writes wait until it is through.
//
// From a TCPConn, a regular file and everything in memory that says how much is
// left (bytes.Reader and its like), alone or in an io.LimitedReader, the bytes
// go to the send buffer with the one copy that gVisor makes. gVisor must be told
// beforehand how much a reader will give (Endpoint.readFromPayloader); who
// cannot say that is read into a buffer first.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	if !c.valid() {
		return 0, errNil
	}
	if from, ok := r.(*TCPConn); ok && from.valid() {
		n, err := from.WriteTo(c)
		return n, err
	}
	size, known := sizeOf(r)
	if known {
		return c.readSized(r, size)
	}
	return c.readUnsized(r)
}

// readUnsized writes what r gives by way of a buffer: a small one while r has
// little, so that a source that is silent most of the time holds little memory,
// and a large one while r fills what it is given.
func (c *TCPConn) readUnsized(r io.Reader) (done int64, err error) {
	small := make([]byte, copySmall)
	buf, large := small, (*[copyLarge]byte)(nil)
	defer func() {
		if large != nil {
			copyPool.Put(large)
		}
	}()
	for {
		n, rerr := r.Read(buf)
		if n > 0 {
			m, err := c.write("readfrom", buf[:n], nil)
			done += m
			if err != nil {
				return done, err
			}
		}
		if rerr == io.EOF {
			return done, nil
		}
		if rerr != nil {
			return done, rerr
		}
		switch {
		case n == len(buf) && large == nil:
			large = copyPool.Get().(*[copyLarge]byte)
			buf = large[:]
		case n < copySmall && large != nil:
			copyPool.Put(large)
			buf, large = small, nil
		}
	}
}

// What a source of unknown length is read into.
const (
	copySmall = 4 << 10
	copyLarge = 128 << 10
)

var copyPool = sync.Pool{New: func() any { return new([copyLarge]byte) }}

// sizeOf is how much r will give, if it is one of those that know.
func sizeOf(r io.Reader) (int64, bool) {
	switch r := r.(type) {
	case *io.LimitedReader:
		n, ok := sizeOf(r.R)
		return min(n, max(r.N, 0)), ok
	case *os.File:
		info, err := r.Stat()
		if err != nil || info.Mode()&fs.ModeType != 0 {
			return 0, false
		}
		at, err := r.Seek(0, io.SeekCurrent)
		// A size of 0 is what the kernel says of files that it makes up.
		return info.Size() - at, err == nil && info.Size() > 0 && at <= info.Size()
	case interface{ Len() int }:
		return int64(r.Len()), true
	default:
		return 0, false
	}
}

// sized is a reader of which so many bytes are left, as tcpip.Payloader.
type sized struct {
	r    io.Reader
	left int   // for this piece
	err  error // what r said instead of giving them
}

// Len implements tcpip.Payloader.
func (s *sized) Len() int { return s.left }

// Read implements io.Reader. gVisor asks for all of Len, and takes no io.EOF
// for an answer: a source that gives less is an error.
func (s *sized) Read(p []byte) (int, error) {
	if len(p) == 0 || s.left == 0 {
		return 0, nil
	}
	n, err := io.ReadFull(s.r, p[:min(len(p), s.left)])
	s.left -= n
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		s.err = err
	}
	return n, err
}

// readSized writes what r gives, which is size bytes.
func (c *TCPConn) readSized(r io.Reader, size int64) (int64, error) {
	if err := c.so.use(); err != nil {
		return 0, c.opErr("readfrom", err)
	}
	defer c.so.done()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	src := &sized{r: r}
	var done int64
	for done < size {
		waited := false
		err := c.attempt(&c.wr, "write", func() error {
			n, err := c.so.sendSized(src, size-done)
			done += int64(n)
			if err == syscall.EAGAIN && !waited { //nolint:errorlint // a Socket's errnos are bare
				waited = true
				c.so.writerWaits(true)
			}
			return err
		})
		if waited {
			c.so.writerWaits(false)
		}
		if src.err != nil {
			return done, src.err
		}
		if err != nil {
			return done, c.opErr("readfrom", err)
		}
	}
	return done, nil
}

// sendSized sends a piece of what src gives, at most left bytes.
func (so *Socket) sendSized(src *sized, left int64) (int, error) {
	so.snd.mu.Lock()
	defer so.snd.unlock(so.ep.SocketOptions())
	limit, err := so.pieceLimit()
	if err != nil {
		return 0, err
	}
	src.left = int(min(left, int64(limit)))
	n, terr := so.ep.Write(src, tcpip.WriteOptions{})
	so.touch()
	if terr != nil {
		return 0, so.errno(terr)
	}
	return int(n), nil
}
