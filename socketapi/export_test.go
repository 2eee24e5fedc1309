package socketapi

import (
	"context"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
)

// Waits reports whether somebody is in one of c's Wait calls, registered for
// what may end it.
func Waits(c *TCPConn) bool { return c.so.queue.Events()&eventDeadline != 0 }

// NotifyReadable is what gVisor does when a segment has arrived.
func NotifyReadable(c *TCPConn) { c.so.queue.Notify(waiter.ReadableEvents) }

// Account is what a connection's sequence numbers and its buffers say at one
// instant.
type Account struct {
	SndUna, RcvNxt       uint32
	SndQueued, RcvQueued int
}

// AccountOf looks at c.
func AccountOf(c *TCPConn) Account {
	st := c.so.look()
	return Account{st.Snd.Una, st.Rcv.Nxt, st.Snd.Queued, st.Rcv.Queued}
}

// Writing reports whether a Write of c's is under way.
func Writing(c *TCPConn) bool {
	if c.wr.mu.TryLock() {
		c.wr.mu.Unlock()
		return false
	}
	return true
}

// DialShare is how much time a dial in ctx has for the first of n addresses, 0
// for all there is.
func DialShare(ctx context.Context, d *Dialer, n int) time.Duration {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	ctx, cancel = (&attempts{d: d}).share(ctx, n)
	defer cancel()
	end, ok := ctx.Value(endKey{}).(tcpip.MonotonicTime)
	if !ok {
		return 0
	}
	return end.Sub(d.Stack.Clock().NowMonotonic())
}

// Remembered is how many settings so keeps for sockets to be accepted.
func Remembered(so *Socket) int {
	so.mu.Lock()
	defer so.mu.Unlock()
	return len(so.settings)
}

// Timeouts are the retransmission timeouts of c.
func Timeouts(c *TCPConn) uint64 { return c.so.look().Timeouts }

// RACK reports whether c detects losses by time now.
func RACK(c *TCPConn) bool { return c.so.look().RACK }

// Pauses is how often c's account has paused, or 1 for more.
func Pauses(c *TCPConn) int {
	engine.Lock(c.so.tcp())
	defer engine.Unlock(c.so.tcp())
	return b2i(c.so.pace.timer != nil)
}

// Watching reports whether something of c's is called after every segment.
func Watching(c *TCPConn) bool { return engine.Watched(c.so.tcp()) }

// SetLate is a RecvBatch that has ended with an errno after its first datagram.
func SetLate(so *Socket, errno syscall.Errno) { so.rcv.late.Store(uint32(errno)) }
