package daemon

import (
	"io"
	"maps"
	"slices"
	"sync/atomic"

	"tapstack/internal/daemon/metrics"
)

// serviceCounts are those of one service, since the daemon began.
type serviceCounts struct {
	opened, over   atomic.Uint64 // TCP connections
	received, sent atomic.Uint64 // bytes of payload, of TCP and UDP
}

// moved counts bytes that the service has taken and given. What is copied
// without being looked at (socketapi.TCPConn.WriteTo) is counted when the
// copying ends.
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
			Received: n.received.Load(), Sent: n.sent.Load(),
		})
	}
	return out
}

// observe counts a connection that is over, and tells how it was.
func (s *Services) observe(c *conn) {
	c.counts.over.Add(1)
	if s.report == nil {
		return
	}
	info, err := c.Info()
	if err != nil {
		return
	}
	if account, ok := c.Holdup(); ok {
		s.report(c.name, info, &account)
		return
	}
	s.report(c.name, info, nil)
}

// What net/http calls is counted as it goes; the small services count for
// themselves, and copy by the TCPConn's own WriteTo and ReadFrom.

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
