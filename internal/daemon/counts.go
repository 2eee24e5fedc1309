package daemon

import (
	"io"
	"sync/atomic"

	"tapstack/socketapi"
)

// serviceCounts count what a service did since the daemon began. In is from
// clients, out to them, in bytes of payload.
type serviceCounts struct {
	opened                    atomic.Uint64
	active                    atomic.Int64
	in, out                   atomic.Uint64
	datagramsIn, datagramsOut atomic.Uint64
	udpIn, udpOut             atomic.Uint64 // bytes of theirs
	dropped                   atomic.Uint64 // datagrams without an answer
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.counts.in.Add(uint64(n))
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.counts.out.Add(uint64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom, for files that http serves.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.counts.out.Add(uint64(n))
	return n, err
}

// countingWriter counts what is written to a connection, or thrown away if
// there is none. It has the call that saves copies (socketapi.TCPConn.WriteTo).
type countingWriter struct {
	to *socketapi.TCPConn
	n  []*atomic.Uint64
}

// Write implements io.Writer.
func (w *countingWriter) Write(p []byte) (n int, err error) {
	n = len(p)
	if w.to != nil {
		n, err = w.to.Write(p)
	}
	w.add(int64(n))
	return n, err
}

// WriteBuffers is socketapi.TCPConn's.
func (w *countingWriter) WriteBuffers(bufs [][]byte) (n int64, err error) {
	if w.to != nil {
		n, err = w.to.WriteBuffers(bufs)
	} else {
		for _, b := range bufs {
			n += int64(len(b))
		}
	}
	w.add(n)
	return n, err
}

func (w *countingWriter) add(n int64) {
	for _, c := range w.n {
		c.Add(uint64(n))
	}
}
