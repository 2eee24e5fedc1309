package stack_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"tapstack/netem"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// host makes a stack on one end of a link. The seed fixes what is chosen at
// random: sequence numbers, ports, hardware addresses.
func host(clock *stack.VirtualClock, seed byte, dev tap.Device, addr string) *stack.Stack {
	s, err := stack.New(&stack.Config{Clock: clock, Rand: rand.NewChaCha8([32]byte{seed})})
	if err != nil {
		panic(err)
	}
	_, err = s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{netip.MustParsePrefix(addr)}})
	if err != nil {
		panic(err)
	}
	return s
}

// Two stacks, a link of 20 ms between them, and an hour in which nothing happens
// but keepalives, a minute and a round trip apart. It takes milliseconds, and is
// the same every time.
func Example_virtualTime() {
	clock := stack.NewVirtualClock()
	devA, devB, err := netem.NewLink(&netem.LinkConfig{
		There: netem.PathConfig{Delay: 20 * time.Millisecond},
		Back:  netem.PathConfig{Delay: 20 * time.Millisecond},
	}, clock)
	if err != nil {
		fmt.Println(err)
		return
	}
	a, b := host(clock, 1, devA, "10.0.0.1/24"), host(clock, 2, devB, "10.0.0.2/24")

	clock.Go(func() { // a server, with the calls that servers use
		lc := socketapi.ListenConfig{Stack: b, KeepAlive: -1}
		l, err := lc.Listen(context.Background(), "tcp4", ":80")
		if err != nil {
			return
		}
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		n, err := c.Read(make([]byte, 100))
		fmt.Println("server:", n, err, "after", clock.Now().Format(time.TimeOnly))
	})
	clock.Go(func() {
		d := socketapi.Dialer{Stack: a, KeepAlive: time.Minute}
		c, err := d.DialContext(context.Background(), "tcp4", "10.0.0.2:80")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("client: connected after", clock.Now().Format("05.000"))
		sent := a.Stats().TCP.SegmentsSent
		clock.Sleep(time.Hour + time.Second)
		fmt.Println("keepalives:", a.Stats().TCP.SegmentsSent-sent)
		_ = c.Close()
	})
	clock.Run(2*time.Hour, a, b)

	a.Close()
	b.Close()
	clock.Settle() // applications that still wait learn of it
	// Output:
	// client: connected after 00.080
	// keepalives: 59
	// server: 0 EOF after 01:00:01
}
