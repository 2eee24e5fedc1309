// Package socketapi gives the sockets of a [stack.Stack] to Go programs: as
// net.Conn, net.Listener and net.PacketConn, with both buffers of a connection
// in sight.
//
// A socket is not a buffer. It has two: bytes that the application wrote and
// the peer has not acknowledged are in the send buffer, bytes that we have
// acknowledged and the application has not read are in the receive buffer.
// [TCPConn.SendBuffer] and [TCPConn.ReceiveBuffer] show both at any moment, in
// payload bytes, with the window that goes with each.
//
// The path of a byte written, and of one received:
//
//	Write -> wait for room -> tcp.Endpoint.Write (the one copy) -> TCP output
//	TCP processor -> waiter -> endpoint.NotifyEvent -> Read -> tcp.Endpoint.Read (the one copy)
//
// Errors are those of package net, all the way down: *net.OpError, around
// *os.SyscallError, around syscall.Errno. Bare io.EOF comes only after a FIN;
// a reset is ECONNRESET, a local Close net.ErrClosed, a deadline
// os.ErrDeadlineExceeded. Deadlines run on the stack's clock.
//
// The package starts no goroutine. Every method is safe for concurrent use,
// Close included.
package socketapi
