package socketapi_test

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/tap"
)

// TestMTUChanges under open connections: what was settled in the handshake no
// longer fits, or could be more; bytes go on arriving either way.
func TestMTUChanges(t *testing.T) {
	ns := netnstest.Need(t)
	for _, c := range []struct {
		name string
		cfg  tap.Config
		to   int
	}{
		{"offload, smaller", tap.Config{}, 1300},
		{"offload, larger", tap.Config{}, 9000},
		{"plain, smaller", tap.Config{Plain: true}, 1300},
		{"plain, larger", tap.Config{Plain: true}, 9000},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Host = []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}
			var dev tap.Device
			if err := ns.Do(func() (err error) { dev, err = tap.Open(&c.cfg); return err }); err != nil {
				netnstest.Skip(t, err)
			}
			s := host(t, dev, nil, netip.MustParsePrefix("10.1.0.2/24"))
			defer s.Close()
			l, err := socketapi.Listen(s, "tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			far, near := dialFrom(t, ns, l)
			exchange(t, far, near)
			setMTU(t, ns, dev.Name(), c.to)
			eventually(t, "the stack knows", func() bool { return s.NICs()[0].MTU() == c.to })
			exchange(t, far, near) // the old connection
			far, near = dialFrom(t, ns, l)
			exchange(t, far, near) // and a new one
		})
	}
}

func dialFrom(t *testing.T, ns *netns.NS, l *socketapi.TCPListener) (far, near net.Conn) {
	t.Helper()
	far, err := ns.DialContext(within(t), "tcp", "10.1.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	return far, near
}

// exchange moves a megabyte each way.
func exchange(t *testing.T, a, b net.Conn) {
	t.Helper()
	const n = 1 << 20
	at, _ := within(t).Deadline()
	for _, c := range [][2]net.Conn{{a, b}, {b, a}} {
		_ = c[0].SetDeadline(at)
		_ = c[1].SetDeadline(at)
		done := make(chan error, 1)
		go func() { _, err := c[0].Write(make([]byte, n)); done <- err }()
		if got, err := io.CopyN(io.Discard, struct{ io.Reader }{c[1]}, n); err != nil {
			t.Fatalf("%d bytes of %d: %v", got, n, err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func setMTU(t *testing.T, ns *netns.NS, name string, mtu int) {
	t.Helper()
	if err := ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(link, mtu)
	}); err != nil {
		t.Fatal(err)
	}
}
