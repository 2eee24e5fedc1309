package netem_test

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"tapstack/netem"
	"tapstack/stack"
	"tapstack/tap"
)

// reader reads frames until the device is closed; got is there after done.
type reader struct {
	got  []string
	done chan struct{}
}

func readAll(d tap.Device, clock *stack.VirtualClock) *reader {
	r := &reader{done: make(chan struct{})}
	start := clock.Now()
	go func() {
		defer close(r.done)
		for {
			head, rest := make([]byte, 10), make([]byte, 1600)
			n, _, err := d.Queues()[0].Read([][]byte{head, rest})
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					r.got = append(r.got, err.Error())
				}
				return
			}
			last := append(head, rest[:n-len(head)]...)[n-1]
			r.got = append(r.got, string(last)+" "+clock.Now().Sub(start).String())
		}
	}()
	return r
}

func write(t *testing.T, d tap.Device, n int, last byte) {
	t.Helper()
	frame := append(bytes.Repeat([]byte{0}, n-1), last)
	if err := d.Queues()[0].Write([][]byte{frame[:7], frame[7:]}, tap.Offload{}); err != nil {
		t.Fatal(err)
	}
}

// Each direction has its own delay, rate and losses, and a frame that has
// arrived is read when the clock's step is over.
func TestLink(t *testing.T) {
	clock := stack.NewVirtualClock()
	a, b, err := netem.NewLink(&netem.LinkConfig{
		There: netem.PathConfig{Delay: 10 * time.Millisecond, Rate: 8000 * 1000, Lose: func(n int) bool { return n == 2 }},
		Back:  netem.PathConfig{Delay: 5 * time.Millisecond},
	}, clock)
	if err != nil {
		t.Fatal(err)
	}
	ra, rb := readAll(a, clock), readAll(b, clock)
	for _, c := range "xyz" {
		write(t, a, 1000, byte(c))
	}
	write(t, b, 1514, 'r')
	clock.Advance(5 * time.Millisecond)
	if s := a.Stats(); s.RxFrames != 1 || s.TxFrames != 3 || s.TxBytes != 3000 || s.RxBytes != 1514 {
		t.Errorf("after 5 ms: %+v", s)
	}
	clock.Advance(5 * time.Millisecond)
	if s := b.Stats(); s.RxFrames != 0 {
		t.Errorf("after 10 ms: %+v; want nothing there", s)
	}
	clock.Advance(2 * time.Millisecond)
	if s := b.Stats(); s.RxFrames != 2 {
		t.Errorf("after 12 ms: %+v; want all there", s)
	}
	a.Close()
	b.Close()
	<-ra.done
	<-rb.done
	// A millisecond each on the wire, and one was lost before it.
	if want := []string{"x 11ms", "z 12ms"}; !slices.Equal(rb.got, want) {
		t.Errorf("%v; want %v", rb.got, want)
	}
	if want := []string{"r 5ms"}; !slices.Equal(ra.got, want) {
		t.Errorf("%v; want %v", ra.got, want)
	}
}

func TestLinkRefuses(t *testing.T) {
	clock := stack.NewVirtualClock()
	for name, cfg := range map[string]*netem.LinkConfig{
		"MTU 67":         {MTU: 67},
		"MTU 65522":      {MTU: 65522},
		"negative delay": {There: netem.PathConfig{Delay: -1}},
		"negative rate":  {Back: netem.PathConfig{Rate: -1}},
	} {
		if _, _, err := netem.NewLink(cfg, clock); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	a, b, err := netem.NewLink(nil, clock)
	if err != nil {
		t.Fatal(err)
	}
	if a.Name() != "link0" || b.Name() != "link1" || a.MTU() != 1500 || a.Offloads() != (tap.Offloads{}) || len(b.Queues()) != 1 {
		t.Errorf("%s and %s, MTU %d, %v", a.Name(), b.Name(), a.MTU(), a.Offloads())
	}
	if err := a.Queues()[0].Write([][]byte{make([]byte, 1515)}, tap.Offload{}); !errors.Is(err, tap.ErrFrame) {
		t.Errorf("beyond the MTU: %v; want ErrFrame", err)
	}
	if s := a.Stats(); s.TxFrames != 0 || s.TxDrops.TooLarge != 1 {
		t.Errorf("%+v", s)
	}
}

// A closed end takes nothing, and stops nobody.
func TestLinkClose(t *testing.T) {
	clock := stack.NewVirtualClock()
	a, b, err := netem.NewLink(nil, clock)
	if err != nil {
		t.Fatal(err)
	}
	r := readAll(b, clock)
	write(t, a, 100, 'x')
	b.Close()
	<-r.done
	clock.Advance(time.Second)
	write(t, a, 100, 'y') // into nothing
	clock.Advance(time.Second)
	if s := b.Stats(); s.RxFrames != 0 {
		t.Errorf("%+v", s)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := a.Queues()[0].Write([][]byte{make([]byte, 100)}, tap.Offload{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if _, _, err := a.Queues()[0].Read([][]byte{make([]byte, 100)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}
