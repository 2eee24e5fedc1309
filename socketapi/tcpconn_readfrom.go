package socketapi

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
)

// ReadFrom writes what r gives until its end. It implements io.ReaderFrom, so
// that io.Copy uses it. A Write at the same time waits until it is through or
// comes between two of its pieces.
//
// From a TCPConn, a regular file, a bytes.Reader, bytes.Buffer or
// strings.Reader, the latter four also in an io.LimitedReader, the bytes go to
// the send buffer with the one copy that gVisor makes. gVisor must be told
// beforehand how much a reader will give (Endpoint.readFromPayloader), and must
// not be kept waiting for it; what others give is read into a buffer first.
//
// An error of the connection is wrapped, one of r returned as it is, and what r
// gave before it is sent. If the connection takes no more, bytes that it has not
// taken may be read from r and lost. Errors otherwise: as Write.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	if !c.valid() {
		return 0, errNil
	}
	if from, ok := r.(*TCPConn); ok && from.valid() {
		return from.WriteTo(c)
	}
	size, known := sizeOf(r)
	if !known {
		return c.readUnsized(r)
	}
	done, err := c.readSized(r, size)
	if err != nil || exact(r) {
		return done, err
	}
	more, err := c.readUnsized(r) // a file may have grown
	return done + more, err
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

// sizeOf is how much r will give, if it is one of those that know. It goes by
// type: whoever else has a method Len may mean something else by it.
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
	case *bytes.Reader:
		return int64(r.Len()), true
	case *bytes.Buffer:
		return int64(r.Len()), true
	case *strings.Reader:
		return int64(r.Len()), true
	default:
		return 0, false
	}
}

// exact reports whether there is nothing behind what sizeOf said.
func exact(r io.Reader) bool {
	if l, ok := r.(*io.LimitedReader); ok {
		return l.N <= 0 || exact(l.R)
	}
	_, file := r.(*os.File)
	return !file
}

// sized is a reader of which so many bytes are left, as tcpip.Payloader.
type sized struct {
	r    io.Reader
	left int   // for this piece
	err  error // what r said instead of giving them

	given   [][]byte // of this piece, in gVisor's memory
	rescued []byte   // a copy of what r gave of the piece that it did not finish
}

// piece begins a new one.
func (s *sized) piece(n int) { s.left, s.given = n, s.given[:0] }

// Len implements tcpip.Payloader.
func (s *sized) Len() int { return s.left }

// Read implements io.Reader. gVisor asks for all of Len, and takes no io.EOF
// for an answer (Buffer.WriteFromReaderAndLimitedReader goes on for ever). Of a
// piece that ends in an error it drops everything, so that is kept here.
func (s *sized) Read(p []byte) (int, error) {
	if len(p) == 0 || s.left == 0 {
		return 0, nil
	}
	n, err := io.ReadFull(s.r, p[:min(len(p), s.left)])
	s.left -= n
	s.given = append(s.given, p[:n])
	if err == nil {
		return n, nil
	}
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	s.err, s.rescued = err, bytes.Join(s.given, nil)
	return n, io.ErrUnexpectedEOF
}

// readSized writes what r gives, which is size bytes unless a file has shrunk,
// or is one of those that the kernel makes up.
func (c *TCPConn) readSized(r io.Reader, size int64) (int64, error) {
	if err := c.so.use(); err != nil {
		return 0, c.opErr("readfrom", err)
	}
	defer c.so.done()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	src := &sized{r: r}
	var done int64
	for done < size && src.err == nil {
		n, err := c.writing(func() (int, error) { return c.so.sendSized(src, size-done) })
		done += int64(n)
		if err != nil && src.err == nil {
			return done, c.opErr("readfrom", err)
		}
	}
	if len(src.rescued) > 0 {
		n, err := c.writeAll(src.rescued, nil)
		done += int64(n)
		if err != nil {
			return done, c.opErr("readfrom", err)
		}
	}
	if src.err == io.EOF { //nolint:errorlint // io.Reader's contract: bare
		return done, nil
	}
	return done, src.err
}

// sendSized sends a piece of what src gives, at most left bytes.
func (so *Socket) sendSized(src *sized, left int64) (int, error) {
	so.snd.mu.Lock()
	defer so.sendUnlock()
	if so.watched.Load()&watchSent != 0 {
		defer so.tellSent(so.look().Snd.Unsent)
	}
	limit, err := so.pieceLimit()
	if err != nil {
		return 0, err
	}
	defer so.uncork(false)
	src.piece(int(min(left, int64(limit))))
	n, terr := so.give(src)
	so.touch()
	if terr != nil {
		err := so.errno(terr)
		if err == syscall.EAGAIN { //nolint:errorlint // a Socket's errnos are bare
			so.stuck()
		}
		return 0, err
	}
	return int(n), nil
}
