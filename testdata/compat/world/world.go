package world

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
	"tapstack/tap/capture"
)

// Link is two hosts on one Ethernet, each with an address of the family that a
// test is to use. It ends with its test.
type Link struct {
	Server, Client Host

	ns *netns.NS // of the kernel's host; nil where there is none
}

// family is the addresses of the two ends in one family: ours on a TAP, the
// other's.
type family struct {
	name      string
	ours, far netip.Prefix
}

var families = []family{
	{"IPv4", netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("192.0.2.1/24")},
	{"IPv6", netip.MustParsePrefix("2001:db8::2/64"), netip.MustParsePrefix("2001:db8::1/64")},
}

// addresses are all that a host of any world can have: what a certificate
// has to be good for.
func addresses() (ips []net.IP) {
	for _, f := range families {
		ips = append(ips, f.ours.Addr().AsSlice(), f.far.Addr().AsSlice())
	}
	return ips
}

// Each runs test in every world.
func Each(t *testing.T, test func(t *testing.T, l *Link)) {
	t.Helper()
	t.Run("pipe", func(t *testing.T) {
		for _, f := range families {
			t.Run(f.name, func(t *testing.T) {
				test(t, overPipe(t, f))
			})
		}
	})
	t.Run("TAP", func(t *testing.T) {
		for _, f := range families {
			t.Run(f.name+" server ours", func(t *testing.T) {
				test(t, overTAP(t, f))
			})
			t.Run(f.name+" client ours", func(t *testing.T) {
				l := overTAP(t, f)
				l.Server, l.Client = l.Client, l.Server
				test(t, l)
			})
		}
	})
}

// TAP runs test over a TAP with the server ours, once for each family.
func TAP(t *testing.T, test func(t *testing.T, l *Link)) {
	t.Helper()
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) { test(t, overTAP(t, f)) })
	}
}

// One is the world that says most: a TAP, IPv4, the server ours.
func One(t *testing.T) *Link {
	t.Helper()
	return overTAP(t, families[0])
}

func overPipe(t *testing.T, f family) *Link {
	t.Helper()
	near, far := tap.Pipe(nil)
	return &Link{
		Server: newStack(t, record(t, near), f.ours),
		Client: newStack(t, far, f.far),
	}
}

// overTAP is a link between a stack of ours, the server, and the kernel.
func overTAP(t *testing.T, f family) *Link {
	t.Helper()
	ns := netnstest.Need(t)
	var dev tap.Device
	if err := ns.Do(func() (err error) {
		dev, err = tap.Open(&tap.Config{Host: []netip.Prefix{f.far}})
		return err
	}); err != nil {
		netnstest.Skip(t, err)
	}
	return &Link{
		Server: newStack(t, record(t, dev), f.ours),
		Client: &kernel{ns, f.far.Addr()},
		ns:     ns,
	}
}

// newStack makes a stack on dev, which must not find anything wrong with what
// it receives.
func newStack(t *testing.T, dev tap.Device, addr netip.Prefix) *ours {
	t.Helper()
	s, err := stack.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d := s.Stats().Drops; d.TCPChecksum+d.IPMalformed+d.L4Malformed+d.TCPMalformed != 0 {
			t.Errorf("the stack dropped packets: %+v", d)
		}
		_ = s.Close()
	})
	if _, err := s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{addr}}); err != nil {
		t.Fatal(err)
	}
	return &ours{s, addr.Addr()}
}

// Listen listens for TCP on the server, at a port of its choice, until the
// test ends.
func (l *Link) Listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := l.Server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// Dial connects the client to address over TCP, until the test ends.
func (l *Link) Dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := l.Client.DialContext(Within(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// Within bounds what a test waits for: far above what it takes, so that only
// a hang ends it.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// patience is how long a test waits before it calls something a hang.
const patience = time.Minute

// Host is one end of a link.
type Host interface {
	// Addr is the host's one address.
	Addr() netip.Addr
	// Listen listens for TCP, ListenPacket for UDP, on Addr at a port of the
	// host's choice. The caller closes what it gets.
	Listen() (net.Listener, error)
	ListenPacket() (net.PacketConn, error)
	// DialContext takes a literal address; it fits http.Transport and the
	// like.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// ours is a host with sockets of socketapi.
type ours struct {
	stack *stack.Stack
	addr  netip.Addr
}

func (h *ours) Addr() netip.Addr { return h.addr }

func (h *ours) Listen() (net.Listener, error) {
	return socketapi.Listen(h.stack, "tcp", anyPort(h.addr))
}

func (h *ours) ListenPacket() (net.PacketConn, error) {
	return socketapi.ListenUDP(h.stack, "udp", anyPort(h.addr))
}

func (h *ours) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&socketapi.Dialer{Stack: h.stack}).DialContext(ctx, network, address)
}

// kernel is a host with the kernel's sockets.
type kernel struct {
	ns   *netns.NS
	addr netip.Addr
}

func (h *kernel) Addr() netip.Addr { return h.addr }

func (h *kernel) Listen() (net.Listener, error) { return h.ns.Listen("tcp", anyPort(h.addr)) }

func (h *kernel) ListenPacket() (net.PacketConn, error) {
	return h.ns.ListenPacket("udp", anyPort(h.addr))
}

func (h *kernel) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return h.ns.DialContext(ctx, network, address)
}

func anyPort(a netip.Addr) string { return netip.AddrPortFrom(a, 0).String() }

// record captures what passes dev into a file that outlives a failed test.
func record(t *testing.T, dev tap.Device) tap.Device {
	t.Helper()
	d := capture.Wrap(dev)
	f, err := newKeepsake(t)
	if err != nil {
		t.Fatal(err)
	}
	// Headers are what tells a story; of a bulk transfer, its beginning.
	rec, err := d.Start(f, &capture.Config{SnapLen: 160, MaxBytes: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := rec.Stop(); err != nil {
			t.Error(err)
		}
		f.finish(t)
	})
	return d
}
