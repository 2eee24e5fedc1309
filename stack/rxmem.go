package stack

import (
	"reflect"
	"sync/atomic"
	"unsafe"

	"gvisor.dev/gvisor/pkg/buffer"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// The memory that frames are read into, and what a packet keeps of it.
//
// A frame is scattered over a small and a large chunk. What a packet is made of
// stays with it for as long as it waits in a receive buffer, and gVisor charges
// the receive buffer for the payload alone. So a frame that fills less than
// half of its chunk is copied to one of its own size, and the chunk is read
// into again; only a frame that fills its chunk takes it along, uncopied. The
// chunk that is copied to is one of gVisor's, cleared before.
//
// gVisor's buffer package clears every chunk that it hands out: 64 KiB of
// zeros for a frame that a read is about to overwrite, a sixth of the CPU at
// full speed. So the reader keeps a reference (the master) to each large chunk
// it gives away, and reads into it again once that is the only one left.

// Sizes in bytes. gVisor's chunks are powers of two up to 64 KiB; these two
// hold every frame together.
const (
	smallChunk = 2 << 10
	largeChunk = 64 << 10
)

// keepLarge is how many large chunks a reader keeps a reference to, 4 MiB:
// what one connection's largest receive buffer holds. Beyond that it takes
// fresh ones.
const keepLarge = 64

// rxBuffer is the memory that one reader reads the next frame into. Only the
// reader uses it.
type rxBuffer struct {
	small, large *buffer.View
	bufs         [][]byte
	// lent are masters of chunks given away, the oldest first.
	lent [keepLarge]*buffer.View
	head int // of the oldest
	n    int
}

func newRxBuffer() *rxBuffer {
	rx := &rxBuffer{small: buffer.NewViewSize(smallChunk), large: buffer.NewViewSize(largeChunk)}
	rx.bufs = [][]byte{rx.small.AsSlice(), rx.large.AsSlice()}
	return rx
}

// take makes a packet of the n bytes just read, and prepares the next read.
func (rx *rxBuffer) take(n int) *netstack.PacketBuffer {
	var payload buffer.Buffer
	switch {
	case n <= smallChunk/2:
		payload = buffer.MakeWithView(buffer.NewViewWithData(rx.bufs[0][:n]))
	case n <= smallChunk:
		rx.small.CapLength(n)
		payload = buffer.MakeWithView(rx.small)
		rx.renewSmall()
	case n <= smallChunk+largeChunk/2:
		v := buffer.NewView(n)
		_, _ = v.Write(rx.bufs[0])
		_, _ = v.Write(rx.bufs[1][:n-smallChunk])
		payload = buffer.MakeWithView(v)
	default:
		v := rx.large.Clone()
		v.CapLength(n - smallChunk)
		payload = buffer.MakeWithView(rx.small)
		_ = payload.Append(v) // fails for a nil view only
		rx.renewSmall()
		rx.renewLarge()
	}
	return netstack.NewPacketBuffer(netstack.PacketBufferOptions{Payload: payload})
}

func (rx *rxBuffer) renewSmall() {
	rx.small = buffer.NewViewSize(smallChunk)
	rx.bufs[0] = rx.small.AsSlice()
}

// renewLarge lends rx.large out and finds another chunk.
func (rx *rxBuffer) renewLarge() {
	if rx.n < keepLarge {
		rx.lent[(rx.head+rx.n)%keepLarge] = rx.large
		rx.n++
	} else {
		rx.large.Release() // the packet has the chunk to itself
	}
	rx.large = rx.returned()
	if rx.large == nil {
		rx.large = buffer.NewViewSize(largeChunk)
	}
	rx.bufs[1] = rx.large.AsSlice()
}

// returned is a lent chunk that nobody else refers to any more, nil if there
// is none among the oldest few: packets are mostly released in the order in
// which they came, but a slow reader may sit on some.
func (rx *rxBuffer) returned() *buffer.View {
	const tries = 4
	for range min(tries, rx.n) {
		v := rx.lent[rx.head]
		rx.head = (rx.head + 1) % keepLarge
		if soleOwner(v) {
			rx.n--
			return v
		}
		rx.lent[(rx.head+rx.n-1)%keepLarge] = v // to the back
	}
	return nil
}

func (rx *rxBuffer) release() {
	rx.small.Release()
	rx.large.Release()
	for ; rx.n > 0; rx.n-- {
		rx.lent[rx.head].Release()
		rx.head = (rx.head + 1) % keepLarge
	}
}

// soleOwner reports whether v is the only reference to its chunk. Nobody else
// can make another then, so it stays true until v is cloned.
//
// gVisor has this as the unexported View.sharesChunk, and can only act on it by
// copying. The count is read where it is, atomically; a version of gVisor
// that keeps it elsewhere makes every chunk count as shared, and so every large
// frame take a fresh one. A test demands that the pinned version does not.
func soleOwner(v *buffer.View) bool {
	if chunkField == nil || refsField == nil {
		return false
	}
	chunk := reflect.ValueOf(v).Elem().FieldByIndex(chunkField)
	refs := chunk.Elem().FieldByIndex(refsField)
	return (*atomic.Int64)(unsafe.Pointer(refs.UnsafeAddr())).Load() == 1
}

// Where a View has its chunk, and a chunk its reference count.
var chunkField, refsField = findRefs()

func findRefs() (chunk, refs []int) {
	c, ok := reflect.TypeFor[buffer.View]().FieldByName("chunk")
	if !ok || c.Type.Kind() != reflect.Pointer || c.Type.Elem().Kind() != reflect.Struct {
		return nil, nil
	}
	r, ok := c.Type.Elem().FieldByName("refCount")
	if !ok || r.Type.Size() != unsafe.Sizeof(int64(0)) {
		return nil, nil
	}
	return c.Index, r.Index
}
