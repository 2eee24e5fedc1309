package drill_test

import (
	"fmt"
	"time"

	"tapstack/drill"
)

// Both buffers are part of what a script can say.
func Example_buffers() {
	fmt.Println(drill.RunText("buffers.pkt", `
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 65535 <mss 1460>
+0   > S. 0:0(0) ack 1 <mss 1460>
+0.1 < . 1:1(0) ack 1 win 65535
+0   accept(3, ..., ...) = 4

+0   < P. 1:1001(1000) ack 1 win 65535
+0   > . 1:1(0) ack 1001                                  // acknowledged,
+0   %{ assert rcvbuf_queued == 1000 }%                   // and not read
+0   read(4, ..., 400) = 400
+0   ioctl(4, SIOCINQ, [600]) = 0

+0   write(4, ..., 2000) = 2000
+0   > P. 1:2001(2000) ack 1001
+0   %{ assert sndbuf_queued == 2000 and sndbuf_unsent == 0 }%
+0.1 < . 1001:1001(0) ack 1461 win 65535
+0   %{ assert sndbuf_queued == 540 }%
`, nil))
	// Output: buffers.pkt: pass
}

// Silence can be expected, and a call can block while other things happen.
func Example_nothing() {
	fmt.Println(drill.RunText("nothing.pkt", `
0    socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0   bind(3, ..., ...) = 0
+0   expect nothing for 1s
+0...0.5 read(3, ..., 100) = 5
+0.5 < udp (5) "hello"
`, nil))
	// Output: nothing.pkt: pass
}

// Loops run events, parameters the whole script, for each value.
func Example_loops() {
	fmt.Println(drill.RunText("loops.pkt", `
param MSS in 536, 1000, 1460
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 65535 <mss $MSS>
+0   > S. 0:0(0) ack 1 <mss 1460>
+0.1 < . 1:1(0) ack 1 win 65535
+0   accept(3, ..., ...) = 4
for N in 0..4 {
	+0   write(4, ..., MSS) = (MSS)
	+0   > P. ${1 + N*MSS}:${1 + (N+1)*MSS}($MSS) ack 1
	+0.1 < . 1:1(0) ack ${1 + (N+1)*MSS} win 65535
}
`, nil))
	// Output: loops.pkt: pass
}

// Connections have names, and hosts and links too: what a link loses is sent
// again.
func Example_hosts() {
	fmt.Println(drill.RunText("hosts.pkt", `
host client 10.0.0.1/24
host server 10.0.0.2/24
link client server delay 50ms
link client > server loss 3                              // of the client's frames
0    server: socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   server: bind(3, ..., ...) = 0
+0   server: listen(3, 1) = 0
+0   client: socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 client: connect(3, ..., ...) = 0                // a round trip
0.1  client: write(3, ..., 100) = 100
+0   client: > . 1:1(0) ack 1 <...>
+0   client: > P. 1:101(100) ack 1 <...>                 // is lost
+0~+0.5 client: > P. 1:101(100) ack 1 <...>              // again
+0.05 server: < P. 1:101(100) ack 1 <...>
`, nil))
	// Output: hosts.pkt: pass
}

// Below IP there are frames, ARP and neighbour discovery.
func Example_frames() {
	fmt.Println(drill.RunText("frames.pkt", `
+0 < arp who-has 192.168.0.1 tell 192.168.0.2
+0 > arp reply 192.168.0.1 is-at 02:00:00:00:00:01
+0 < frame "ffffffffffff 020000000002 88b5 00 01 02"     // nobody knows this type
+0 expect nothing for 1s
`, nil))
	// Output: frames.pkt: pass
}

// What went wrong is told with its place, and what differs is marked.
func ExampleResult() {
	fmt.Println(drill.RunText("late.pkt", `
0  < S 0:0(0) win 65535
+0 > R. 0:0(0) ack 2
`, nil))
	fmt.Println(drill.RunText("typo.pkt", `
0  < S 0:0(0) wim 65535
`, nil))
	// Output:
	// late.pkt:3:1: fail: another packet: ack 1, want 2
	//     want  0.000 > R. 0:0(0) ack 2
	//     got   0.000 > R. 0:0(0) ack 1 win 0
	//                                 ^
	// typo.pkt:2:15: fail: expected ack, win, urg, <TCP options>, a payload or the next event's time, found word "wim"
	//     0  < S 0:0(0) wim 65535
	//                   ^
}

// In real time a script takes the time that it says, and longer where others
// need the CPU too.
func ExampleRealTime() {
	fmt.Println(drill.RunText("real.pkt", `
0    < S 0:0(0) win 65535
+0   > R. 0:0(0) ack 1
+0.1 < S 0:0(0) win 65535
+0   > R. 0:0(0) ack 1
`, &drill.Config{RealTime: &drill.RealTime{}, Tolerance: 5 * time.Second}).Outcome)
	// Output: pass
}
