package socketapi

import (
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// TCPConn is a TCP connection. It implements net.Conn with the methods and the
// behaviour of net.TCPConn (but for File and SyscallConn: there is no
// descriptor; [TCPConn.Socket] is what there is). Its two buffers can be sized,
// seen and waited for.
type TCPConn struct {
	waiting
	local, remote *net.TCPAddr
}

var (
	_ net.Conn      = (*TCPConn)(nil)
	_ io.WriterTo   = (*TCPConn)(nil)
	_ io.ReaderFrom = (*TCPConn)(nil)
)

// opened begins to use c's socket, which is connected to remote.
func (c *TCPConn) opened(remote netip.AddrPort) {
	c.register()
	c.setAddrs(remote)
}

// setAddrs remembers both addresses: they must be there to print after Close.
// The endpoint of a connection that was reset in the meantime does not tell the
// remote one any more (GetRemoteAddress): it is what the caller knows then.
func (c *TCPConn) setAddrs(remote netip.AddrPort) {
	if a, err := c.so.ep.GetLocalAddress(); err == nil {
		c.local = tcpAddr(addrPort(c.so.stack, a))
	}
	if a, err := c.so.ep.GetRemoteAddress(); err == nil {
		remote = addrPort(c.so.stack, a)
	}
	c.remote = tcpAddr(netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()))
}

// valid is false for a nil connection, whose methods return EINVAL as in
// package net.
func (c *TCPConn) valid() bool { return c != nil && c.so.ep != nil }

// Socket is the socket underneath, for its options, for a Poller, and for calls
// that do not wait. Closing either closes both.
func (c *TCPConn) Socket() *Socket {
	if !c.valid() {
		return nil
	}
	return &c.so
}

// opErr wraps an error of this connection.
func (c *TCPConn) opErr(op string, err error) error {
	if err == nil {
		return nil
	}
	return opErr(op, "tcp", c.LocalAddr(), c.RemoteAddr(), err)
}

// Read copies received bytes to p and makes room for them in the receive
// buffer. It waits until there is at least one, or as many as SetReadLowWater
// asks for, but not more than p holds.
//
// Errors: io.EOF after the peer's FIN (or CloseRead); ECONNRESET, ETIMEDOUT;
// net.ErrClosed; os.ErrDeadlineExceeded.
func (c *TCPConn) Read(p []byte) (int, error) {
	if !c.valid() {
		return 0, errNil
	}
	if err := c.so.use(); err != nil {
		return 0, c.opErr("read", err)
	}
	defer c.so.done()
	if len(p) == 0 {
		return 0, nil
	}
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	n := 0
	err := c.attempt(&c.rd, "read", func() (err error) {
		if err := c.so.awaitMark(len(p)); err != nil {
			return err
		}
		n, err = c.so.recvStream(p, nil, 0)
		return err
	})
	if err = c.so.endOf(err); err == io.EOF { //nolint:errorlint // bare, so that it can be returned bare
		return 0, io.EOF
	}
	return n, c.opErr("read", err)
}

// Write copies p into the send buffer, waiting for room as often as it takes;
// once it waits, until half of the buffer is free, or less than
// SetWriteLowWater's mark is unsent.
// A nil error means that all of p is in the send buffer, not that the peer has
// acknowledged it: that is [TCPConn.WaitAcked]. p is the caller's again when
// Write returns. Writes at the same time go one after the other, each whole.
//
// Errors: EPIPE after CloseWrite, ECONNRESET, ETIMEDOUT; net.ErrClosed;
// os.ErrDeadlineExceeded. The count says how much of p was taken before.
func (c *TCPConn) Write(p []byte) (int, error) {
	n, err := c.write("write", p, nil)
	return int(n), err
}

// WriteBuffers is Write of all the buffers one after the other, as if they were
// one (writev(2)). Unlike net.Buffers.WriteTo, for which only package net's own
// connections are more than a loop, it does not change bufs. Errors: as Write.
func (c *TCPConn) WriteBuffers(bufs [][]byte) (int64, error) { return c.write("write", nil, bufs) }

// write is Write, by the name that its errors have.
func (c *TCPConn) write(op string, p []byte, rest [][]byte) (int64, error) {
	if !c.valid() {
		return 0, errNil
	}
	if err := c.so.use(); err != nil {
		return 0, c.opErr(op, err)
	}
	defer c.so.done()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	done, err := c.writeAll(p, rest)
	return int64(done), c.opErr(op, err)
}

// writeAll writes p and rest, waiting for room as often as it takes. No bytes
// are one try. The caller holds wr.mu and a use of the socket.
func (c *TCPConn) writeAll(p []byte, rest [][]byte) (done int, err error) {
	size := len(p) + total(rest)
	for first := true; first || done < size; first = false {
		n, err := c.writing(func() (int, error) { return c.so.sendStream(p, rest, 0) })
		done += n
		if err != nil {
			return done, err
		}
		p, rest = skip(p, rest, n)
	}
	return done, nil
}

// writing runs try until there was room, and tells the account if it waits.
func (c *TCPConn) writing(try func() (int, error)) (n int, err error) {
	waited := false
	err = c.attempt(&c.wr, "write", func() (err error) {
		n, err = try()
		if err == syscall.EAGAIN && !waited { //nolint:errorlint // a Socket's errnos are bare
			waited = true
			c.so.writerWaits(true)
		}
		return err
	})
	if waited {
		c.so.writerWaits(false)
	}
	return n, err
}

// CloseRead stops reading: Read returns io.EOF from now on. The peer is not
// told. Errors: ENOTCONN after a reset; net.ErrClosed.
func (c *TCPConn) CloseRead() error { return c.shutdown(ShutRD) }

// CloseWrite sends a FIN behind all that was written: the peer reads EOF after
// it. Reading goes on. Errors: ENOTCONN after a reset; net.ErrClosed.
func (c *TCPConn) CloseWrite() error { return c.shutdown(ShutWR) }

func (c *TCPConn) shutdown(how How) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("close", inCall("shutdown", c.so.Shutdown(how)))
}

// Close ends both directions and returns at once. What was written is still
// sent, with a FIN behind it, unless received bytes are unread: then the peer
// gets a reset, which tells it that its data was lost (RFC 2525, 2.17).
// Calls that wait return net.ErrClosed, and so does a second Close.
func (c *TCPConn) Close() error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("close", c.close(nil))
}

// Abort drops both buffers, resets the connection and closes it. After Close it
// returns net.ErrClosed.
func (c *TCPConn) Abort() error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("abort", c.close(tcpip.Endpoint.Abort))
}

// LocalAddr is our end, a *net.TCPAddr. It is shared by all callers: do not
// modify it.
func (c *TCPConn) LocalAddr() net.Addr {
	if !c.valid() {
		return nil
	}
	return addrOrNil(c.local)
}

// RemoteAddr is the other end, a *net.TCPAddr. It is shared by all callers:
// do not modify it.
func (c *TCPConn) RemoteAddr() net.Addr {
	if !c.valid() {
		return nil
	}
	return addrOrNil(c.remote)
}

// addrOrNil keeps a nil pointer from becoming a net.Addr that is not nil.
func addrOrNil(a *net.TCPAddr) net.Addr {
	if a == nil {
		return nil
	}
	return a
}

// SetDeadline sets both deadlines; the zero time means none. It applies to
// calls under way too. Errors: net.ErrClosed after Close.
func (c *TCPConn) SetDeadline(t time.Time) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", c.setDeadline(t, &c.rd, &c.wr))
}

// SetReadDeadline sets the deadline of Read. Errors: net.ErrClosed after Close.
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", c.setDeadline(t, &c.rd))
}

// SetWriteDeadline sets the deadline of Write. Errors: net.ErrClosed after
// Close.
func (c *TCPConn) SetWriteDeadline(t time.Time) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", c.setDeadline(t, &c.wr))
}
