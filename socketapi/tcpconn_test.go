package socketapi_test

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"

	"tapstack/socketapi"
)

// TestConn runs the contract of net.Conn that x/net publishes.
func TestConn(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]netip.Addr{"IPv4": b4.Addr(), "IPv6": b6.Addr()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t, nil)
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				l, err := socketapi.Listen(b, "tcp", netip.AddrPortFrom(addr, 0).String())
				if err != nil {
					return nil, nil, nil, err
				}
				defer l.Close()
				c1, err = (&socketapi.Dialer{Stack: a}).Dial("tcp", l.Addr().String())
				if err != nil {
					return nil, nil, nil, err
				}
				c2, err = l.Accept()
				if err != nil {
					return nil, nil, nil, err
				}
				return c1, c2, func() { _ = c1.Close(); _ = c2.Close() }, nil
			})
		})
	}
}
