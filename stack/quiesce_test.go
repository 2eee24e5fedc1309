package stack_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"tapstack/stack"
	"tapstack/tap"
)

// After Close there is nothing to wait for, and nobody to wait for it.
func TestQuiesce(t *testing.T) {
	s, err := stack.New(&stack.Config{Clock: stack.NewVirtualClock()})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		s.Quiesce()
	}
	closed := make(chan struct{})
	go func() { defer close(closed); _ = s.Close() }()
	for range 100 {
		s.Quiesce()
	}
	<-closed
	s.Quiesce()
}

// count is randomness that is none, and counts what was asked for.
type count struct{ n int }

func (c *count) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = byte(c.n)
	}
	return len(p), nil
}

// All randomness comes from Config.Rand: with the same source two stacks choose
// the same.
func TestRandFixesEverything(t *testing.T) {
	var macs [2]net.HardwareAddr
	var hashes [2]uint32
	for i := range macs {
		s, err := stack.New(&stack.Config{Rand: io.Reader(&count{}), Clock: stack.NewVirtualClock()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		dev, other := tap.Pipe(nil)
		defer other.Close()
		n, err := s.AddNIC(dev, nil)
		if err != nil {
			t.Fatal(err)
		}
		macs[i] = n.HardwareAddr()
		hashes[i] = s.Netstack().InsecureRNG().Uint32()
	}
	if !bytes.Equal(macs[0], macs[1]) || hashes[0] != hashes[1] {
		t.Errorf("hardware addresses %v, numbers %v; want the same twice", macs, hashes)
	}
}

func TestAddNeighbour(t *testing.T) {
	dev, other := tap.Pipe(nil)
	defer other.Close()
	_, n := newStack(t, dev, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}})
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	for _, a := range []netip.Addr{peer4.Addr(), peer6.Addr()} {
		if err := n.AddNeighbour(a, mac); err != nil {
			t.Error(err)
		}
	}
	for _, got := range n.Neighbours() {
		if !bytes.Equal(got.HardwareAddr, mac) || got.State != "Static" {
			t.Errorf("%+v; want it static", got)
		}
	}
	if len(n.Neighbours()) != 2 {
		t.Errorf("%v; want two", n.Neighbours())
	}
	if err := n.AddNeighbour(netip.Addr{}, mac); err == nil {
		t.Error("no address is accepted")
	}
	if err := n.AddNeighbour(peer4.Addr(), mac[:5]); err == nil || errors.Is(err, net.ErrClosed) {
		t.Error("five bytes:", err)
	}
}
