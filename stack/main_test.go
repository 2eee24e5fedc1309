package stack_test

import (
	"net/netip"
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/internal/stacktest"
	"tapstack/stack"
	"tapstack/tap"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

var (
	eventually = stacktest.Eventually
)

var (
	our4, our6   = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")
	peer4, peer6 = netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")
)

// newStack makes a stack with one NIC, gone when the test is.
func newStack(t testing.TB, dev tap.Device, cfg *stack.NICConfig) (*stack.Stack, *stack.NIC) {
	t.Helper()
	s, err := stack.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	n, err := s.AddNIC(dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, n
}

func newTCPEndpoint(s *stack.Stack) (tcpip.Endpoint, error) {
	ep, err := s.Netstack().NewEndpoint(tcp.ProtocolNumber, ipv6.ProtocolNumber, new(waiter.Queue))
	if err != nil {
		return nil, stack.Errno(err)
	}
	return ep, nil
}
