package socketapi

import "gvisor.dev/gvisor/pkg/waiter"

// Waits reports whether somebody is in one of c's Wait calls, registered for
// what may end it.
func Waits(c *TCPConn) bool { return c.so.queue.Events()&eventDeadline != 0 }

// NotifyReadable is what gVisor does when a segment has arrived.
func NotifyReadable(c *TCPConn) { c.so.queue.Notify(waiter.ReadableEvents) }
