package socketapi

import (
	"errors"
	"io"
	"net"
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
	so.tookBytes()
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
	return chunk, c.so.endOf(err)
}

// buffersWriter is a writer for which several buffers are one call: ours.
type buffersWriter interface {
	WriteBuffers(bufs [][]byte) (int64, error)
}

// WriteTo writes what is received to w until the peer's FIN, straight from the
// memory that it was received into. It implements io.WriterTo, so that io.Copy
// uses it. An error of the connection is wrapped, one of w returned as it is;
// bytes that w did not take are lost then. Errors otherwise: as Read.
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
		return writeOne(w, slices[0])
	}
	want := int64(total(slices))
	*bufs = slices
	n, err := bufs.WriteTo(w)
	if err == nil && n < want {
		err = io.ErrShortWrite // package net goes on
	}
	return n, err
}

// errInvalidWrite is what a writer gets that says to have written less than
// nothing, or more than it was given.
var errInvalidWrite = errors.New("invalid write result")

// writeOne writes p to w, in one call.
func writeOne(w io.Writer, p []byte) (int64, error) {
	n, err := w.Write(p)
	switch {
	case n < 0 || n > len(p):
		return 0, errInvalidWrite
	case err == nil && n < len(p):
		return int64(n), io.ErrShortWrite
	default:
		return int64(n), err
	}
}
