package tap

import (
	"sync/atomic"
	"time"
)

// The kernel checks a frame against the MTU when it is sent; we, when we read
// it, against the MTU that we know of. In between it may have changed.

// mtuGrace is how long frames of a larger MTU may still come after it has
// become smaller: those that were queued before. mtuLookPause is how often, at
// most, a frame that is too large makes us ask for the MTU.
const (
	mtuGrace     = time.Second
	mtuLookPause = 10 * time.Millisecond
)

// mtuHistory is what the MTU was and may be.
type mtuHistory struct {
	before  atomic.Int64 // the larger MTU that the present one has replaced
	until   atomic.Int64 // and how long it holds for frames on their way, by sinceEpoch
	askedAt atomic.Int64 // when the interface was last asked, by sinceEpoch
}

// epoch is what these times are counted from, by a clock that nobody sets. It is
// before all of them, 0 included.
var epoch = time.Now().Add(-time.Hour)

// sinceEpoch is now, in nanoseconds.
func sinceEpoch() int64 { return int64(time.Since(epoch)) }

// setMTU replaces the device's MTU. One goroutine at a time calls it.
func (d *device) setMTU(mtu int) {
	before := d.mtu.Swap(int64(mtu))
	if before <= int64(mtu) {
		return
	}
	now := sinceEpoch()
	if now < d.mtus.until.Load() {
		before = max(before, d.mtus.before.Load())
	}
	d.mtus.before.Store(before)
	d.mtus.until.Store(now + int64(mtuGrace))
}

// inboundMTU is the largest MTU that a frame just read may have been sent by,
// for a frame that exceeds the one we know.
func (d *device) inboundMTU() int {
	now := sinceEpoch()
	if asked := d.mtus.askedAt.Load(); now-asked > int64(mtuLookPause) && d.mtus.askedAt.CompareAndSwap(asked, now) {
		// A larger one may have been set a moment ago, or nobody watches.
		_, _ = d.Interface()
	}
	mtu := d.MTU()
	if now < d.mtus.until.Load() {
		mtu = max(mtu, int(d.mtus.before.Load()))
	}
	return mtu
}
