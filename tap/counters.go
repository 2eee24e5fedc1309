package tap

import "sync/atomic"

// A cause is why a frame was dropped: one for each field of [Drops].
type cause uint8

const (
	causeFull cause = iota
	causeTooShort
	causeTooLarge
	causeOffload
	causeDown
	causeError
	numCauses
)

// traffic counts one direction of one queue.
type traffic struct {
	frames, bytes atomic.Uint64
	drops         [numCauses]atomic.Uint64
}

// pass counts a frame of n bytes that got through.
func (t *traffic) pass(n int) {
	t.frames.Add(1)
	t.bytes.Add(uint64(n))
}

// drop counts a frame that did not.
func (t *traffic) drop(c cause) { t.drops[c].Add(1) }

// cacheLine is at least a cache line, and the line that a CPU fetches along
// with it.
const cacheLine = 128

// counters belong to one queue. Its reader and its writers are usually on
// different cores; the padding keeps each off the other's cache line, and off
// the next queue's.
type counters struct {
	rx traffic
	_  [cacheLine]byte
	tx traffic
	_  [cacheLine]byte
}

// addTo adds c to a device's total. Counters go on while it reads: each
// number is exact, two of them need not be of the same instant.
func (c *counters) addTo(s *Stats) {
	s.RxFrames += c.rx.frames.Load()
	s.RxBytes += c.rx.bytes.Load()
	s.TxFrames += c.tx.frames.Load()
	s.TxBytes += c.tx.bytes.Load()
	c.rx.addDropsTo(&s.RxDrops)
	c.tx.addDropsTo(&s.TxDrops)
}

func (t *traffic) addDropsTo(d *Drops) {
	d.Full += t.drops[causeFull].Load()
	d.TooShort += t.drops[causeTooShort].Load()
	d.TooLarge += t.drops[causeTooLarge].Load()
	d.Offload += t.drops[causeOffload].Load()
	d.Down += t.drops[causeDown].Load()
	d.Error += t.drops[causeError].Load()
}
