package daemon

import (
	"io"
	"maps"
	"slices"
	"sync/atomic"

	"tapstack/internal/daemon/metrics"
	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
)

// serviceCounts are those of one service, since the daemon began.
type serviceCounts struct {
	opened, over   atomic.Uint64 // TCP connections
	received, sent atomic.Uint64 // bytes of payload, of TCP

	datagramsIn, datagramsOut atomic.Uint64
	udpIn, udpOut             atomic.Uint64 // bytes of payload
	dropped                   atomic.Uint64 // datagrams that were not answered
}

// moved counts bytes that the service has taken and given.
func (n *serviceCounts) moved(received, sent int64) {
	n.received.Add(uint64(max(0, received)))
	n.sent.Add(uint64(max(0, sent)))
}

// countsOf are a service's, which outlive its listening.
func (s *Services) countsOf(name string) *serviceCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[name] == nil {
		s.counts[name] = &serviceCounts{}
	}
	return s.counts[name]
}

// Counts are what each service that has ever listened did, by name.
func (s *Services) Counts() (out []metrics.Service) {
	s.mu.Lock()
	counts := maps.Clone(s.counts)
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		n := counts[name]
		// In this order: what is over was opened before.
		over := n.over.Load()
		opened := n.opened.Load()
		out = append(out, metrics.Service{
			Name: name, Opened: opened, Active: opened - over,
			Received: n.received.Load() + n.udpIn.Load(), Sent: n.sent.Load() + n.udpOut.Load(),
		})
	}
	return out
}

// observe counts a connection that is over, and tells how it was.
func (s *Services) observe(c *conn) {
	c.counts.over.Add(1)
	report(s.report, c.name, c.TCPConn)
}

// report tells of a connection that is over; to may be nil.
func report(to func(string, socketapi.Info, *holdup.Report), service string, c *socketapi.TCPConn) {
	if to == nil {
		return
	}
	info, err := c.Info()
	if err != nil {
		return
	}
	if account, ok := c.Holdup(); ok {
		to(service, info, &account)
		return
	}
	to(service, info, nil)
}

// What net/http calls is counted as it goes; the small services copy by the
// TCPConn's own WriteTo, to a countingWriter.

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.counts.moved(int64(n), 0)
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.counts.moved(0, int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.counts.moved(0, n)
	return n, err
}

// countingWriter counts what a service has taken out of a connection, and
// writes it to another or throws it away if there is none. It has the call that
// saves copies (socketapi.TCPConn.WriteTo).
type countingWriter struct {
	to     *socketapi.TCPConn
	counts *serviceCounts
}

// Write implements io.Writer.
func (w *countingWriter) Write(p []byte) (n int, err error) {
	if w.to == nil {
		w.counts.moved(int64(len(p)), 0)
		return len(p), nil
	}
	n, err = w.to.Write(p)
	w.counts.moved(int64(n), int64(n))
	return n, err
}

// WriteBuffers is socketapi.TCPConn's.
func (w *countingWriter) WriteBuffers(bufs [][]byte) (n int64, err error) {
	if w.to == nil {
		for _, b := range bufs {
			n += int64(len(b))
		}
		w.counts.moved(n, 0)
		return n, nil
	}
	n, err = w.to.WriteBuffers(bufs)
	w.counts.moved(n, n)
	return n, err
}
