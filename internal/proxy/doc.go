// Package proxy takes connections in one network and carries them on in
// another: the host's kernel and a stack, either way round, or two stacks. A
// [Network] is a few functions, so that it does not care which. It is
//
//   - [ForwardTCP] and [ForwardUDP]: a port here that leads to an address there;
//   - [SOCKS5]: CONNECT and UDP ASSOCIATE, by address or by name (RFC 1928, 1929);
//   - [HTTP]: CONNECT, and requests in absolute form (RFC 9110).
//
// It is no NAT and no router: it ends connections and begins others, and sees
// bytes and datagrams, not packets. It has no configuration file, no list of
// services and no policy beyond [Limits] and [Auth].
//
// # The path of a byte
//
//	client -> receive buffer -> io.Copy -> send buffer -> target
//	              |               |             |
//	   window closes when full    |     io.Copy waits when full
//	                     no buffer of its own
//
// A byte is in the receive buffer that it came to or in the send buffer that it
// goes to. So a slow side slows the other, where everybody can see it: its send
// buffer fills, then the other's receive buffer, and the window closes. A FIN is
// carried over when everything before it is; an error of either side resets
// both. From a stack bytes are written from the memory that they were received
// into (socketapi.TCPConn.WriteTo); from the kernel to a stack they are read
// into gVisor's memory (socketapi.TCPConn.ReadFrom), once they are there and
// there is room for them (kernelSource): idle connections hold no buffer.
// splice(2) is not used, as it would take two more descriptors for each.
//
// # Goroutines
//
//	Service            one that accepts, or receives datagrams
//	TCP connection     one: handshake, dial, client to target
//	                   one: target to client, while it is relayed
//	UDP flow           one: target to client
//	UDP association    three: each way, and one for the TCP connection
//	HTTP               net/http's, until a tunnel has the first two
//
// Idle times are timers, not goroutines. [Service.Shutdown] waits for all of
// them; net/http's end with their connections, a moment later at most.
//
// # What clients can do
//
// Little: a handshake has a deadline and at most 4 KiB (HTTP: 20 KiB), there are
// so many connections and no more, each of them can be idle only so long, and a
// dial that does not end keeps nobody else waiting. Everything that is refused is
// counted by cause, and logged once a minute. [Service.Snapshot] has it all.
// 10,000 connections that were used, kernel to stack, measured 270 to 320 MB
// resident with any of the three kinds of TCP service.
//
// # Why not a library
//
// For the PROXY protocol there is one: github.com/pires/go-proxyproto, its
// parser and its writer. Its listener is not used: it hides the connection, and
// with it half-close and the calls that save copies. For SOCKS 5 the choice is
// armon/go-socks5, of 2016 and without UDP, and what was made of it:
// things-go/go-socks5 opens the relay's UDP socket with package net, which
// cannot be a stack's, keeps clients of an association without a bound, copies
// through buffers of its own, and tells a refusal from a timeout by searching
// the error's text. What is left of the protocol when those are replaced is the
// messages: socks5_wire.go.
//
// To look into a service that does something odd: a Logger with slog.LevelDebug
// says why connections ended, and Snapshot how many did.
package proxy
