package daemon

import (
	"errors"
	"io"
	"os"

	"tapstack/socketapi"
)

// The small services: each serves one connection until there is nothing left
// to do, the connection breaks, or it is stopped. What they have in common,
// closing, is conn.finish.

// echo sends back what it receives (RFC 862), until the peer's FIN.
func echo(c *conn) error {
	n, err := io.Copy(c.TCPConn, c.TCPConn)
	c.counts.moved(n, n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Stopped. The peer may rely on what we have acknowledged.
		c.end()
		n, err = io.CopyN(c.TCPConn, c.TCPConn, int64(c.ReceiveBuffer().Queued))
		c.counts.moved(n, n)
	}
	return err
}

// discard reads everything (RFC 863), until the peer's FIN.
func discard(c *conn) error {
	n, err := io.Copy(io.Discard, c.TCPConn)
	c.counts.moved(n, 0)
	return err
}

// chargen writes its pattern (RFC 864) until the peer's FIN, and throws away
// what it receives.
func chargen(c *conn) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n, _ := io.Copy(io.Discard, c.TCPConn)
		c.counts.moved(n, 0)
		// A FIN, or a stop: the writer may wait for a window that never
		// opens, so it is told by its deadline.
		_ = c.SetWriteDeadline(past)
	}()
	var err error
	for err == nil {
		var n int
		n, err = c.TCPConn.Write(pattern)
		c.counts.moved(0, int64(n))
	}
	<-ended
	return err
}

// pattern is RFC 864's, a whole number of periods: written over and over it
// has no seam.
var pattern = makePattern(64 << 10)

// makePattern makes whole periods of the pattern, at least size bytes. Line i
// begins with printing character i and has 72 of them.
func makePattern(size int) []byte {
	const first, last, width = 32, 126, 72 // space to tilde
	const count = last - first + 1
	var p []byte
	for len(p) < size {
		for i := range count {
			for j := range width {
				p = append(p, byte(first+(i+j)%count))
			}
			p = append(p, '\r', '\n')
		}
	}
	return p
}

// listenEchoUDP starts the echo of datagrams.
func (s *Services) listenEchoUDP(name, addr string) error {
	c, err := socketapi.ListenUDP(s.stack, "udp", addr)
	if err != nil {
		return err
	}
	s.opened(name, c.LocalAddr(), c)
	s.work.Go(func() { s.ended(name, echoUDP(c, s.countsOf(name))) })
	return nil
}

// echoUDP sends every datagram back, until the socket is closed.
func echoUDP(c *socketapi.UDPConn, counts *serviceCounts) error {
	local, err := addrPortOf(c.LocalAddr())
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		// Two echoes would answer each other for ever, should anyone forge
		// the first datagram.
		if from.Port() == local.Port() {
			continue
		}
		// A datagram that can not be sent is a datagram lost; the stack
		// counts it.
		sent, _ := c.WriteToUDPAddrPort(buf[:n], from)
		counts.moved(int64(n), int64(sent))
	}
}
