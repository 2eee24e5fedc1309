package daemon

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"tapstack/internal/stacktest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

var (
	within     = stacktest.Within
	eventually = stacktest.Eventually
)

// The two stacks of pair, and the two ends of a TAP: the client's and ours.
var (
	client4, ours4 = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	client6, ours6 = netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")
)

// pair makes two stacks on the two ends of a pipe: a client and one to serve.
func pair(t testing.TB) (client, ours *stack.Stack) {
	t.Helper()
	a, b := tap.Pipe(nil)
	return stacktest.Host(t, a, nil, client4, client6), stacktest.Host(t, b, nil, ours4, ours6)
}

// allServices listen on ports of the stack's choice.
var allServices = ServicesConfig{Echo: ":0", Discard: ":0", Chargen: ":0", Daytime: ":0", HTTP: ":0"}

// start starts all services, which end before the stack does.
func start(t testing.TB, s *stack.Stack) *Services {
	t.Helper()
	services, err := StartServices(s, allServices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = services.Shutdown(ctx)
	})
	return services
}

// at is a service's address, at addr.
func at(t testing.TB, addrs []ServiceAddr, network, name string, addr netip.Addr) string {
	t.Helper()
	for _, a := range addrs {
		if a.Name == name && a.Addr.Network() == network {
			ap, err := addrPortOf(a.Addr)
			if err != nil {
				t.Fatal(err)
			}
			return netip.AddrPortFrom(addr, ap.Port()).String()
		}
	}
	t.Fatalf("no %s over %s in %v", name, network, addrs)
	return ""
}

// A network is the client's side: a stack on a pipe, or a namespace with a TAP.
type network struct {
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	addrs []ServiceAddr
}

// connect dials a service, with a deadline that only a hang meets.
func (n *network) connect(t testing.TB, network, name string, addr netip.Addr) net.Conn {
	t.Helper()
	c, err := n.dial(within(t), network, at(t, n.addrs, network, name, addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// halfCloser is what both kinds of connection are.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

var _ halfCloser = (*socketapi.TCPConn)(nil)
