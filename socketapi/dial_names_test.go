package socketapi_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"tapstack/socketapi"
)

// names is a Resolver with all addresses of a name, in the order to try.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return n[host], nil
}

// TestDialNames: of a name's addresses the one that answers is taken, the other
// family's without waiting for the first to fail (RFC 8305).
func TestDialNames(t *testing.T) {
	a, b := pair(t, nil)
	l, err := socketapi.Listen(b, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent6, silent4 := netip.MustParseAddr("2001:db8::77"), netip.MustParseAddr("192.0.2.77")
	d := &socketapi.Dialer{Stack: a, FallbackDelay: 10 * time.Millisecond, Resolver: names{
		"v4.test": {b4.Addr()}, "v6.test": {b6.Addr()}, "both.test": {silent6, b4.Addr()}, "other.test": {silent4, b6.Addr()},
	}}
	for host, want := range map[string]netip.Addr{
		"v4.test": b4.Addr(), "v6.test": b6.Addr(), "both.test": b4.Addr(), "other.test": b6.Addr(),
	} {
		c, err := d.DialContext(within(t), "tcp", host+":http")
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if got := c.RemoteAddr().String(); got != netip.AddrPortFrom(want, 80).String() {
			t.Errorf("%s: connected to %s", host, got)
		}
		_ = c.Close()
	}
	var unknown *net.DNSError
	if _, err := d.DialContext(within(t), "tcp", "none.test:80"); !errors.As(err, &unknown) || !unknown.IsNotFound {
		t.Errorf("a name without addresses: %v", err)
	}
	if _, err := d.DialContext(within(t), "tcp6", "v4.test:80"); !errors.As(err, &unknown) {
		t.Errorf("a name without addresses of the family: %v", err)
	}
}
