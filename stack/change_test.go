package stack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// hosts are two stacks on the two ends of a pipe.
func hosts(t *testing.T) (ours, peers *stack.Stack, nic *stack.NIC) {
	t.Helper()
	a, b := tap.Pipe(nil)
	ours, nic = newStack(t, a, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}})
	peers, _ = newStack(t, b, &stack.NICConfig{Addresses: []netip.Prefix{peer4, peer6}})
	return ours, peers, nic
}

// dial connects from s to a listener at address of to.
func dial(t *testing.T, s, to *stack.Stack, address netip.Addr) error {
	t.Helper()
	l, err := socketapi.Listen(to, "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d := socketapi.Dialer{Stack: s}
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(address, port).String())
	if err == nil {
		c.Close()
	}
	return err
}

func TestAddressesComeAndGo(t *testing.T) {
	ours, peers, nic := hosts(t)
	second := netip.MustParsePrefix("198.51.100.1/24")
	for range 2 {
		if err := nic.AddAddress(second); err != nil {
			t.Fatal(err)
		}
		if err := dial(t, ours, ours, second.Addr()); err != nil {
			t.Errorf("to our own new address: %v", err)
		}
		if err := nic.RemoveAddress(second); err != nil {
			t.Fatal(err)
		}
		if err := dial(t, ours, ours, second.Addr()); !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("to an address that is gone: %v, want unreachable", err)
		}
	}
	if err := nic.RemoveAddress(second); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address that is not there: %v, want EADDRNOTAVAIL", err)
	}
	// Two in one prefix: it stays reachable with the one that is left.
	other := netip.MustParsePrefix("192.0.2.9/24")
	if err := nic.AddAddress(other); err != nil {
		t.Fatal(err)
	}
	onLink := 0
	for _, r := range ours.Routes() {
		if r.Dst == our4.Masked() {
			onLink++
		}
	}
	if onLink != 1 {
		t.Errorf("%d routes to the prefix of two addresses: %v", onLink, ours.Routes())
	}
	if err := nic.RemoveAddress(other); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, ours, peers, peer4.Addr()); err != nil {
		t.Errorf("on the link after one of its addresses has gone: %v", err)
	}
	if err := nic.RemoveAddress(our4); err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(ours.Routes(), func(r stack.RouteEntry) bool { return r.Dst == our4.Masked() }); i >= 0 {
		t.Errorf("left without an address: %v", ours.Routes()[i])
	}
}

func TestRoutesComeAndGo(t *testing.T) {
	ours, peers, nic := hosts(t)
	peerNIC := peers.NICs()[0]
	far := netip.MustParsePrefix("203.0.113.1/32")
	if err := peerNIC.AddAddress(far); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, ours, peers, far.Addr()); !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("without a route: %v", err)
	}
	route := stack.Route{Dst: netip.MustParsePrefix("203.0.113.0/24"), Via: peer4.Addr()}
	if err := nic.AddRoute(route); err != nil {
		t.Fatal(err)
	}
	want := stack.RouteEntry{Dst: route.Dst, Via: route.Via, NIC: nic.Name()}
	if !slices.Contains(ours.Routes(), want) {
		t.Errorf("no %v in %v", want, ours.Routes())
	}
	if err := dial(t, ours, peers, far.Addr()); err != nil {
		t.Errorf("by the route: %v", err)
	}
	if err := nic.RemoveRoute(route); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(ours.Routes(), want) {
		t.Errorf("still %v in %v", want, ours.Routes())
	}
	if err := nic.RemoveRoute(route); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("a route that is not there: %v, want ESRCH", err)
	}
}

func TestNeighboursComeAndGo(t *testing.T) {
	ours, peers, nic := hosts(t)
	if err := dial(t, ours, peers, peer4.Addr()); err != nil {
		t.Fatal(err)
	}
	find := func(a netip.Addr) (stack.Neighbour, bool) {
		for _, e := range nic.Neighbours() {
			if e.Addr == a {
				return e, true
			}
		}
		return stack.Neighbour{}, false
	}
	if _, ok := find(peer4.Addr()); !ok {
		t.Fatalf("not learnt: %v", nic.Neighbours())
	}
	if err := nic.RemoveNeighbour(peer4.Addr()); err != nil {
		t.Fatal(err)
	}
	if e, ok := find(peer4.Addr()); ok {
		t.Errorf("not forgotten: %v", e)
	}
	if err := nic.RemoveNeighbour(peer4.Addr()); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("a neighbour that is not there: %v, want ESRCH", err)
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	for _, a := range []netip.Addr{netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")} {
		if err := nic.AddNeighbour(a, mac); err != nil {
			t.Fatal(err)
		}
		if e, ok := find(a); !ok || e.HardwareAddr.String() != mac.String() || e.State != "Static" {
			t.Errorf("added %v: %+v, %v", a, e, ok)
		}
	}
	for _, bad := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("::ffff:1.2.3.4")} {
		if nic.AddNeighbour(bad, mac) == nil {
			t.Errorf("neighbour %v was taken", bad)
		}
	}
	if nic.AddNeighbour(peer4.Addr(), mac[:5]) == nil || nic.AddNeighbour(peer4.Addr(), net.HardwareAddr{1, 0, 0, 0, 0, 0}) == nil {
		t.Error("a hardware address that is none was taken")
	}
}

func TestNICDownAndUp(t *testing.T) {
	ours, peers, nic := hosts(t)
	if !nic.Enabled() {
		t.Error("not enabled at first")
	}
	if err := nic.SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	if nic.Enabled() {
		t.Error("enabled when down")
	}
	if err := dial(t, ours, peers, peer4.Addr()); err == nil {
		t.Error("dialled over a NIC that is down")
	}
	if err := nic.SetEnabled(true); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Prefix{peer4, peer6} {
		if err := dial(t, ours, peers, a.Addr()); err != nil {
			t.Errorf("to %v, up again: %v", a, err)
		}
	}
}

func TestSetMTU(t *testing.T) {
	_, _, nic := hosts(t)
	most := nic.MTU()
	for _, c := range []struct {
		mtu int
		ok  bool
	}{{1280, true}, {1279, false}, {most, true}, {most + 1, false}, {-1, false}} {
		err := nic.SetMTU(c.mtu)
		if c.ok != (err == nil) || (err != nil && !errors.Is(err, syscall.EINVAL)) {
			t.Errorf("MTU %d: %v", c.mtu, err)
		}
		if c.ok && nic.MTU() != c.mtu {
			t.Errorf("MTU %d reads back as %d", c.mtu, nic.MTU())
		}
	}
}

func TestSetTCP(t *testing.T) {
	ours, _, _ := hosts(t)
	want := stack.TCPConfig{CongestionControl: "reno", ReceiveBuffer: stack.BufferRange{Min: 4096, Default: 8192, Max: 65536}}
	if err := ours.SetTCP(want); err != nil {
		t.Fatal(err)
	}
	if got := ours.TCP(); got.CongestionControl != "reno" || got.ReceiveBuffer != want.ReceiveBuffer {
		t.Errorf("in force: %+v", got)
	}
	before := ours.TCP()
	if err := ours.SetTCP(stack.TCPConfig{CongestionControl: "bbr"}); err == nil || ours.TCP() != before {
		t.Errorf("bbr: %v, %+v", err, ours.TCP())
	}
}

func TestNICByName(t *testing.T) {
	ours, _, nic := hosts(t)
	if n, ok := ours.NIC(nic.Name()); !ok || n != nic {
		t.Errorf("%v, %v", n, ok)
	}
	if _, ok := ours.NIC("nosuch"); ok {
		t.Error("found what is not there")
	}
}
