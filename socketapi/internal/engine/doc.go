// Package engine is what gVisor knows about a TCP connection and does not
// offer to tell: its state in numbers ([Read]), a call after every segment that
// it has handled ([Watch]), what has held it up ([Account]), and its received
// bytes without copying them ([Borrow]). It adds nothing to a connection that
// nobody looks at. It knows no socket: package socketapi puts these under one.
//
// The way in: most of what is needed lies in exported structs of unexported
// fields. Where those lie is looked up once, by name and type, when the program
// starts, and a gVisor that lacks one of them is refused there with its name: a
// send buffer that always reads as empty would be a lie. gVisor's own way out,
// tcp.NewProtocolProbe, is one function for a whole stack, costs every
// connection a copy of its state for every segment, and is silent about what a
// Write or a Read changes.
//
// # Locks
//
// Everything is read and written under the endpoint's own lock (Endpoint.mu),
// taken by its exported LockUser. The order is
//
//	the caller's locks > Endpoint.mu > waiter.Queue's lock
//
// so a function given to [Watch], which runs with Endpoint.mu held, may notify
// a waiter.Queue and call what has Locked in its name, and nothing else of the
// endpoint. This package has no lock of its own.
//
// No goroutine is started here. Sequence numbers are uint32 as on the wire and
// wrap; compare them by the sign of their difference.
package engine
