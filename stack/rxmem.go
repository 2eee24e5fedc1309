package stack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// The memory that frames are read into. gVisor's buffer package hands out
// pooled chunks, but clears each before it does: 64 KiB of zeros for a frame
// that a read is about to overwrite, one sixth of the CPU at full speed. So
// the chunks here are kept, each behind a view of ours (the master), and a
// packet gets a clone of it: a second reference to the same chunk. When the
// packet is released, the master goes back to its list, uncleared.
//
//	rxMemory.get -> rxBuffer.bufs -> Queue.Read -> rxBuffer.take -> packet
//	packet released -> rxSlot.release -> rxMemory.put
//
// gVisor may have cloned a packet that it has released; then the chunk is
// still shared when its master comes back. Before a master is used again it
// is made to own its chunk, which copies only in that case.

// Sizes in bytes. A frame is scattered over a small and a large chunk: what
// fits the small one leaves the large one for the next frame. gVisor's chunks
// are powers of two up to 64 KiB, and so together they hold every frame.
const (
	smallChunk = 2 << 10
	largeChunk = 64 << 10
)

// How many free slots of each kind a link keeps: enough for what is under way
// at full speed (6 MiB), beyond which memory goes back to gVisor.
const (
	keepSmall = 1024
	keepLarge = 64
)

// rxSlot is one chunk, and the function that brings it home.
type rxSlot struct {
	home   *rxMemory
	master *buffer.View
	large  bool
	// first is the small slot of the same frame, on a large slot in use.
	first *rxSlot
	// onRelease is the method value of release, made once.
	onRelease func()
}

// rxMemory keeps the free slots of a link, oldest first: a slot comes back a
// moment before gVisor has let go of its chunk, so the one that came last is
// used last.
type rxMemory struct {
	mu     sync.Mutex
	small  slotRing
	large  slotRing
	closed bool
}

func newRxMemory() *rxMemory {
	return &rxMemory{
		small: slotRing{slots: make([]*rxSlot, keepSmall)},
		large: slotRing{slots: make([]*rxSlot, keepLarge)},
	}
}

// slotRing is a bounded queue of slots.
type slotRing struct {
	slots   []*rxSlot
	head, n int
}

func (r *slotRing) push(s *rxSlot) bool {
	if r.n == len(r.slots) {
		return false
	}
	r.slots[(r.head+r.n)%len(r.slots)] = s
	r.n++
	return true
}

func (r *slotRing) pop() *rxSlot {
	s := r.slots[r.head]
	r.slots[r.head] = nil
	r.head = (r.head + 1) % len(r.slots)
	r.n--
	return s
}

// get takes a slot out, or makes one.
func (m *rxMemory) get(large bool) *rxSlot {
	if s := m.pop(large); s != nil {
		// Never shared now, or copied so that it is not.
		_, _ = s.master.WriteAt(nil, 0)
		return s
	}
	size := smallChunk
	if large {
		size = largeChunk
	}
	s := &rxSlot{home: m, master: buffer.NewViewSize(size), large: large}
	s.onRelease = s.release
	return s
}

func (m *rxMemory) ring(large bool) *slotRing {
	if large {
		return &m.large
	}
	return &m.small
}

func (m *rxMemory) pop(large bool) *rxSlot {
	m.mu.Lock()
	defer m.mu.Unlock()
	ring := m.ring(large)
	if ring.n < 2 { // the only one may have come back this instant
		return nil
	}
	return ring.pop()
}

// put brings a slot back.
func (m *rxMemory) put(s *rxSlot) {
	m.mu.Lock()
	kept := !m.closed && m.ring(s.large).push(s)
	m.mu.Unlock()
	if !kept {
		s.master.Release()
	}
}

// close gives all free memory back, and from now on what comes home.
func (m *rxMemory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, ring := range []*slotRing{&m.small, &m.large} {
		for ring.n > 0 {
			ring.pop().master.Release()
		}
	}
}

// release is called by gVisor when the packet made of the slot is released.
func (s *rxSlot) release() {
	if first := s.first; first != nil {
		s.first = nil
		s.home.put(first)
	}
	s.home.put(s)
}

// rxBuffer is the memory that the next frame is read into.
type rxBuffer struct {
	mem          *rxMemory
	small, large *rxSlot
	bufs         [][]byte
}

// newRxBuffer prepares to read from a device: one that hands out nothing
// longer than a small chunk needs no large one.
func newRxBuffer(mem *rxMemory, dev tap.Device) *rxBuffer {
	rx := &rxBuffer{mem: mem, small: mem.get(false)}
	rx.bufs = append(rx.bufs, rx.small.master.AsSlice())
	if dev.MTU()+tap.EthernetHeaderLen > smallChunk || dev.Offloads() != (tap.Offloads{}) {
		rx.large = mem.get(true)
		rx.bufs = append(rx.bufs, rx.large.master.AsSlice())
	}
	return rx
}

// take makes a packet of the n bytes just read, without copying them, and gets
// fresh memory for the next read.
func (rx *rxBuffer) take(n int) *netstack.PacketBuffer {
	payload := buffer.MakeWithView(firstOf(rx.small, min(n, smallChunk)))
	release := rx.small.onRelease
	if n > smallChunk {
		_ = payload.Append(firstOf(rx.large, n-smallChunk))
		rx.large.first = rx.small
		release = rx.large.onRelease
		rx.large = rx.mem.get(true)
		rx.bufs[1] = rx.large.master.AsSlice()
	}
	rx.small = rx.mem.get(false)
	rx.bufs[0] = rx.small.master.AsSlice()
	return netstack.NewPacketBuffer(netstack.PacketBufferOptions{Payload: payload, OnRelease: release})
}

// firstOf is a view of the first n bytes of a slot's chunk.
func firstOf(s *rxSlot, n int) *buffer.View {
	v := s.master.Clone()
	v.CapLength(n)
	return v
}

func (rx *rxBuffer) release() {
	rx.mem.put(rx.small)
	if rx.large != nil {
		rx.mem.put(rx.large)
	}
}
