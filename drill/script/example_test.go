package script_test

import (
	"errors"
	"fmt"

	"tapstack/drill/script"
)

// An interpreter is a switch over the actions.
func Example() {
	s, err := script.Parse("hello.pkt", `
--mtu=1500
0.1   write(4, "hello", 5) = 5
+0    > P. 1:6(5) ack 1 <...>
+1ms~+2ms < . 1:1(0) ack 6 win 1000
+0    %{ assert sndbuf_queued == 0 }%
`, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range s.Events {
		switch a := e.Action.(type) {
		case *script.Call:
			fmt.Printf("%v: at %v call %s with %d arguments, expect %s\n",
				e.Pos, e.Time.From, a.Name, len(a.Args), script.Format(a.Result))
		case *script.Packet:
			tcp := a.Body.(*script.TCP)
			fmt.Printf("%v: out %v, flags %v, %v bytes, any options %v\n",
				e.Pos, a.Outbound, tcp.Flags, tcp.Len, tcp.AnyOptions)
		case *script.Code:
			fmt.Printf("%v: %s\n", e.Pos, script.Format(a))
		}
	}
	// Output:
	// 3:1: at 100ms call write with 3 arguments, expect 5
	// 4:1: out true, flags P., 5 bytes, any options true
	// 5:1: out false, flags ., 0 bytes, any options false
	// 6:1: %{ assert sndbuf_queued == 0 }%
}

func ExampleError_Detail() {
	_, err := script.Parse("close.pkt", "+0 close(4) = 0\n+0 > F. 1:1 ack 1\n", nil)
	var e *script.Error
	if errors.As(err, &e) {
		fmt.Println(e.Detail())
	}
	// Output:
	// close.pkt:2:13: expected "(" and the length of the payload, as in 1:1001(1000), found word "ack"
	//     +0 > F. 1:1 ack 1
	//                 ^
}

func ExamplePrint() {
	s, err := script.Parse("loop.pkt", `
#define SIZE 1000
for N in 1..3 { +10ms < . ${N*SIZE+1}:${(N+1)*SIZE+1}(SIZE) ack 1 win 0x100 /* again */ }
`, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(script.Print(s))
	// Output:
	// for N in 1..3 {
	// 	+0.01 < . ${N * 1000 + 1}:${(N + 1) * 1000 + 1}(1000) ack 1 win 256
	// }
}

func ExampleShell_Commands() {
	sh := &script.Shell{Text: `
sysctl -w net.ipv4.tcp_rmem="4096 10000 15000" # small
./set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0; true`}
	for _, c := range sh.Commands() {
		fmt.Printf("%q\n", c)
	}
	// Output:
	// ["sysctl" "-w" "net.ipv4.tcp_rmem=4096 10000 15000"]
	// ["./set_sysctls.py" "/proc/sys/net/ipv4/tcp_sack=0"]
	// ["true"]
}
