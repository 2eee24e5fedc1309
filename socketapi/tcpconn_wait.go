package socketapi

import (
	"context"
	"io"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
)

// awaitMark is EAGAIN while less than the low-water mark is there for a reader
// who wants n bytes, and more can come.
func (so *Socket) awaitMark(n int) error {
	mark := so.lowat(n)
	if mark == 1 {
		return nil
	}
	st := so.look()
	if open(&st) && !st.Rcv.Closed && !so.reached(&st, mark) {
		return syscall.EAGAIN
	}
	return nil
}

// WaitReadable returns when n bytes are in the receive buffer, or all that will
// ever come, or all that will come before something is read: nil in each case,
// for Read to tell. n is bounded by the buffer's size; below 1 it is 1.
// Segments much smaller than their bookkeeping (about half a KiB each) fill a
// buffer before it has that many bytes. It reads nothing, and a Read at the same
// time may take what it saw.
//
// Errors: net.ErrClosed; os.ErrDeadlineExceeded after the read deadline;
// context.Canceled, or one that is both context.DeadlineExceeded and
// os.ErrDeadlineExceeded.
func (c *TCPConn) WaitReadable(ctx context.Context, n int) error {
	needContext(ctx)
	if !c.valid() {
		return errNil
	}
	return c.opErr("wait", c.until(ctx, &c.rd, func() (bool, error) {
		st := c.so.look()
		size, _ := getReceiveSize(&c.so)
		return st.Rcv.Closed || !open(&st) || c.so.reached(&st, min(max(n, 1), size)), nil
	}))
}

// WaitWritable returns when Write would take at least a byte: there is room in
// the send buffer, and less is unsent than SetWriteLowWater's mark. It also
// returns, with nil, when Write would fail. Errors as of WaitReadable, with the
// write deadline.
func (c *TCPConn) WaitWritable(ctx context.Context) error {
	needContext(ctx)
	if !c.valid() {
		return errNil
	}
	return c.opErr("wait", c.until(ctx, &c.wr, func() (bool, error) {
		if c.so.Ready()&EventOut != 0 {
			return true, nil
		}
		// gVisor tells of room only when half of the buffer is free.
		c.so.watchSent()
		return c.so.Ready()&EventOut != 0, nil
	}))
}

// WaitUnsent returns when at most n bytes of the send buffer are unsent:
// what was written before is with the network but for those. What a timer of
// TCP's sends (TCP_CORK's 200 ms, a tail loss probe) is noticed with the next
// segment from the peer. Errors as of WaitAcked.
func (c *TCPConn) WaitUnsent(ctx context.Context, n int) error {
	needContext(ctx)
	return c.waitSent(ctx, func(st *engine.State) (done, lost bool) {
		return st.Snd.Unsent <= max(n, 0), st.State == tcp.StateError
	})
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
	needContext(ctx)
	if !c.valid() {
		return errNil
	}
	st := c.so.look()
	if st.State == tcp.StateError || resetAfterFIN(&st) {
		// What was in the send buffer is gone with it.
		return c.opErr("wait", c.checkOpen(&st))
	}
	end := st.Snd.End()
	return c.waitSent(ctx, func(st *engine.State) (done, lost bool) { return st.AllAcked(end) })
}

// waitSent waits for something about the send buffer.
func (c *TCPConn) waitSent(ctx context.Context, try func(*engine.State) (done, lost bool)) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("wait", c.until(ctx, &c.wr, func() (bool, error) {
		c.so.watchSent() // before the look, so that nothing is missed
		st := c.so.look()
		done, lost := try(&st)
		if lost || resetAfterFIN(&st) {
			return false, inCall("wait", c.so.failure(&st))
		}
		return done, nil
	}))
}

// checkOpen is why a wait for a connection that has failed ends at once.
func (c *TCPConn) checkOpen(st *engine.State) error {
	if err := c.check(&c.wr); err != nil {
		return err
	}
	if err := ended(c.so.stack); err != nil {
		return err
	}
	return inCall("wait", c.so.failure(st))
}

// endOf is err, but for the end of a stream that a reset or a timeout has cut
// off. A socket's error is told once, to whoever asks first, and every receive
// afterwards finds nothing (as on Linux); a reader who was not the first must not
// take that for the peer's FIN.
func (so *Socket) endOf(err error) error {
	if err != io.EOF || so.tcp().EndpointState() != tcp.StateError { //nolint:errorlint // a Socket's is bare
		return err
	}
	st := so.look()
	return inCall("read", so.failure(&st))
}

// failure is why a connection ended, whether or not somebody was told already.
func (so *Socket) failure(st *engine.State) error {
	if errno := so.lastErrno.Load(); errno != 0 {
		return syscall.Errno(errno)
	}
	if resetAfterFIN(st) {
		return syscall.EPIPE
	}
	if st.HardError != nil {
		return stack.Errno(st.HardError) // and not errno: others are still to be told
	}
	return syscall.ECONNABORTED
}
