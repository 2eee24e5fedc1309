package socketapi_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/refs"

	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

func TestMain(m *testing.M) {
	// Every packet and chunk of gVisor's must have been released in the end.
	refs.SetLeakMode(refs.LeaksPanic)
	code := netnstest.Main(m)
	refs.DoLeakCheck()
	os.Exit(code)
}

// Addresses of the two stacks that tests connect: host a and host b.
var (
	a4, b4 = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	a6, b6 = netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")
)

// pair makes two stacks on the two ends of a pipe, gone when the test is.
func pair(t testing.TB, cfg *stack.Config) (a, b *stack.Stack) {
	t.Helper()
	da, db := tap.Pipe(nil)
	return host(t, da, cfg, a4, a6), host(t, db, cfg, b4, b6)
}

func host(t testing.TB, dev tap.Device, cfg *stack.Config, addrs ...netip.Prefix) *stack.Stack {
	t.Helper()
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.AddNIC(dev, &stack.NICConfig{Addresses: addrs}); err != nil {
		t.Fatal(err)
	}
	return s
}

// connect makes a TCP connection from a to b at b's address.
func connect(t testing.TB, a, b *stack.Stack, addr netip.Addr) (client, server *socketapi.TCPConn) {
	t.Helper()
	l, err := socketapi.Listen(b, "tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := (&socketapi.Dialer{Stack: a}).DialContext(within(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = s.Close() })
	return c.(*socketapi.TCPConn), s
}

// within bounds what a test waits for: far above what it takes, so that only
// a hang ends it.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

var _ net.Conn = (*socketapi.TCPConn)(nil)
