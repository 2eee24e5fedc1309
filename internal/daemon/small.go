package daemon

import (
	"errors"
	"io"
	"os"
	"time"

	"tapstack/socketapi"
)

// The small services: each serves one connection until there is nothing left
// to do, the connection breaks, or it is stopped. What they have in common,
// closing, is conn.finish.

// echo sends back what it receives (RFC 862), until the peer's FIN.
func echo(c *conn) error {
	back := &countingWriter{to: c.TCPConn, counts: c.counts}
	_, err := io.Copy(back, c.TCPConn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Stopped. The peer may rely on what we have acknowledged.
		c.end()
		_, err = io.CopyN(back, c.TCPConn, int64(c.ReceiveBuffer().Queued))
	}
	return err
}

// discard reads everything (RFC 863), until the peer's FIN.
func discard(c *conn) error {
	_, err := io.Copy(&countingWriter{counts: c.counts}, c.TCPConn)
	return err
}

// chargen writes its pattern (RFC 864) until the peer's FIN, and throws away
// what it receives.
func chargen(c *conn) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = discard(c)
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

// daytime says what time it is (RFC 867), and listens to nothing.
func daytime(c *conn) error {
	_, err := io.WriteString(c, daytimeLine(time.Now()))
	return err
}

// daytimeLine is the time in the form that RFC 867 gives as its first example.
func daytimeLine(t time.Time) string { return t.Format("Monday, January 2, 2006 15:04:05-MST\r\n") }

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
	return s.listenUDP(name, addr, func(p []byte) []byte { return p })
}

// listenDaytimeUDP starts telling the time to whoever sends a datagram.
func (s *Services) listenDaytimeUDP(name, addr string) error {
	return s.listenUDP(name, addr, func([]byte) []byte { return []byte(daytimeLine(time.Now())) })
}

// listenUDP starts a service that answers each datagram with another.
func (s *Services) listenUDP(name, addr string, answer func([]byte) []byte) error {
	c, err := socketapi.ListenUDP(s.stack, "udp", addr)
	if err != nil {
		return err
	}
	s.opened(name, c.LocalAddr(), c)
	s.work.Go(func() { s.ended(name, s.answerUDP(c, s.countsOf(name), answer)) })
	return nil
}

// answerUDP answers every datagram, until the socket is closed.
func (s *Services) answerUDP(c *socketapi.UDPConn, n *serviceCounts, answer func([]byte) []byte) error {
	local, err := addrPortOf(c.LocalAddr())
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		size, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		n.udpIn.Add(uint64(size))
		n.datagramsIn.Add(1)
		// Two echoes would answer each other for ever, should anyone forge
		// the first datagram.
		if from.Port() == local.Port() {
			n.dropped.Add(1)
			continue
		}
		sent, err := c.WriteToUDPAddrPort(answer(buf[:size]), from)
		if err != nil {
			n.dropped.Add(1) // a datagram that cannot be sent is a datagram lost
			continue
		}
		n.udpOut.Add(uint64(sent))
		n.datagramsOut.Add(1)
	}
}
