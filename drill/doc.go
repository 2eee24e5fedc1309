// Package drill runs packet scripts: packetdrill's language, and what package
// script adds to it, against a stack and its sockets, in virtual time. A packet
// in, a packet expected, a system call, a time:
//
//	0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//	+0   bind(3, ..., ...) = 0
//	+0   listen(3, 1) = 0
//	+0   < S 0:0(0) win 65535 <mss 1460>          // into the stack
//	+0   > S. 0:0(0) ack 1 <mss 1460>             // out of it
//	+0.1 < . 1:1(0) ack 1 win 65535
//	+0   accept(3, ..., ...) = 4
//	+0   < P. 1:1001(1000) ack 1 win 65535
//	+0   > . 1:1(0) ack 1001                      // acknowledged,
//	+0   %{ assert rcvbuf_queued == 1000 }%       // and not read
//
// [RunFile] and [RunText] run one script, a [Suite] runs folders of them. What
// is judged is the public [socketapi.Socket]; packages below it are reached by
// frames alone. testdata/drill has a script for each claim that this project
// makes about its sockets. Package script describes the syntax.
//
//	script -> run -> Socket calls -> stack <- wire <- packets of the script
//	           |                       |
//	           +---- clock: one timer at a time, a barrier after each
//
// # Time
//
// Nothing sleeps. A script runs on a [stack.VirtualClock]: each event's time is
// reached by firing the stack's timers one after the other, and after each
// frame, timer and call [stack.Stack.Quiesce] waits until nothing is in flight.
// So a script has one outcome, however many processors there are; an hour of
// keepalives takes milliseconds.
//
// A time is right if it is off by no more than the tolerance: 4 ms, or what
// --tolerance_usecs says, or an eighth of the time since the event before,
// whichever is most. A packet is waited for until 2 s after its time.
//
// # Real time
//
// With Config.RealTime the stack runs on the machine's clock, as a program's
// does, and packets go over two devices: tap.Pipe, or what RealTime.Open makes,
// such as a live TAP with a packet socket at its other side ("tapstack drill
// --real-time --tap"). After each packet that it sends, the script waits until
// the stack's reader is through with it; all else takes the time it takes.
//
//   - The tolerance is 40 ms at least (Config.Tolerance). A packet expected at
//     +0 may have come while the script was kept from looking: it is never early.
//   - Timers of the stack run for 20 ms at least ([stack.Config]).
//   - Frames of a device with offloads are cut and summed before they are
//     looked at. What the stack does with such a frame as a whole shows all the
//     same: it sends the whole of one again where a wire would lose a segment.
//   - A script that takes more time than Config.WallLimit (90 s) is
//     Unsupported, and so is a frame beyond the MTU; over anything but the pipe
//     a script with several hosts is, too. (Hosts are joined in memory.)
//
// Of the scripts in testdata/drill all pass in real time but those that are
// Unsupported, over a TAP all but tail-loss-is-probed for the reason given.
//
// # Packets
//
// A script's numbers begin at 0. Those of the other side are used as written;
// ours are learned from our SYN. TS ecr in a packet to be sent is the script's
// name for a TS val that was expected before. Addresses are 192.168.0.1 and
// fd3d:a0b:17d6::1, the other side's 192.0.2.1 and fd3d:fa7b:d17d::1; bind(...)
// binds port 8080, connect(...) connects to it, and connections that come in
// have one port after the other. A packet is of the connection that began last,
// unless a name (conn) or ports say otherwise; a SYN to a listener begins the
// next one when the current one is over.
//
// Of a packet that is expected, TCP's flags, numbers and options, lengths and
// all checksums must be right; the rest where it is written. TS val counts only
// with --tcp_ts_tick_usecs, TS ecr never. Segments that leave together as one
// line has them are put together, unless --strict_segments is given. [Mode]
// has the liberties one can take.
//
// # Calls
//
// A call is made at its time. Where the descriptor is non-blocking (O_NONBLOCK,
// MSG_DONTWAIT) the answer is the socket's; otherwise EAGAIN is waited out: the
// call is made again after everything that happens. "0.1...0.3 read(...)" says
// when it returns, and other events go on meanwhile; without that it may take
// 2 s. Written bytes are zeros unless there is text. Descriptors begin at 3.
//
//	0.1...0.3 read(4, ..., 1000) = 1000                    // blocks for 0.2 s
//	+0 poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1
//	+0 recvmsg(4, {msg_iov(1)=[{..., 100}], msg_flags=0,
//	               msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=900}]}, 0) = 100
//	+0 getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_unacked=2}, [...]) = 0
//	+0 ioctl(4, SIOCOUTQ, [2000]) = 0
//
// There are socket, bind, listen, accept, accept4, connect, close, shutdown,
// fcntl, dup, dup2, read, readv, recv, recvfrom, recvmsg, write, writev, send,
// sendto, sendmsg, getsockopt, setsockopt, getsockname, getpeername, ioctl
// (SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, FIONREAD, FIONBIO), poll, epoll_create,
// epoll_create1, epoll_ctl, epoll_wait and epoll_pwait. Options are those of
// [socketapi.Option], by name, SO_LINGER (with which close blocks) and
// TCP_CONGESTION. SO_SNDBUF and SO_RCVBUF are payload bytes and not doubled.
//
// Control messages are those of IP_TTL, IP_TOS, IP_PKTINFO, their like of IPv6,
// SO_TIMESTAMP (in microseconds since the script began) and TCP_INQ; to be sent,
// IP_TTL, IPV6_HOPLIMIT and IPV6_PKTINFO.
//
// What there is not is Unsupported, with its name: other calls (splice,
// sendfile), descriptors of anything but sockets and epolls, an epoll in an
// epoll, raw sockets, MSG_EOR, MSG_ERRQUEUE, MSG_ZEROCOPY and MSG_FASTOPEN, other
// socket options, fields of tcp_info and control messages, packets in packets
// that are expected (they can be sent: there are no tunnels), and shell text
// that is not a known sysctl. Nothing is executed.
//
// # Assertions
//
// Names in %{ }% are those of tcp_info ([socketapi.Info]), state ('ESTABLISHED'
// and so on), and of the two buffers: sndbuf_size, sndbuf_queued,
// sndbuf_unsent, sndbuf_free, sndbuf_lowat, sndbuf_high, snd_wnd, and
// rcvbuf_size, rcvbuf_queued, rcvbuf_free, rcvbuf_lowat, rcvbuf_high, rcv_wnd.
// They are of the socket that was accepted or connected last;
// rcvbuf_queued(4) is of descriptor 4.
//
// # Hosts
//
// A script with "host" lines has a stack for each, joined by "link" lines (see
// package netem). Both directions are then expected, never sent: "a: > S ..."
// leaves host a, "b: < S ..." reaches host b. Numbers begin at 0 on both sides,
// and packets that passed before an expectation's time are of no interest.
//
// # Goroutines
//
// Run starts one for the script, and the stacks have theirs; all are gone when
// it returns. A script that does not come to its end fails, at
// Config.WallLimit and Config.Steps. To see what a script does, give
// Config.Capture, or "tapstack drill --pcap".
package drill
