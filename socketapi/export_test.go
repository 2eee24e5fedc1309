package socketapi

import "gvisor.dev/gvisor/pkg/waiter"

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
