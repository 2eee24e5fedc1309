package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// datagramServer answers every datagram with f of it.
func (w *world) datagramServer(t testing.TB, f func([]byte) []byte) string {
	t.Helper()
	c, err := w.target.packets(within(t), netip.AddrPortFrom(w.targetAddr[0], 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(f(buf[:n]), from)
		}
	}()
	return c.LocalAddr().String()
}

func same(p []byte) []byte { return p }

func forwardUDP(t testing.TB, o Options, target string) *Service {
	t.Helper()
	s, err := ForwardUDP(UDPForward{Options: o, Target: target})
	return ending(t, s, err)
}

// dialUDP opens a client's socket.
func (w *world) dialUDP(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := w.client.DialContext(within(t), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantDatagram sends a datagram and wants an answer.
func wantDatagram(t testing.TB, c net.Conn, text, want string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != want {
		t.Fatalf("for %d bytes got %d, %v; want %d", len(text), n, err, len(want))
	}
}

// TestForwardUDP: datagrams keep their boundaries, the empty one and the longest
// too, and clients do not get each other's.
func TestForwardUDP(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			s := forwardUDP(t, w.options(0), w.datagramServer(t, same))
			one, two := w.dialUDP(t, s.Addr().String()), w.dialUDP(t, s.Addr().String())
			texts := []string{"hello", "", "x", strings.Repeat("long ", 1000), strings.Repeat("y", 60_000)}
			want := uint64(0)
			for _, text := range texts {
				wantDatagram(t, one, text, text)
				wantDatagram(t, two, "two"+text, "two"+text)
				want += uint64(2*len(text) + 3)
			}
			n := uint64(2 * len(texts))
			wantCount(t, s, "everything counted", func(s Snapshot) bool {
				return s.DatagramsIn == n && s.DatagramsOut == n && s.BytesIn == want && s.BytesOut == want && s.Active == 2 && s.Dropped == 0
			})
		})
	}
}

// TestUDPFlowIdle: a flow without datagrams ends, and the next one is new.
func TestUDPFlowIdle(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.FlowIdle = 50 * time.Millisecond
	s := forwardUDP(t, o, w.datagramServer(t, same))
	c := w.dialUDP(t, s.Addr().String())
	wantDatagram(t, c, "one", "one")
	wantCount(t, s, "the flow is idle", ended(CauseIdle))
	wantDatagram(t, c, "two", "two")
	if got := s.Snapshot(); got.Opened != 2 {
		t.Errorf("%+v", got)
	}
}

// TestUDPFlowsLimit: of too many flows that which was idle longest ends.
func TestUDPFlowsLimit(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Limits.Flows = 2
	var ports atomic.Int64 // how many sockets the target has heard from is what we can see of evictions
	seen := map[string]bool{}
	s := forwardUDP(t, o, w.datagramServer(t, func(p []byte) []byte {
		if !seen[string(p)] {
			seen[string(p)] = true
			ports.Add(1)
		}
		return p
	}))
	a, b, c := w.dialUDP(t, s.Addr().String()), w.dialUDP(t, s.Addr().String()), w.dialUDP(t, s.Addr().String())
	wantDatagram(t, a, "a", "a")
	wantDatagram(t, b, "b", "b")
	wantDatagram(t, a, "a", "a") // b is the older one now
	wantDatagram(t, c, "c", "c")
	wantCount(t, s, "one evicted", func(s Snapshot) bool { return s.Ended[CauseEvicted] == 1 && s.Active == 2 })
	wantDatagram(t, a, "a", "a")
	if got := s.Snapshot(); got.Opened != 3 {
		t.Errorf("a's flow was taken: %+v", got)
	}
	wantDatagram(t, b, "b", "b")
	if got := s.Snapshot(); got.Opened != 4 {
		t.Errorf("b still had a flow: %+v", got)
	}
}

// TestUDPRefused: a flow to where nobody listens ends with the target's ICMP
// error, and a service that comes up later is found.
func TestUDPRefused(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			at := w.closedPort(t)
			s := forwardUDP(t, w.options(0), at)
			c := w.dialUDP(t, s.Addr().String())
			if _, err := c.Write([]byte("anybody?")); err != nil {
				t.Fatal(err)
			}
			wantCount(t, s, "refused", refused(CauseRefused))
			pc, err := w.target.packets(within(t), at)
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			if _, err := c.Write([]byte("again")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, _, err := pc.ReadFromUDPAddrPort(buf)
			if err != nil || string(buf[:n]) != "again" {
				t.Errorf("%q, %v", buf[:n], err)
			}
		})
	}
}

// TestUDPWhileDialling: datagrams wait for a target's name, some of them, and
// other clients do not.
func TestUDPWhileDialling(t *testing.T) {
	w := stacks(t)
	release := make(chan struct{})
	held := make(chan struct{})
	var dials atomic.Int64
	dial := w.far.DialContext
	w.far.DialContext = func(ctx context.Context, network, a string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			close(held)
			<-release
		}
		return dial(ctx, network, a)
	}
	s := forwardUDP(t, w.options(0), w.datagramServer(t, same))
	slow, quick := w.dialUDP(t, s.Addr().String()), w.dialUDP(t, s.Addr().String())
	for range maxPending + 3 {
		if _, err := slow.Write([]byte("w")); err != nil {
			t.Fatal(err)
		}
	}
	<-held
	wantDatagram(t, quick, "q", "q")
	wantCount(t, s, "some are too many", func(s Snapshot) bool { return s.Dropped == 3 })
	close(release)
	for range maxPending {
		if n, err := slow.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
}

// TestUDPShutdown: it ends at once, flows and all.
func TestUDPShutdown(t *testing.T) {
	w := stacks(t)
	s := forwardUDP(t, w.options(0), w.datagramServer(t, same))
	c := w.dialUDP(t, s.Addr().String())
	wantDatagram(t, c, "x", "x")
	if err := s.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	if got := s.Snapshot(); got.Ended[CauseShutdown] != 1 {
		t.Errorf("%+v", got)
	}
	_ = c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
