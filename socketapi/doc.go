// Package socketapi gives the sockets of a [stack.Stack] to Go programs, with
// both buffers of a connection in sight. It has three layers, each usable alone:
//
//   - [Socket]: BSD semantics without waiting, errnos, readiness, and a [Poller].
//   - [TCPConn], [TCPListener], [UDPConn], [PingConn]: net.Conn and its
//     relatives, which are a Socket and the waiting.
//   - [Dialer] and [ListenConfig]: what net/http, tls, grpc and so on plug into.
//
// A socket is not a buffer. It has two: bytes that the application wrote and
// the peer has not acknowledged are in the send buffer, bytes that we have
// acknowledged and the application has not read are in the receive buffer.
// [TCPConn.Buffers] shows both at any moment, in payload bytes, with the window
// that goes with each. [TCPConn.WaitAcked] waits until the peer has all that was
// written, [TCPConn.WaitReadable] and [TCPConn.SetReadLowWater] for a mark in
// the receive buffer, [TCPConn.WaitUnsent] and [TCPConn.SetWriteLowWater] for
// one in the send buffer.
//
// The path of a byte written, and of one received:
//
//	TCPConn.Write -> wait for room -> Socket.sendStream -> tcp.Endpoint.Write (the one copy) -> TCP output
//	TCP processor -> waiter -> wakener.NotifyEvent -> TCPConn.Read -> Socket.recvStream -> tcp.Endpoint.Read (the one copy)
//
// [TCPConn.ReadFrom] reads its source into the send buffer's own chunks, which
// is the one copy; [TCPConn.ReadChunk] and [TCPConn.WriteTo] lend the memory that
// segments arrived in, which is none. The waiter tells a [Poller] as it tells a
// waiting call, by registration.NotifyEvent.
//
// Errors of a Socket are bare errnos. Those of the other types are package
// net's, all the way down: *net.OpError, around *os.SyscallError, around
// syscall.Errno. Bare io.EOF comes only after a FIN; a reset is ECONNRESET, a
// local Close net.ErrClosed, a deadline os.ErrDeadlineExceeded. Deadlines run on
// the stack's clock.
//
// A call that takes a context panics with "nil context" without one, as package
// net's DialContext does; any other nil, and a zero value that was never opened,
// is EINVAL.
//
// The package starts no goroutine, but for a dial that tries IPv6 and IPv4 at
// the same time: one for each, which ends with its attempt, and the one that
// comes second soon after the dial. What it is told of it is told on gVisor's TCP
// processors and on the clock's timers. Every method is safe for concurrent use,
// Close included.
//
// What a connection is doing is shown by [TCPConn.Buffers], [TCPConn.Info] and,
// once [TCPConn.SetAccounting] has switched it on, [TCPConn.Holdup]; what all
// sockets of a stack are doing, whoever made them, by [TCPSockets] and
// [UDPSockets].
package socketapi
