package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// relay moves bytes between the client and target until both have sent a FIN,
// each of which is carried to the other side, then closes both. opening goes to
// the target first, and then early, which the client has sent. An error of
// either connection resets both. target is relay's.
//
// A byte is in the receive buffer of the connection that it came from or in the
// send buffer of the one that it goes to, and in neither of ours for longer
// than a system call takes: but for early, and 256 KiB at most on the way from
// a stack to the kernel (socketapi.TCPConn.WriteTo).
func (c *session) relay(target net.Conn, opening, early []byte) error {
	if !c.begin(target) {
		return refuse(CauseShutdown, errShutdown)
	}
	c.watch()
	defer c.rest()
	back := make(chan struct{})
	go func() {
		defer close(back)
		c.pump(c.client, target, &c.svc.counts.out)
	}()
	if err := c.open(target, opening, early); err != nil {
		c.fail(refuse(CauseReset, err))
	} else {
		c.pump(target, c.client, &c.svc.counts.in)
	}
	<-back
	for _, conn := range []net.Conn{target, c.client} {
		if err := c.acked(conn); err != nil {
			c.fail(refuse(CauseReset, err))
		}
		_ = conn.Close() // net.ErrClosed after fail
		if relayed := c.svc.opt.Relayed; relayed != nil {
			relayed(conn)
		}
	}
	return nil
}

// open writes what goes to the target before anything that is relayed.
func (c *session) open(target net.Conn, opening, early []byte) error {
	if len(opening)+len(early) == 0 {
		return nil
	}
	_, err := target.Write(append(opening[:len(opening):len(opening)], early...))
	return err
}

// pump moves one direction and carries its end over.
func (c *session) pump(dst, src net.Conn, n *atomic.Uint64) {
	_, err := io.Copy(&meter{c: c, dst: dst, n: n}, c.source(src, n))
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		c.fail(refuse(CauseReset, err))
	}
}

// source is src as something to copy from: what can write itself to a meter
// without a buffer of ours does.
func (c *session) source(src net.Conn, n *atomic.Uint64) io.Reader {
	if k := c.kernelSource(src, n); k != nil {
		return k
	}
	return src
}

// gatherer takes several buffers in one call: *socketapi.TCPConn.
type gatherer interface {
	WriteBuffers(bufs [][]byte) (int64, error)
}

// meter is the destination of one direction: it counts bytes and notes that
// they moved, and has the calls that save copies.
//
//	stack  -> stack, kernel   socketapi.TCPConn.WriteTo -> WriteBuffers: from the memory it was received in
//	kernel -> stack           kernelSource.WriteTo -> ReadFrom -> socketapi.TCPConn.ReadFrom: read(2) into gVisor's memory
//	else                      a pooled buffer, held while bytes are in it
type meter struct {
	c    *session
	dst  net.Conn
	n    *atomic.Uint64
	bufs net.Buffers
}

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	n, err := m.dst.Write(p)
	m.moved(n)
	return n, err
}

// WriteBuffers is what socketapi.TCPConn.WriteTo looks for.
func (m *meter) WriteBuffers(bufs [][]byte) (n int64, err error) {
	if g, ok := m.dst.(gatherer); ok {
		n, err = g.WriteBuffers(bufs)
	} else {
		m.bufs = bufs // writev(2), if it is one of package net's
		n, err = m.bufs.WriteTo(m.dst)
	}
	m.moved(int(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom. A burst goes straight to a connection that
// can take it; it counts itself, as it may take long.
func (m *meter) ReadFrom(r io.Reader) (int64, error) {
	if b, ok := r.(*burst); ok {
		if _, ours := m.dst.(gatherer); ours {
			return m.dst.(io.ReaderFrom).ReadFrom(b)
		}
		return copyPooled(m.dst, b)
	}
	return copyPooled(struct{ io.Writer }{m}, r)
}

func (m *meter) moved(n int) {
	m.n.Add(uint64(n))
	m.c.touch()
}

// pooledSize is enough for the cost of a system call not to matter.
const pooledSize = 64 << 10

var pooled = sync.Pool{New: func() any { return new([pooledSize]byte) }}

// copyPooled is io.Copy with a buffer of our own.
func copyPooled(w io.Writer, r io.Reader) (int64, error) {
	buf := pooled.Get().(*[pooledSize]byte)
	defer pooled.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
}

// burst is bytes that are in the kernel's receive buffer now, left of them.
type burst struct {
	c    *session
	conn net.Conn
	n    *atomic.Uint64
	left int
}

// Len is what socketapi.TCPConn.ReadFrom looks for: who knows how much there is
// is read from without a buffer in between.
func (b *burst) Len() int { return b.left }

// Read implements io.Reader.
func (b *burst) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	b.n.Add(uint64(n))
	b.c.touch()
	return n, err
}
