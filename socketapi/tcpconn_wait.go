package socketapi

import (
	"context"
	"io"
	"syscall"
)

// awaitMark is EAGAIN while less than the low-water mark is there for a reader
// who wants n bytes, and more can come.
func (so *Socket) awaitMark(n int) error {
	mark := so.lowat(n)
	if mark == 1 {
		return nil
	}
	st := readTCP(so.tcp())
	if st.open() && !st.rcvClosed && !so.reached(&st, mark) {
		return syscall.EAGAIN
	}
	return nil
}

// WaitReadable returns when n bytes are in the receive buffer, or all that will
// ever come: nil either way, for Read to tell. n is bounded by what the buffer
// can hold; below 1 it is 1. It reads nothing, and a Read at the same time may
// take what it saw.
//
// Errors: net.ErrClosed; os.ErrDeadlineExceeded after the read deadline;
// context.Canceled, or one that is both context.DeadlineExceeded and
// os.ErrDeadlineExceeded.
func (c *TCPConn) WaitReadable(ctx context.Context, n int) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("wait", c.until(ctx, &c.rd, func() (bool, error) {
		st := readTCP(c.so.tcp())
		size, _ := getReceiveSize(&c.so)
		return st.rcvClosed || !st.open() || c.so.reached(&st, min(max(n, 1), size)), nil
	}))
}

// WaitWritable returns when Write would take at least a byte: there is room in
// the send buffer, and less is unsent than SetWriteLowWater's mark. It also
// returns, with nil, when Write would fail. Errors as of WaitReadable, with the
// write deadline.
func (c *TCPConn) WaitWritable(ctx context.Context) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("wait", c.until(ctx, &c.wr, func() (bool, error) {
		return c.so.Ready()&EventOut != 0, nil
	}))
}

// WaitUnsent returns when at most n bytes of the send buffer are unsent:
// what was written before is with the network but for those. Errors as of
// WaitAcked.
func (c *TCPConn) WaitUnsent(ctx context.Context, n int) error {
	return c.waitSent(ctx, func(st *tcpState) bool { return st.unsent() <= max(n, 0) })
}

// WaitAcked returns when everything that was written before the call is
// acknowledged: it is in the peer's receive buffer. Whether the peer's
// application has read it TCP does not tell. It may be called while Write and
// Read run, and by several goroutines.
//
// Errors: ECONNRESET, ETIMEDOUT and whatever else ended the connection before;
// net.ErrClosed; os.ErrDeadlineExceeded after the write deadline;
// context.Canceled, or one that is both context.DeadlineExceeded and
// os.ErrDeadlineExceeded.
func (c *TCPConn) WaitAcked(ctx context.Context) error {
	if !c.valid() {
		return errNil
	}
	st := readTCP(c.so.tcp())
	end := st.sndUna + uint32(st.sndQueued)
	return c.waitSent(ctx, func(st *tcpState) bool {
		// Sequence numbers wrap (RFC 9293, 3.4).
		return st.sndQueued == 0 || int32(st.sndUna-end) >= 0
	})
}

// waitSent waits for something about the send buffer.
func (c *TCPConn) waitSent(ctx context.Context, done func(*tcpState) bool) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("wait", c.until(ctx, &c.wr, func() (bool, error) {
		c.so.watchSent() // before the look, so that nothing is missed
		st := readTCP(c.so.tcp())
		if st.open() || st.state == TimeWait {
			return done(&st), nil
		}
		if st.failed || st.resetAfterFIN() || c.so.lastErrno.Load() != 0 {
			return false, inCall("wait", c.so.failure(&st))
		}
		return true, nil // both FINs were acknowledged, so everything before was
	}))
}

// failure is why a connection ended, whether or not somebody was told already.
func (so *Socket) failure(st *tcpState) error {
	if errno := so.lastErrno.Load(); errno != 0 {
		return syscall.Errno(errno)
	}
	if st.resetAfterFIN() {
		return syscall.EPIPE
	}
	if st.err != nil {
		return so.errno(st.err)
	}
	return syscall.ECONNABORTED
}

// WriteTo reads until EOF into w. It implements io.WriterTo for io.Copy.
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	// The plain struct hides WriteTo from io.Copy.
	return io.CopyBuffer(w, struct{ io.Reader }{c}, make([]byte, 64<<10))
}

// ReadFrom temporary.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{c}, r, make([]byte, 64<<10))
}
