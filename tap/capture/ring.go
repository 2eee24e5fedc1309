package capture

import (
	"sync/atomic"

	"tapstack/tap"
)

// A ring carries records from the data path, where any number of goroutines
// put them, to the one that writes the file. Nobody waits for a lock: a place
// is reserved with one compare-and-swap, filled while others fill theirs, and
// then marked ready. BPF's ring buffer works this way (Linux,
// Documentation/bpf/ringbuf.rst).
//
// Places are counted in bytes since the ring was made, and are multiples of a
// granule. A record takes whole granules that lie next to each other; one that
// would not fit before the end of the memory leaves that to a filler and
// begins at its start. A record's head is in heads, at its first granule.
type ring struct {
	data  []byte
	heads []record

	tail atomic.Uint64 // the next place to reserve; or ringClosed
	_    [cacheLine]byte
	head atomic.Uint64 // the next place to read
	_    [cacheLine]byte

	dropped atomic.Uint64 // records for which there was no place
	lost    atomic.Uint64 // of these, the ones since the last record

	wake chan struct{} // holds a token when there may be something to read
}

// record is a frame's head; its bytes are in the ring's data.
type record struct {
	state  atomic.Uint32 // the fields below belong to the reader when recordReady
	dir    Direction
	off    tap.Offload
	n      int    // bytes kept
	length int    // bytes the frame had
	lost   uint64 // records dropped just before this one
	nanos  int64  // time, since 1970
}

const (
	recordEmpty  uint32 = iota // nothing here, or not yet
	recordReady                // a frame
	recordFiller               // nothing up to the end of the memory
)

const (
	granule    = 256
	cacheLine  = 128 // at least a line, and the one a CPU fetches along with it
	ringClosed = 1 << 63
)

// inGranules rounds n bytes up to granules; a frame without bytes takes one.
func inGranules(n int) int { return (max(n, 1) + granule - 1) / granule * granule }

// minRing is the smallest ring for records of n bytes. With less than two of
// them, one might find room neither before the end nor after the start.
func minRing(n int) int { return 2 * inGranules(n) }

func newRing(size int) *ring {
	granules := size / granule
	return &ring{
		data:  make([]byte, granules*granule),
		heads: make([]record, granules),
		wake:  make(chan struct{}, 1),
	}
}

// reserve returns a place for n bytes, to be filled and handed to commit. It
// is nil, and counted, when the ring is full; nil also after close.
func (r *ring) reserve(n int) (*record, []byte) {
	size, memory := uint64(inGranules(n)), uint64(len(r.data))
	for {
		tail := r.tail.Load()
		if tail == ringClosed {
			return nil, nil
		}
		start := tail
		if rest := memory - tail%memory; rest < size {
			start += rest
		}
		if start+size-r.head.Load() > memory {
			if r.tail.Load() != tail {
				continue // head may be ahead of the tail we know
			}
			r.dropped.Add(1)
			r.lost.Add(1)
			return nil, nil
		}
		if !r.tail.CompareAndSwap(tail, start+size) {
			continue
		}
		if start != tail {
			r.at(tail).state.Store(recordFiller)
		}
		rec := r.at(start)
		rec.n, rec.lost = n, 0
		if r.lost.Load() != 0 {
			rec.lost = r.lost.Swap(0)
		}
		return rec, r.data[start%memory:][:n]
	}
}

// commit hands a record that reserve returned to the reader.
func (r *ring) commit(rec *record) {
	rec.state.Store(recordReady)
	select {
	case r.wake <- struct{}{}:
	default: // it knows
	}
}

// next returns the oldest record, to be handed to release; nil when there is
// none, or it is still being filled. Only the reader calls it.
func (r *ring) next() (*record, []byte) {
	memory := uint64(len(r.data))
	for {
		head := r.head.Load()
		rec := r.at(head)
		switch rec.state.Load() {
		case recordReady:
			return rec, r.data[head%memory:][:rec.n]
		case recordFiller:
			rec.state.Store(recordEmpty)
			r.head.Store(head + memory - head%memory)
		default:
			return nil, nil
		}
	}
}

// release makes room where rec was, the record that next returned.
func (r *ring) release(rec *record) {
	size := uint64(inGranules(rec.n))
	rec.state.Store(recordEmpty)
	r.head.Add(size)
}

// close makes reserve refuse from now on, and returns the place up to which
// there are, or will be, records to read.
func (r *ring) close() (end uint64) { return r.tail.Swap(ringClosed) }

// at is the head of the record at a place.
func (r *ring) at(place uint64) *record {
	return &r.heads[place%uint64(len(r.data))/granule]
}
