package socketapi_test

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"tapstack/internal/stacktest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

var (
	host       = stacktest.Host
	within     = stacktest.Within
	eventually = stacktest.Eventually
)

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

var _ net.Conn = (*socketapi.TCPConn)(nil)
