package proxy

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// webListener gives net/http connections that are sessions.
type webListener struct {
	net.Listener
	s *Service
}

// Accept implements net.Listener.
func (l webListener) Accept() (net.Conn, error) {
	c, err := l.s.accept(l.Listener)
	if err != nil {
		return nil, err
	}
	c.watch()
	w := &webConn{Conn: c.client, session: c}
	if l.s.opt.AcceptPROXY {
		w.first = bufio.NewReaderSize(c.client, 4<<10)
	}
	return w, nil
}

// webConn is a client's connection while net/http has it: until Close, or until
// a tunnel takes its session over.
type webConn struct {
	net.Conn
	session *session

	// Of the goroutine that reads.
	first  *bufio.Reader // not nil: what is read first, with a PROXY header if not header
	header bool

	denied atomic.Pointer[Cause] // of the last request that was
	read   atomic.Pointer[error] // why reading has ended
	once   sync.Once
}

// Read implements net.Conn.
func (w *webConn) Read(p []byte) (n int, err error) {
	switch {
	case w.first == nil:
		n, err = w.Conn.Read(p)
	case !w.header:
		if err := w.session.readPROXY(w.first); err != nil {
			w.read.Store(&err)
			w.session.fail(err)
			return 0, err
		}
		w.header = true
		fallthrough
	default:
		if w.first.Buffered() == 0 {
			w.first = nil
			n, err = w.Conn.Read(p)
			break
		}
		n, err = w.first.Read(p)
	}
	if err != nil {
		w.read.Store(&err)
	}
	w.session.svc.counts.in.Add(uint64(n))
	w.session.touch()
	return n, err
}

// Write implements net.Conn.
func (w *webConn) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.session.svc.counts.out.Add(uint64(n))
	w.session.touch()
	return n, err
}

// CloseWrite is what net/http ends an answer with that refuses a request.
func (w *webConn) CloseWrite() error { return closeWrite(w.Conn) }

// Close implements net.Conn. It is the end of the session.
func (w *webConn) Close() error {
	err := w.Conn.Close()
	w.over(w.why())
	return err
}

// over ends the session, once.
func (w *webConn) over(err error) {
	w.once.Do(func() {
		w.session.rest()
		w.session.over(err)
		w.session.svc.work.Done()
	})
}

// use marks that a request is passed on.
func (w *webConn) use() {
	w.session.svc.mu.Lock()
	defer w.session.svc.mu.Unlock()
	w.session.relaying = true
}

// why is why it came to nothing, if it did.
func (w *webConn) why() error {
	w.session.svc.mu.Lock()
	used := w.session.relaying
	w.session.svc.mu.Unlock()
	if used {
		return nil
	}
	if cause := w.denied.Load(); cause != nil {
		return refuse(*cause, errDenied)
	}
	switch err := w.read.Load(); {
	case err == nil:
		return refuse(CauseGarbage, errors.New("no HTTP request"))
	case errors.Is(*err, os.ErrDeadlineExceeded):
		return refuse(CauseStalled, *err)
	case errors.Is(*err, io.EOF):
		return refuse(CauseGone, *err)
	default:
		return refuse(readCause(*err), *err)
	}
}

var errDenied = errors.New("its request was denied")

// quietLog is for what net/http logs: hostile input, for the most part.
type quietLog struct{ s *Service }

// Write implements io.Writer.
func (l quietLog) Write(p []byte) (int, error) {
	l.s.log.say(slog.LevelDebug, CauseFailed, "net/http: "+strings.TrimSpace(string(p)))
	return len(p), nil
}

// bufferPool lends httputil.ReverseProxy buffers.
type bufferPool struct{}

// Get implements httputil.BufferPool.
func (bufferPool) Get() []byte { return pooled.Get().(*[pooledSize]byte)[:] }

// Put implements httputil.BufferPool.
func (bufferPool) Put(b []byte) { pooled.Put((*[pooledSize]byte)(b)) }
