//go:build linux

// Command readers finds out which way of waiting for a TAP's frames is best.
// It measures each on the same kind of TAP: one queue, virtio-net headers,
// every offload, opened without tapstack, so that nothing but the wait
// differs:
//
//	peer process, one core                 reader process, another core
//	kernel UDP sockets (peer.go)           read, count, echo (reader.go)
//	        |                                      ^
//	        +--------- TAP (tapfile.go) -----------+
//	                                       wait.go:  blocking, poll, netpoll, spin
//	                                       uring.go: io_uring, on the ring of ring.go
//
// The coordinator (run.go) makes a network namespace, starts the processes in
// it (process.go) and gives them orders through net/rpc on their standard
// input and output. Each reader has a process and a TAP of its own.
//
// What the columns mean:
//
//   - large: the peer sends without a pause, 44 datagrams of 1400 bytes in each
//     call (UDP_SEGMENT), and the TAP takes them as one frame where the kernel
//     has USO. What counts is what the reader drains, without offload headers;
//     the rest finds the queue full and is dropped.
//   - small: the same with single datagrams of 64 bytes.
//   - rtt: the peer sends 64 bytes, waits for them to come back, and so on; the
//     times are the peer's.
//   - idle: while nothing comes.
//   - stop: from asking the sleeping reader to end until it has.
//   - CPU: of the reader's process, in percent of a core. Below 100 under load,
//     it was the peer that could do no more.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == roleArg {
		serve(os.Args[2])
		return
	}
	rounds := flag.Int("rounds", 3, "how often everything is measured; the table shows medians")
	seconds := flag.Float64("seconds", 0.5, "length of one measurement")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 || *rounds > 1000 || *seconds < 0.05 || *seconds > 5 {
		fmt.Fprintln(os.Stderr, "readers: no arguments; 1 to 1000 rounds; 0.05 to 5 seconds")
		os.Exit(2)
	}
	if err := mainErr(*rounds, time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "readers:", err)
		os.Exit(1)
	}
}

func mainErr(rounds int, span time.Duration) error {
	if err := netns.Enter(); err != nil {
		return err
	}
	// No router solicitations to wake who should be idle. A kernel without
	// IPv6 has no such file.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)

	before := load()
	results, err := run(rounds, span)
	if err != nil {
		return err
	}
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	fmt.Printf("Linux %s, %s, %d cores; load average %s before, %s after; medians of %d rounds of %v.\n\n",
		unix.ByteSliceToString(u.Release[:]), runtime.Version(), runtime.NumCPU(), before, load(), rounds, span)
	fmt.Print(table(results))
	for _, r := range results {
		if r.err != nil {
			return fmt.Errorf("not everything could be measured: %s: %w", r.way, r.err)
		}
	}
	return nil
}

// load is how busy the machine has been in the last minute. Well above 0
// before the run, it says that others were at work.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
