package tap

import (
	"sync"
	"time"
)

// A lane is one direction of one queue of a pipe: frames wait in it, in
// order and up to a number, from push to pop.
//
//	writer: reserve, fill the buffer, push
//	reader: pop, copy the buffer, recycle
//
// The copying is outside the lock, so writer and reader overlap. A writer that
// has reserved is sure of its place; places, not frames, are what is bounded.
type lane struct {
	ended    <-chan struct{} // closed when the reading end is closed or gone, after stop
	readable chan struct{}   // one token: the lane was empty and is not
	writable chan struct{}   // one token: the lane was full, with writers waiting, and is not

	mu      sync.Mutex
	ring    []*buffer // of the lane's size; nil once stopped
	head    int       // the oldest frame in ring
	queued  int       // frames in ring
	used    int       // queued, and reserved but not pushed; at most size
	waiters int       // writers in waitForPlace
	stopped bool      // nobody will read any more

	// Buffers that are not in use, last in first out: the one used last is
	// the one still in the CPU's cache.
	small, large []*buffer
	smallSize    int
	size         int
}

// A buffer holds one frame.
type buffer struct {
	data []byte // the whole memory
	n    int    // the frame's length
	off  Offload
}

// maxLarge is how many buffers for offloaded frames a lane keeps for reuse:
// 4 MiB, enough for what is under way at full speed, where all that a queue
// may hold would be 32 MiB.
const maxLarge = 64

func newLane(size, mtu int, ended <-chan struct{}) *lane {
	return &lane{
		ended:     ended,
		readable:  make(chan struct{}, 1),
		writable:  make(chan struct{}, 1),
		ring:      make([]*buffer, size),
		size:      size,
		smallSize: mtu + EthernetHeaderLen,
	}
}

// reserve takes a place, and a buffer for n bytes to fill. A full lane is
// waited for until wait is over or quit is closed: then the error is ErrFull.
// It is ErrDown when nobody reads.
func (l *lane) reserve(n int, wait time.Duration, quit <-chan struct{}) (*buffer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used == l.size && !l.stopped && wait > 0 {
		l.waitForPlace(wait, quit)
	}
	switch {
	case l.stopped:
		return nil, ErrDown
	case l.used == l.size:
		return nil, ErrFull
	}
	l.used++
	if l.waiters > 0 && l.used < l.size {
		notify(l.writable) // one token may stand for many places
	}
	b := l.get(n)
	b.n = n
	return b, nil
}

// waitForPlace returns when there is a place, or no more time. It is called
// with the lock held and gives it up while it waits.
func (l *lane) waitForPlace(wait time.Duration, quit <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	l.waiters++
	defer func() { l.waiters-- }()
	for l.used == l.size && !l.stopped {
		over := false
		l.mu.Unlock()
		select {
		case <-l.writable:
		case <-l.ended:
		case <-quit:
			over = true
		case <-timer.C:
			over = true
		}
		l.mu.Lock()
		if over {
			return
		}
	}
}

// get finds or makes a buffer of at least n bytes.
func (l *lane) get(n int) *buffer {
	free, size := &l.small, l.smallSize
	if n > size {
		free, size = &l.large, MaxFrame
	}
	last := len(*free) - 1
	if last < 0 {
		return &buffer{data: make([]byte, size)}
	}
	b := (*free)[last]
	*free = (*free)[:last]
	return b
}

// push queues what reserve gave, filled. False means that the reader went
// away meanwhile.
func (l *lane) push(b *buffer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.ring[(l.head+l.queued)%l.size] = b
	l.queued++
	if l.queued == 1 {
		notify(l.readable)
	}
	return true
}

// pop waits for the oldest frame and frees its place. It is nil when the lane
// has stopped.
func (l *lane) pop() *buffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queued == 0 && !l.stopped {
		l.mu.Unlock()
		select {
		case <-l.readable:
		case <-l.ended:
		}
		l.mu.Lock()
	}
	if l.stopped {
		return nil
	}
	b := l.ring[l.head]
	l.ring[l.head] = nil
	l.head = (l.head + 1) % l.size
	l.queued--
	l.used--
	if l.waiters > 0 {
		notify(l.writable)
	}
	return b
}

// recycle takes back a buffer whose frame has been copied.
func (l *lane) recycle(b *buffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
	case len(b.data) <= l.smallSize:
		l.small = append(l.small, b)
	case len(l.large) < maxLarge:
		l.large = append(l.large, b)
	}
}

// stop is for the reading end, once. It lets go of all memory and returns how
// many frames were lost in the queue.
func (l *lane) stop() (lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost = l.queued
	l.stopped = true
	l.queued = 0
	l.ring, l.small, l.large = nil, nil, nil
	return lost
}

// pending is the number of frames that are ready to be read.
func (l *lane) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued
}

// notify leaves a token unless there is one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
