package stack_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapstack/stack"
	"tapstack/tap"
)

func TestTCPSettingsAreInForce(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		s, err := stack.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		want := stack.TCPConfig{
			CongestionControl: "cubic",
			SendBuffer:        stack.BufferRange{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20},
			ReceiveBuffer:     stack.BufferRange{Min: 2 << 10, Default: 512 << 10, Max: 2 << 20},
			TimeWait:          60 * time.Second,
			FinWait2:          60 * time.Second,
			MinRTO:            200 * time.Millisecond,
			MaxRTO:            120 * time.Second,
			InvalidRateLimit:  500 * time.Millisecond,
		}
		if got := s.TCP(); got != want {
			t.Errorf("in force:\n%+v\nwant:\n%+v", got, want)
		}
	})
	t.Run("chosen", func(t *testing.T) {
		want := stack.TCPConfig{
			CongestionControl: "reno",
			SendBuffer:        stack.BufferRange{Min: 1 << 10, Default: 2 << 10, Max: 3 << 10},
			ReceiveBuffer:     stack.BufferRange{Min: 2 << 10, Default: 4 << 10, Max: 6 << 10},
			NoAutotune:        true,
			NoSendAutotune:    true,
			NoSACK:            true,
			NoRACK:            true,
			TimeWait:          time.Second,
			FinWait2:          2 * time.Second,
			MinRTO:            time.Second,
			MaxRTO:            3 * time.Second,
			InvalidRateLimit:  -1,
		}
		s, err := stack.New(&stack.Config{TCP: want})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := s.TCP(); got != want {
			t.Errorf("in force:\n%+v\nwant:\n%+v", got, want)
		}
	})
	for name, c := range map[string]stack.TCPConfig{
		"congestion control": {CongestionControl: "vegas"},
		"buffer order":       {SendBuffer: stack.BufferRange{Min: 10, Default: 5, Max: 20}},
		"negative buffer":    {ReceiveBuffer: stack.BufferRange{Min: -1}},
		"negative time":      {TimeWait: -1},
		"RTO order":          {MinRTO: time.Minute, MaxRTO: time.Second},
	} {
		t.Run("refused "+name, func(t *testing.T) {
			if s, err := stack.New(&stack.Config{TCP: c}); err == nil {
				_ = s.Close()
				t.Errorf("%+v was accepted", c)
			}
		})
	}
}

func TestAddNICRefuses(t *testing.T) {
	p := netip.MustParsePrefix
	for name, c := range map[string]struct {
		mtu int
		cfg stack.NICConfig
	}{
		"duplicate address":   {1500, stack.NICConfig{Addresses: []netip.Prefix{our4, our4}}},
		"multicast address":   {1500, stack.NICConfig{Addresses: []netip.Prefix{p("224.0.0.1/24")}}},
		"unspecified address": {1500, stack.NICConfig{Addresses: []netip.Prefix{p("0.0.0.0/0")}}},
		"loopback address":    {1500, stack.NICConfig{Addresses: []netip.Prefix{p("127.0.0.1/8")}}},
		"invalid prefix":      {1500, stack.NICConfig{Addresses: []netip.Prefix{{}}}},
		"IPv6 on a small MTU": {1279, stack.NICConfig{Addresses: []netip.Prefix{our6}}},
		"mixed route":         {1500, stack.NICConfig{Routes: []stack.Route{{Dst: p("::/0"), Via: our4.Addr()}}}},
		"group MAC":           {1500, stack.NICConfig{HardwareAddr: net.HardwareAddr{1, 2, 3, 4, 5, 6}}},
		"short MAC":           {1500, stack.NICConfig{HardwareAddr: net.HardwareAddr{2, 2, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := stack.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			a, b := tap.Pipe(&tap.PipeConfig{MTU: c.mtu})
			defer b.Close()
			if _, err := s.AddNIC(a, &c.cfg); err == nil {
				t.Fatal("was accepted")
			}
			if len(s.NICs()) != 0 {
				t.Error("the stack has a NIC all the same")
			}
			// The device was the stack's to close.
			if err := a.Queues()[0].Write([][]byte{make([]byte, 60)}, tap.Offload{}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the device is still open: %v", err)
			}
		})
	}
}

func TestAddressOfTheStackTwice(t *testing.T) {
	a, b := tap.Pipe(nil)
	defer b.Close()
	s, n := newStack(t, a, &stack.NICConfig{Addresses: []netip.Prefix{our4}})
	if err := n.AddAddress(our4); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("got %v, want EEXIST", err)
	}
	// On a second NIC too, which then is not there at all.
	c, d := tap.Pipe(nil)
	defer d.Close()
	if _, err := s.AddNIC(c, &stack.NICConfig{Addresses: []netip.Prefix{our4}}); !errors.Is(err, syscall.EEXIST) || len(s.NICs()) != 1 {
		t.Errorf("got %v and %d NICs, want EEXIST", err, len(s.NICs()))
	}
}

func TestAddressesAreUsableAtOnce(t *testing.T) {
	a, b := tap.Pipe(nil)
	defer b.Close()
	_, n := newStack(t, a, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}})
	got := n.Addresses()
	var linkLocal int
	for _, p := range got {
		if p.Addr().IsLinkLocalUnicast() {
			linkLocal++
		}
	}
	if len(got) != 3 || linkLocal != 1 {
		t.Errorf("addresses %v: want both and a link-local one", got)
	}
}

func TestSmallMTUHasNoIPv6(t *testing.T) {
	a, b := tap.Pipe(&tap.PipeConfig{MTU: 576})
	defer b.Close()
	_, n := newStack(t, a, &stack.NICConfig{Addresses: []netip.Prefix{our4}})
	if got := n.Addresses(); len(got) != 1 || got[0] != our4 {
		t.Errorf("addresses %v, want %v alone", got, our4)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 20 {
		a, b := tap.Pipe(&tap.PipeConfig{Queues: 2})
		s, err := stack.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddNIC(a, nil); err != nil {
			t.Fatal(err)
		}
		if s.Err() != nil {
			t.Fatalf("running, and Err is %v", s.Err())
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-s.Done():
		default:
			t.Fatal("closed, but not done")
		}
		if !errors.Is(s.Err(), net.ErrClosed) {
			t.Fatalf("Err after Close: %v", s.Err())
		}
		if _, err := s.AddNIC(b, nil); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("AddNIC after Close: %v", err)
		}
	}
}

func TestDeviceFailureEndsTheStack(t *testing.T) {
	a, b := tap.Pipe(nil)
	defer b.Close()
	s, _ := newStack(t, a, nil)
	a.(*tap.PipeEnd).Delete()
	<-s.Done()
	if err := s.Err(); !errors.Is(err, tap.ErrGone) {
		t.Errorf("Err is %v, want ErrGone", err)
	}
	_ = s.Close() // waits for the rest
}
