package stack_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// lossyDevice loses every third of the frames that are written to it while it
// is told to.
type lossyDevice struct {
	tap.Device
	lossy atomic.Int64 // frames to go
}

func (d *lossyDevice) Queues() []tap.Queue { return []tap.Queue{lossyQueue{d.Device.Queues()[0], d}} }

type lossyQueue struct {
	tap.Queue
	dev *lossyDevice
}

func (q lossyQueue) Write(bufs [][]byte, off tap.Offload) error {
	if left := q.dev.lossy.Add(-1); left > 0 && left%3 == 0 {
		return nil
	}
	return q.Queue.Write(bufs, off)
}

// TestSmallestMTU: losses are repaired at every MTU that a device may have, and
// the smallest that carries SACK has it. Nothing the stack makes is refused.
func TestSmallestMTU(t *testing.T) {
	for _, mtu := range []int{tap.MinMTU, 79, 80} {
		for name, offloads := range map[string]tap.Offloads{"plain": {}, "offload": allOffloads} {
			t.Run(fmt.Sprint(name, " ", mtu), func(t *testing.T) {
				a, b := tap.Pipe(&tap.PipeConfig{MTU: mtu, Offloads: offloads})
				from := &lossyDevice{Device: a}
				sender, _ := newStack(t, from, &stack.NICConfig{Addresses: []netip.Prefix{our4}})
				receiver, _ := newStack(t, b, &stack.NICConfig{Addresses: []netip.Prefix{peer4}})
				if got := offersSACK(t, receiver); got != (mtu >= 80) {
					t.Errorf("SACK is %v", got)
				}
				l, err := socketapi.Listen(receiver, "tcp", netip.AddrPortFrom(peer4.Addr(), 80).String())
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				c, err := (&socketapi.Dialer{Stack: sender}).DialContext(t.Context(), "tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				in, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				want := make([]byte, 200)
				_, _ = rand.NewChaCha8([32]byte{3}).Read(want)
				from.lossy.Store(30)
				wrote := make(chan error, 1)
				go func() {
					var err error
					for i := 0; i < len(want) && err == nil; i++ { // a segment each, so that there are gaps
						_, err = c.Write(want[i : i+1])
					}
					wrote <- err
				}()
				got := make([]byte, len(want))
				_ = in.SetDeadline(time.Now().Add(20 * time.Second)) // a hang
				if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("read: %v", err)
				}
				_ = c.SetDeadline(time.Now()) // if it did not get through
				if err := <-wrote; err != nil {
					t.Errorf("write: %v", err)
				}
				if st := sender.Stats(); st.TCP.Retransmits == 0 {
					t.Error("nothing was lost")
				}
				for who, s := range map[string]*stack.Stack{"sender": sender, "receiver": receiver} {
					if st := s.Stats(); st.NICs[0].Device.TxDrops.Total() != 0 || st.TCP.SendErrors != 0 {
						t.Errorf("the %s: %d send errors, %+v", who, st.TCP.SendErrors, st.NICs[0].Device.TxDrops)
					}
				}
			})
		}
	}
}

// offersSACK reports whether new connections of s have SACK.
func offersSACK(t *testing.T, s *stack.Stack) bool {
	t.Helper()
	var on tcpip.TCPSACKEnabled
	if err := s.Netstack().TransportProtocolOption(tcp.ProtocolNumber, &on); err != nil {
		t.Fatal(err)
	}
	return bool(on)
}

// TestSetTCPAndSmallMTU: whichever comes last, the settings or an MTU that is too
// small, SACK is on only where both allow it, and the settings read back as they
// were set.
func TestSetTCPAndSmallMTU(t *testing.T) {
	dev, _ := tap.Pipe(&tap.PipeConfig{MTU: 1000}) // too small for IPv6, so that any will do
	s, n := newStack(t, dev, &stack.NICConfig{Addresses: []netip.Prefix{our4}})
	off := s.TCP()
	off.NoSACK = true
	on := s.TCP()
	for i, step := range []struct {
		do   func() error
		sack bool
	}{
		{func() error { return n.SetMTU(tap.MinMTU) }, false},
		{func() error { return s.SetTCP(on) }, false},
		{func() error { return s.SetTCP(s.TCP()) }, false},
		{func() error { return n.SetMTU(1000) }, true},
		{func() error { return s.SetTCP(off) }, false},
		{func() error { return n.SetMTU(tap.MinMTU) }, false},
		{func() error { return n.SetMTU(900) }, false},
		{func() error { return s.SetTCP(on) }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := offersSACK(t, s); got != step.sack {
			t.Errorf("step %d: SACK is %v", i, got)
		}
	}
	if s.TCP() != on {
		t.Errorf("reads back %+v, was set to %+v", s.TCP(), on)
	}
}
