package stack

import (
	"bytes"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

func TestSoleOwner(t *testing.T) {
	v := buffer.NewViewSize(100)
	defer v.Release()
	if !soleOwner(v) {
		t.Fatal("a fresh view is shared: has gVisor moved its reference count?")
	}
	other := v.Clone()
	if soleOwner(v) || soleOwner(other) {
		t.Error("a cloned view is not shared")
	}
	other.Release()
	if !soleOwner(v) {
		t.Error("a released clone still shares")
	}
}

// read fills rx as a device would and makes a packet of it.
func (rx *rxBuffer) read(n int, seed byte) *netstack.PacketBuffer {
	left := n
	for _, b := range rx.bufs {
		for i := range b[:min(left, len(b))] {
			b[i] = seed + byte(i)
		}
		left -= min(left, len(b))
	}
	return rx.take(n)
}

// TestPacketsKeepTheirBytes holds many packets of all sizes while others are
// read: no chunk is read into that a packet still has.
func TestPacketsKeepTheirBytes(t *testing.T) {
	rx := newRxBuffer()
	defer rx.release()
	sizes := []int{0, 1, 60, 1024, 1025, 1514, 2048, 2049, 9014, 34_816, 34_817, 65_274, smallChunk + largeChunk}
	type held struct {
		pkt  *netstack.PacketBuffer
		n    int
		seed byte
	}
	var waiting []held
	check := func(h held) {
		var want []byte
		for _, size := range []int{smallChunk, largeChunk} {
			for i := range min(size, h.n-len(want)) {
				want = append(want, h.seed+byte(i))
			}
		}
		got := h.pkt.ToBuffer()
		if b := got.Flatten(); !bytes.Equal(b, want) {
			t.Errorf("a packet of %d bytes has changed", h.n)
		}
		got.Release()
		h.pkt.DecRef()
	}
	for i := range 3000 {
		n := sizes[i%len(sizes)]
		// Held as a receive buffer holds it: a clone that outlives the packet.
		pkt := rx.read(n, byte(i))
		waiting = append(waiting, held{pkt.Clone(), n, byte(i)})
		pkt.DecRef()
		if len(waiting) > 100+i%200 {
			check(waiting[0])
			waiting = waiting[1:]
		}
	}
	for _, h := range waiting {
		check(h)
	}
}

// TestPacketsDoNotPinMemory: what a packet keeps is at most a little more than
// twice its size.
func TestPacketsDoNotPinMemory(t *testing.T) {
	rx := newRxBuffer()
	defer rx.release()
	for _, n := range []int{100, 600, 1100, 2100, 9000, 33_000, 40_000, 64_000} {
		pkt := rx.read(n, 1)
		kept := 0
		views, _ := pkt.AsViewList()
		for v := views.Front(); v != nil; v = v.Next() {
			kept += v.Capacity()
		}
		if kept > 2*n+64 {
			t.Errorf("a frame of %d bytes keeps %d", n, kept)
		}
		pkt.DecRef()
	}
}

// TestChunksAreReadIntoAgain: in the steady state no chunk is taken from
// gVisor, hence none is cleared.
func TestChunksAreReadIntoAgain(t *testing.T) {
	rx := newRxBuffer()
	defer rx.release()
	seen := map[*byte]bool{}
	var window []*netstack.PacketBuffer
	const frames, inFlight = 2000, 30
	for i := range frames {
		seen[&rx.bufs[1][0]] = true
		window = append(window, rx.read(60_000, byte(i)))
		if len(window) > inFlight {
			window[0].DecRef()
			window = window[1:]
		}
	}
	for _, pkt := range window {
		pkt.DecRef()
	}
	if len(seen) > keepLarge+1 {
		t.Errorf("%d chunks for %d frames, %d of them in flight", len(seen), frames, inFlight)
	}
	if n := testing.AllocsPerRun(100, func() { rx.read(60_000, 1).DecRef() }); n > 0 && !raceEnabled {
		t.Errorf("%v allocations a frame", n)
	}
}
