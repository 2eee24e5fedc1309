package stack_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/internal/netns/netnstest"
	"tapstack/stack"
	"tapstack/tap"
)

// TestUSOFromTheKernel: what a program sends in one call by UDP_SEGMENT comes
// through the TAP as one frame, and to a socket as the datagrams it is.
func TestUSOFromTheKernel(t *testing.T) {
	ns := netnstest.Need(t)
	var dev tap.Device
	if err := ns.Do(func() (err error) {
		dev, err = tap.Open(&tap.Config{Host: []netip.Prefix{peer4, peer6}})
		return err
	}); err != nil {
		netnstest.Skip(t, err)
	}
	if !dev.Offloads().USO {
		dev.Close()
		t.Skip("this kernel has no USO:", tap.Describe(dev).Note)
	}
	s, _ := newStack(t, dev, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}})
	for name, addr := range map[string]netip.Addr{"IPv4": our4.Addr(), "IPv6": our6.Addr()} {
		t.Run(name, func(t *testing.T) {
			const size, sent = 1000, 25_500
			ep, readable := bindUDP(t, s, 53)
			defer ep.Close()
			conn, err := ns.DialContext(t.Context(), "udp", netip.AddrPortFrom(addr, 53).String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			segment(t, conn, size)
			before := dev.Stats().RxFrames
			want := make([]byte, sent)
			_, _ = rand.NewChaCha8([32]byte{7}).Read(want)
			if _, err := conn.Write(want); err != nil {
				t.Fatal(err)
			}
			for len(want) > 0 {
				n := min(size, len(want))
				if got := receive(t, ep, readable); !bytes.Equal(got, want[:n]) {
					t.Fatalf("%d bytes of another datagram, %d are left of %d", len(got), len(want), sent)
				}
				want = want[n:]
			}
			// With a few of the neighbours' talk.
			if n := dev.Stats().RxFrames - before; n > sent/size/2 {
				t.Errorf("%d frames: it was cut before it came", n)
			}
		})
	}
}

func bindUDP(t *testing.T, s *stack.Stack, port uint16) (tcpip.Endpoint, <-chan struct{}) {
	t.Helper()
	var wq waiter.Queue
	ep, err := s.Netstack().NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, &wq)
	if err != nil {
		t.Fatal(err)
	}
	if err := ep.Bind(tcpip.FullAddress{Port: port}); err != nil {
		t.Fatal(err)
	}
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents)
	wq.EventRegister(&entry)
	t.Cleanup(func() { wq.EventUnregister(&entry) })
	return ep, readable
}

// receive waits for a datagram.
func receive(t *testing.T, ep tcpip.Endpoint, readable <-chan struct{}) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var b bytes.Buffer
		_, err := ep.Read(&b, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			return b.Bytes()
		case *tcpip.ErrWouldBlock:
		default:
			t.Fatal(err)
		}
		select {
		case <-readable:
		case <-ctx.Done():
			t.Fatal("no datagram")
		}
	}
}

// segment has the kernel cut what conn writes into datagrams of size bytes.
func segment(t *testing.T, conn net.Conn, size int) {
	t.Helper()
	rc, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	err = rc.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
	if err := errors.Join(err, optErr); err != nil {
		t.Fatal(err)
	}
}
