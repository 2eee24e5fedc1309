package socketapi

import (
	"bytes"
	"io"
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/stack"
)

// TCPConn is a TCP connection. It implements net.Conn with the behaviour of
// net.TCPConn; its two buffers can be sized and seen.
type TCPConn struct {
	endpoint
	tcp           *tcp.Endpoint // ep again, as what it is
	local, remote *net.TCPAddr

	// Reused from call to call so that Read and Write allocate nothing.
	readTo    tcpip.SliceWriter // under rd.mu
	writeFrom bytes.Reader      // under wr.mu
	writeSize int               // under wr.mu; 0 until the first Write
}

var (
	_ net.Conn    = (*TCPConn)(nil)
	_ io.WriterTo = (*TCPConn)(nil)
)

// newTCPConn wraps a connected endpoint, which it owns from here on.
func newTCPConn(s *stack.Stack, ep tcpip.Endpoint, q *waiter.Queue) *TCPConn {
	c := &TCPConn{tcp: ep.(*tcp.Endpoint)}
	c.init(s, ep, q)
	c.setAddrs()
	return c
}

// setAddrs remembers both addresses: they must be there to print after Close.
func (c *TCPConn) setAddrs() {
	if a, err := c.ep.GetLocalAddress(); err == nil {
		c.local = tcpAddr(addrPort(c.stack, a))
	}
	if a, err := c.ep.GetRemoteAddress(); err == nil {
		c.remote = tcpAddr(addrPort(c.stack, a))
	}
}

// setDefaults puts in force what every new connection of package net has, on
// dialled and accepted ones alike: gVisor hands nothing down from a listener.
func setDefaults(ep tcpip.Endpoint, keepAlive time.Duration) {
	o := ep.SocketOptions()
	o.SetDelayOption(false) // no Nagle
	if keepAlive < 0 {
		return
	}
	if keepAlive == 0 {
		keepAlive = defaultKeepAlive
	}
	idle := tcpip.KeepaliveIdleOption(keepAlive)
	interval := tcpip.KeepaliveIntervalOption(keepAlive)
	// Neither can fail for a positive duration.
	_ = ep.SetSockOpt(&idle)
	_ = ep.SetSockOpt(&interval)
	o.SetKeepAlive(true)
}

// defaultKeepAlive is package net's: idle time and interval.
const defaultKeepAlive = 15 * time.Second

// opErr wraps an error of this connection.
func (c *TCPConn) opErr(op string, err error) error {
	return opErr(op, "tcp", c.LocalAddr(), c.RemoteAddr(), err)
}

// Read copies received bytes to p and makes room for them in the receive
// buffer. It waits until there is at least one.
//
// Errors: io.EOF after the peer's FIN (or CloseRead); ECONNRESET, ETIMEDOUT;
// net.ErrClosed; os.ErrDeadlineExceeded.
func (c *TCPConn) Read(p []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, c.opErr("read", err)
	}
	defer c.done()
	if len(p) == 0 {
		return 0, nil
	}
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	defer func() { c.readTo = nil }()
	n := 0
	err := c.attempt(&c.rd, "read", func() tcpip.Error {
		c.readTo = p
		res, err := c.ep.Read(&c.readTo, tcpip.ReadOptions{})
		if _, eof := err.(*tcpip.ErrClosedForReceive); eof {
			return nil // n stays 0
		}
		n = res.Count
		return err
	})
	if err != nil {
		return 0, c.opErr("read", err)
	}
	if n == 0 {
		return 0, io.EOF
	}
	// Autotuning counts what the application takes (tcp.Endpoint, rcvbuf
	// moderation); without this call the buffer never grows.
	c.ep.ModerateRecvBuf(n)
	return n, nil
}

// WriteTo reads until EOF into w. It implements io.WriterTo for io.Copy.
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	// The plain struct hides WriteTo from io.Copy.
	return io.CopyBuffer(w, struct{ io.Reader }{c}, make([]byte, 64<<10))
}

// Write copies p into the send buffer, waiting for room as often as it takes.
// A nil error means that all of p is in the send buffer, not that the peer has
// acknowledged it. p is the caller's again when Write returns.
//
// Errors: EPIPE after CloseWrite, ECONNRESET, ETIMEDOUT; net.ErrClosed;
// os.ErrDeadlineExceeded. The count says how much of p was taken before.
func (c *TCPConn) Write(p []byte) (int, error) {
	if err := c.use(); err != nil {
		return 0, c.opErr("write", err)
	}
	defer c.done()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	defer c.writeFrom.Reset(nil)
	if c.writeSize == 0 {
		c.writeSize = writeSize(readTCP(c.tcp).mss)
	}
	total := 0
	for {
		err := c.attempt(&c.wr, "write", func() tcpip.Error {
			if len(p) == 0 {
				return nil
			}
			// From the start of what is left each time: gVisor may read more
			// of it than it then accepts.
			c.writeFrom.Reset(p[total:min(total+c.writeSize, len(p))])
			n, err := c.ep.Write(&c.writeFrom, tcpip.WriteOptions{})
			total += int(n)
			return err
		})
		if err != nil {
			return total, c.opErr("write", err)
		}
		if total == len(p) {
			return total, nil
		}
	}
}

// writeSize is how much of a Write is handed to gVisor at a time: whole
// segments, as many as fit a device's largest frame. gVisor keeps what it is
// handed as one piece, cuts it where a frame is full and never joins the end of
// one piece with the beginning of the next: 256 KiB at once leave as four large
// frames and a runt. (The limit is its maxPayloadSize for host GSO: 64 KiB less
// the largest headers.)
func writeSize(mss int) int {
	const largest = 65_000
	if mss <= 0 {
		return largest
	}
	return max(1, largest/mss) * mss
}

// CloseRead stops reading: Read returns io.EOF from now on. The peer is not
// told.
func (c *TCPConn) CloseRead() error { return c.shutdown(tcpip.ShutdownRead) }

// CloseWrite sends a FIN behind all that was written: the peer reads EOF after
// it. Reading goes on.
func (c *TCPConn) CloseWrite() error { return c.shutdown(tcpip.ShutdownWrite) }

func (c *TCPConn) shutdown(how tcpip.ShutdownFlags) error {
	if err := c.use(); err != nil {
		return c.opErr("close", err)
	}
	defer c.done()
	return c.opErr("close", sysErr("shutdown", c.ep.Shutdown(how)))
}

// Close ends both directions and returns at once. What was written is still
// sent, with a FIN behind it, unless received bytes are unread: then the peer
// gets a reset, which tells it that its data was lost (RFC 2525, 2.17).
// Calls that wait return net.ErrClosed, and so does a second Close.
func (c *TCPConn) Close() error {
	return c.opErr("close", c.close(nil))
}

// Abort drops both buffers, resets the connection and closes it. After Close it
// returns net.ErrClosed.
func (c *TCPConn) Abort() error {
	return c.opErr("abort", c.close(tcpip.Endpoint.Abort))
}

// LocalAddr is our end, a *net.TCPAddr. It is shared by all callers: do not
// modify it.
func (c *TCPConn) LocalAddr() net.Addr { return addrOrNil(c.local) }

// RemoteAddr is the other end, a *net.TCPAddr. It is shared by all callers:
// do not modify it.
func (c *TCPConn) RemoteAddr() net.Addr { return addrOrNil(c.remote) }

// addrOrNil keeps a nil pointer from becoming a net.Addr that is not nil.
func addrOrNil(a *net.TCPAddr) net.Addr {
	if a == nil {
		return nil
	}
	return a
}

// SetDeadline sets both deadlines; the zero time means none. It applies to
// calls under way too.
func (c *TCPConn) SetDeadline(t time.Time) error {
	return c.opErr("set", c.setDeadline(t, &c.rd, &c.wr))
}

// SetReadDeadline sets the deadline of Read.
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	return c.opErr("set", c.setDeadline(t, &c.rd))
}

// SetWriteDeadline sets the deadline of Write.
func (c *TCPConn) SetWriteDeadline(t time.Time) error {
	return c.opErr("set", c.setDeadline(t, &c.wr))
}

// SetNoDelay switches Nagle's algorithm off (true, the default) or on.
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.option(func(o *tcpip.SocketOptions) { o.SetDelayOption(!noDelay) })
}

// SetKeepAlive switches keepalive probes on or off (on by default, 15 s).
func (c *TCPConn) SetKeepAlive(on bool) error {
	return c.option(func(o *tcpip.SocketOptions) { o.SetKeepAlive(on) })
}

// SetLinger decides what Close does with unsent data: 0 discards it and resets
// the connection, any other value sends it in the background.
func (c *TCPConn) SetLinger(sec int) error {
	return c.option(func(o *tcpip.SocketOptions) {
		o.SetLinger(tcpip.LingerOption{Enabled: sec >= 0, Timeout: time.Duration(max(sec, 0)) * time.Second})
	})
}

func (c *TCPConn) option(set func(*tcpip.SocketOptions)) error {
	if err := c.use(); err != nil {
		return c.opErr("set", err)
	}
	defer c.done()
	set(c.ep.SocketOptions())
	return nil
}
