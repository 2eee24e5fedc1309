package socketapi_test

import (
	"net/netip"
	"testing"

	"tapstack/socketapi"
)

// TestAddressesOfAReset: a connection that was reset before anybody has accepted
// it has both addresses all the same. A nil net.Addr would take a server down
// that prints it, for a SYN, an ACK and a RST.
func TestAddressesOfAReset(t *testing.T) {
	a, b := pair(t, nil)
	for _, addr := range []netip.Addr{b4.Addr(), b6.Addr()} {
		l, err := socketapi.Listen(b, "tcp", netip.AddrPortFrom(addr, 0).String())
		check(t, err, nil)
		c, err := (&socketapi.Dialer{Stack: a}).DialContext(within(t), "tcp", l.Addr().String())
		check(t, err, nil)
		check(t, c.(*socketapi.TCPConn).Abort(), nil)
		eventually(t, "the reset is there", func() bool { return b.Stats().TCP.Established == 0 })
		s, err := l.AcceptTCP()
		check(t, err, nil)
		if got, want := s.RemoteAddr(), c.LocalAddr(); got == nil || got.String() != want.String() {
			t.Errorf("remote %v, want %v", got, want)
		}
		if got, want := s.LocalAddr(), c.RemoteAddr(); got == nil || got.String() != want.String() {
			t.Errorf("local %v, want %v", got, want)
		}
		check(t, s.Close(), nil)
		check(t, l.Close(), nil)
	}
}
