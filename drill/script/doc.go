// Package script reads packet scripts: packetdrill's language, and what this
// project adds to it. It knows what a script says, not what it means: nothing
// is sent, called or executed here. Package drill does that, with the tree
// that [Parse] makes.
//
//	text -> preprocess -> lexer -> parser -> *Script -> package drill
//	                                            |
//	                                            +-> Print -> text
//
// There are no goroutines, and nothing global changes. The files have the
// order of the language: ast*.go the tree, preprocess.go and directive.go,
// lexer.go and scan.go, parse*.go a function per production, print*.go the way
// back, eval*.go what expressions are worth.
//
// # A script
//
// Options come first, then declarations, then events: when, and what.
//
//	--tolerance_usecs=10000                  // a tolerance for every time
//	--ip_version=ipv4
//
//	0     socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//	+0    bind(3, ..., ...) = 0
//	+0    listen(3, 1) = 0
//	+0    < S 0:0(0) win 65535 <mss 1460>    // < goes into the stack
//	+0    > S. 0:0(0) ack 1 <...>            // > comes out of it
//	+.1   < . 1:1(0) ack 1 win 65535
//	+0    accept(3, ..., ...) = 4
//	+0    read(4, ..., 100) = -1 EAGAIN (Resource temporarily unavailable)
//	+0    %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%
//	+0    `sysctl -q net.ipv4.tcp_sack=0`
//
// Comments are // and /* */, and lines that begin with "# " or "#!". An event
// ends where the next one begins, be that in the same line or some lines on.
//
// # Times
//
//	0.1          since the beginning, in seconds
//	+0.1         since the end of the event before; "+100ms" and other units too
//	0.1~0.2      between these, also +0.1~+0.2
//	*            whenever
//	0.1...0.2    a call that blocks: made at the first, returns at the second
//
// Times are exact to the nanosecond.
//
// # Packets
//
//	< (ect0, ttl 4) 5000 > 8080 P. 1:6(5) ack 1 win 512 "hello"
//	> SEW 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
//	< . 1:1(0) ack 1 win 512 <nop,nop,sack 2:3 4:5>
//	< udp (1000)
//	< icmp unreachable frag_needed mtu 1400 [1:1461(1460)]
//	< ipv4 192.0.2.9 > 192.168.0.1: gre: . 1:1001(1000) ack 1 win 512
//
// Flags are F S R P . U E W A, with the dot for ACK, A for AE (or a digit for
// the three ECN bits), and - for none. Options are mss, nop, eol, sackOK,
// wscale, TS, sack, FO, FOEXP, md5, ECN; exp 0xf989 0a0b for an experiment
// (exp254 under the other kind) and kind 99 0a0b for everything else; "..."
// for any, alone or at the end. In front of a packet may stand ipv4, ipv6,
// gre, mpls and eth headers, each with its colon.
//
// # Calls
//
//	sendmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}, MSG_DONTWAIT|MSG_MORE) = 1000
//	bind(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.168.0.1")}, ...) = 0
//	write(4, "GET /"..., 0x20) = 32
//	poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1
//
// Numbers may be decimal, hexadecimal, octal or binary, of up to 64 bits, with
// arithmetic. An error has its name and, for the reader, its text.
//
// # Assertions
//
// Between %{ and }% stand statements of Python: assert, print and assignments
// (n += 1), separated by lines or semicolons, with comparisons that chain,
// and, or, not, in, arithmetic and % formatting. [Eval] computes them, given
// what the names mean.
//
// # Directives
//
//	-DSIZE=1000
//	#ifdef STANDARD
//	#define FLAGS O_RDWR
//	#else
//	#undef SIZE
//	#endif
//
// (and #ifndef.) Macros take no arguments and replace whole words, except in strings and
// shell text. [Config] can define some from outside.
//
// # Beyond packetdrill
//
// Values in packets and results of calls may be any, "*", or a range:
//
//	> . 1:1001(1000) ack 1 win 1000~2000
//	read(4, ..., 1000) = 1~1000
//
// Nothing is expected, for a while:
//
//	+0 expect nothing for 1s
//
// Assertions see both buffers; which names there are is the interpreter's:
//
//	+0 %{ assert rcvbuf_queued == 9000; assert sndbuf_unsent(4) == 0 }%
//
// Loops run events, and param the whole script, once for each value. In calls
// and assertions the parameter is a word, in packets and times it has a $:
//
//	param MSS in 536, 1460, 8960
//	for N in 1..10 step 3 {
//		+0 < . ${1 + (N-1)*1000}:${1 + N*1000}(1000) ack 1 win 512
//		+${N * 0.1} read(4, ..., N*1000) = 1000
//	}
//
// Several connections have names, which stand before the packet's flags:
//
//	conn b local :8080 remote 192.0.2.1:5001
//	+0 < b: S 0:0(0) win 65535 <mss 1460>
//
// Several hosts, each with a stack, are joined by links. The host stands
// before what it does, its packets are those that leave or reach it:
//
//	host client 10.0.0.1/24 fd00::1/64 mtu 1400
//	host server 10.0.0.2/24
//	link client server delay 10ms rate 10mbit queue 50 loss 3, 7..9
//	link client > server loss 1
//	+0 client: connect(3, ..., ...) = 0
//	+0 server: > S. 0:0(0) ack 1 <...>
//
// Fragments carry a part of the packet that follows; frames, ARP and neighbour
// discovery are packets too:
//
//	< (id 7, frag 0:1480+) udp (3000)
//	< (id 7, frag 1480:3008) udp (3000)
//	< eth 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: arp who-has 192.168.0.1 tell 192.0.2.1
//	> arp reply 192.168.0.1 is-at *
//	< ndp solicit fd3d:0a0b:17d6::1 from fd3d:fa7b:d17d::1
//	< frame "ffffffffffff 020000000001 88b5 00 01"
//	> frame "ffffffffffff .. .. .. .. .. .. 88b5 ..."
//
// # Errors
//
// [Parse] returns an [*Error] with file, line and column, what was expected and
// what was found; [Error.Detail] shows the line with a caret. It never panics
// and takes time and memory linear in the text: sizes and nesting are bounded.
// Names of hosts and connections that are not declared are mistakes too.
// What is packetdrill but not in this language (SCTP, MPTCP, PSP, most
// statements of Python) has its name in [Error.Feature].
package script
