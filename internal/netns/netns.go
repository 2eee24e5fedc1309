// Package netns gives a function, or the whole program, a network namespace
// of its own: interfaces, addresses, routes and ports that nobody else sees
// and that are gone when it is done. It runs no external tool.
//
//	Enter()        whole program: re-executes it in a new namespace
//	Run(fn)        one function, one new namespace
//	New() -> NS    a namespace to come back to: Do, DialContext, Listen, Close
//
// # Threads, goroutines, sockets
//
// Linux keeps the namespace per thread. [Run] and [NS.Do] run their function
// on a goroutine locked to a fresh thread, and the thread dies with it, so no
// other goroutine is ever scheduled into the namespace. It follows that a
// goroutine started inside the function is outside the namespace again.
//
// A socket belongs to the namespace of the thread that called socket(2), for
// life. So the function needs to make the sockets, and any goroutine may use
// them afterwards: dial or listen inside Do, return the conn, use it freely.
// Package net makes the socket on the calling goroutine if there is one
// address to try, which means a literal IP address; a host name, or one with
// both families, is looked up and dialled elsewhere. A zone in the address
// needs to be a number (fe80::1%2): package net caches interface names for
// the process as a whole.
//
// In /proc, "self" is the main thread and so outside: read
// /proc/thread-self/net.
//
// The package starts no goroutine that outlives the call. It is for tests,
// demo and benchmarks: nothing on the data path needs it.
package netns

import (
	"context"
	"net"
)

// UnavailableError says that the system did not give a namespace. It is what
// errors.As finds in every error of this package that is about namespaces; a
// caller that has another way to go on takes it then.
type UnavailableError struct {
	Op     string // what was tried: "clone", "unshare", "setns", "bring up lo"
	Err    error  // the system's answer, usually a syscall.Errno
	Remedy string // what the user can do about it, one line; may be empty
}

// Error is one line: what failed, why, and what to do.
func (e *UnavailableError) Error() string {
	s := "no private network namespace: " + e.Op + ": " + e.Err.Error()
	if e.Remedy != "" {
		s += " (" + e.Remedy + ")"
	}
	return s
}

// Unwrap returns the system's answer.
func (e *UnavailableError) Unwrap() error { return e.Err }

// DialContext dials from inside the namespace; the conn works from any
// goroutine. It fits http.Transport.DialContext. The address has to be a
// literal IP address with a port, see the package comment.
func (ns *NS) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = ns.Do(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen listens inside the namespace, for plain TCP; the listener works from
// any goroutine. The address has to be a literal IP address, or empty, with
// a port.
func (ns *NS) Listen(network, address string) (l net.Listener, err error) {
	err = ns.Do(func() error {
		var lc net.ListenConfig
		// Go listens for MPTCP by default, and such a socket does not
		// answer the questions a test asks (SIOCINQ, TCP_INFO).
		lc.SetMultipathTCP(false)
		l, err = lc.Listen(context.Background(), network, address)
		return err
	})
	return l, err
}

// ListenPacket is Listen for datagrams.
func (ns *NS) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = ns.Do(func() error {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}
