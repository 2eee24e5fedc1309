package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"unsafe"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Chunk is received bytes, borrowed: the memory that they were received into.
// It is a handle; copies are the same Chunk. The zero Chunk is empty and needs
// no Release.
type Chunk struct {
	b   *borrowed
	gen uint64
}

// borrowed is what a Chunk stands for, from a pool.
type borrowed struct {
	gen    atomic.Uint64 // of the Chunk that it belongs to; moves on at Release
	slices [][]byte
	n      int
	hold   buffer.Buffer // keeps the memory under slices

	// While Borrow runs, under the endpoint's lock:
	ep   *tcp.Endpoint
	pkt  *stack.PacketBuffer // the last in hold
	left int                 // bytes that are still wanted
}

var borrowedPool = sync.Pool{New: func() any { return new(borrowed) }}

// errEnough makes Endpoint.Read stop where Borrow wants it to. Read reports
// what was taken before an error, and not the error.
var errEnough = errors.New("enough")

// Borrow takes at most n of the received bytes out of ep's receive buffer
// without copying them, and at least one. It does not wait, and it is a Read in
// all other respects: the room that it makes is offered to the peer, and for
// autotuning the caller says what it took (Endpoint.ModerateRecvBuf).
//
// Memory: a Chunk holds all of every segment it has a part of, 64 KiB and more
// for a byte of a large one, and that no longer counts against the receive
// buffer. Whoever keeps Chunks bounds their number. The bytes stay as they are
// until Release, also when the connection or the stack is closed.
//
// Errors are those of Endpoint.Read: ErrWouldBlock, ErrClosedForReceive after a
// FIN or CloseRead, ErrBadBuffer if n is not above zero, and how the
// connection broke.
func Borrow(ep *tcp.Endpoint, n int) (Chunk, tcpip.Error) {
	b := borrowedPool.Get().(*borrowed)
	b.ep, b.left = ep, n
	_, err := ep.Read(b, tcpip.ReadOptions{})
	b.ep, b.pkt = nil, nil
	c := Chunk{b, b.gen.Load()}
	if err != nil {
		c.Release()
		return Chunk{}, err
	}
	return c, nil
}

// Write implements io.Writer for Endpoint.Read, which calls it with ep's lock
// held, once for each piece of the payload, and afterwards drops what was
// taken. That p is a piece of the packet at the head of the queue is all that
// is relied on.
func (b *borrowed) Write(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errEnough
	}
	segment := *rcvHeadField.in(unsafe.Pointer(b.ep))
	if pkt := *packetField.in(segment); pkt != b.pkt {
		// References to the packet's memory, by a copy of its list of it.
		// Whoever else could write there looks at the references first.
		data := pkt.Data().ToBuffer()
		b.hold.Merge(&data)
		b.pkt = pkt
	}
	n := min(len(p), b.left)
	b.left -= n
	b.slices = append(b.slices, p[:n:n])
	b.n += n
	if b.left == 0 {
		return n, errEnough
	}
	return n, nil
}

// Len is the number of bytes.
func (c Chunk) Len() int {
	if c.b == nil {
		return 0
	}
	c.check()
	return c.b.n
}

// Slices are the bytes, in order. They must not be written to, nor used after
// Release; net.Buffers may consume a copy of the outer slice.
func (c Chunk) Slices() [][]byte {
	if c.b == nil {
		return nil
	}
	c.check()
	return c.b.slices
}

// Release gives the memory back. It must be called once, by anyone; using a
// released Chunk panics.
func (c Chunk) Release() {
	b := c.b
	if b == nil {
		return
	}
	if !b.gen.CompareAndSwap(c.gen, c.gen+1) {
		panic("engine: Chunk released twice")
	}
	clear(b.slices)
	b.slices, b.n = b.slices[:0], 0
	b.hold.Release()
	borrowedPool.Put(b)
}

func (c Chunk) check() {
	if c.b.gen.Load() != c.gen {
		panic("engine: Chunk used after Release")
	}
}
