package netem

import (
	"cmp"
	"fmt"
	"net"
	"sync"
	"time"

	"tapstack/tap"
)

// LinkConfig describes a link between two devices. The zero value is a good one.
type LinkConfig struct {
	// MTU is the IP MTU in bytes of both ends; 0 means 1500.
	MTU int
	// There and Back are the two directions: from the first device to the
	// second, and from the second to the first.
	There, Back PathConfig
	// Names of the two ends; "" means "link0" and "link1".
	Names [2]string
}

const defaultMTU = 1500

// NewLink returns two devices that are joined by a path in each direction, as
// stacks in virtual time need them: a frame arrives in a timer of the clock, and
// that timer's function returns when the reader is through with the frame. So
// after each step of a stack.VirtualClock, and the Quiesce that goes with it,
// nothing is under way but what is on the link.
//
// The devices have one queue each and no offloads, so a frame is one packet. A
// Write never waits: a path that is full drops, as links do. Every device needs
// a reader, or the clock stops at its first frame; Close ends it. The link starts
// no goroutine.
func NewLink(cfg *LinkConfig, clock Clock) (a, b tap.Device, err error) {
	var c LinkConfig
	if cfg != nil {
		c = *cfg
	}
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	if c.MTU < tap.MinMTU || c.MTU > tap.MaxMTU {
		return nil, nil, fmt.Errorf("MTU %d is out of range: choose one from %d to %d", c.MTU, tap.MinMTU, tap.MaxMTU)
	}
	ends := [2]*end{newEnd(c.Names[0], "link0", c.MTU), newEnd(c.Names[1], "link1", c.MTU)}
	for i, p := range []PathConfig{c.There, c.Back} {
		d := &direction{clock: clock, to: ends[1-i]}
		d.path, err = NewPath(p, d, func(frame []byte) { d.arrived = append(d.arrived, frame) })
		if err != nil {
			return nil, nil, err
		}
		ends[i].out = d
	}
	return ends[0], ends[1], nil
}

// direction is a path and the lock that lets several goroutines use it. It is
// its path's clock.
type direction struct {
	clock Clock
	to    *end

	mu      sync.Mutex // guards what follows
	path    *Path
	arrived [][]byte // and not yet delivered
}

// Now implements Clock.
func (d *direction) Now() time.Time { return d.clock.Now() }

// Schedule implements Clock. The lock is not held while a frame is delivered:
// its reader may answer.
func (d *direction) Schedule(after time.Duration, f func()) {
	d.clock.Schedule(after, func() {
		d.mu.Lock()
		f()
		frames := d.arrived
		d.arrived = nil
		d.mu.Unlock()
		for _, frame := range frames {
			d.to.deliver(frame)
		}
	})
}

func (d *direction) send(frame []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.path.Send(frame)
}

// end is one end of a link.
type end struct {
	name string
	mtu  int
	out  *direction

	frames chan []byte   // to the reader
	asks   chan struct{} // the reader wants the next frame
	closed chan struct{}
	once   sync.Once

	delivering sync.Mutex // guards asked
	asked      bool       // an ask was taken that has had no answer yet

	mu    sync.Mutex // guards stats
	stats tap.Stats
}

var (
	_ tap.Device = (*end)(nil)
	_ tap.Queue  = (*end)(nil)
)

func newEnd(name, otherwise string, mtu int) *end {
	return &end{
		name: cmp.Or(name, otherwise), mtu: mtu,
		frames: make(chan []byte), asks: make(chan struct{}), closed: make(chan struct{}),
	}
}

// deliver hands a frame to the reader and returns when that asks for the next.
func (e *end) deliver(frame []byte) {
	e.delivering.Lock()
	defer e.delivering.Unlock()
	if !e.asked && !e.ask() {
		return
	}
	select {
	case e.frames <- frame:
		e.asked = e.ask()
	case <-e.closed:
	}
}

func (e *end) ask() bool {
	select {
	case <-e.asks:
		return true
	case <-e.closed:
		return false
	}
}

// Read implements tap.Queue.
func (e *end) Read(bufs [][]byte) (int, tap.Offload, error) {
	for {
		select {
		case e.asks <- struct{}{}:
		case <-e.closed:
			return 0, tap.Offload{}, net.ErrClosed
		}
		select {
		case frame := <-e.frames:
			n := 0
			for _, b := range bufs {
				n += copy(b, frame[n:])
			}
			if e.received(n, len(frame)) {
				return n, tap.Offload{}, nil
			}
		case <-e.closed:
			return 0, tap.Offload{}, net.ErrClosed
		}
	}
}

// received counts a frame of which n of size bytes had room.
func (e *end) received(n, size int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n < size {
		e.stats.RxDrops.TooLarge++
		return false
	}
	e.stats.RxFrames++
	e.stats.RxBytes += uint64(n)
	return true
}

// Write implements tap.Queue.
func (e *end) Write(bufs [][]byte, off tap.Offload) error {
	var frame []byte
	for _, b := range bufs {
		frame = append(frame, b...)
	}
	select {
	case <-e.closed:
		return net.ErrClosed
	default:
	}
	err := off.Check(len(frame), e.mtu, tap.Offloads{})
	e.mu.Lock()
	if err != nil {
		e.stats.TxDrops.TooLarge++
	} else {
		e.stats.TxFrames++
		e.stats.TxBytes += uint64(len(frame))
	}
	e.mu.Unlock()
	if err == nil {
		e.out.send(frame)
	}
	return err
}

// Name implements tap.Device.
func (e *end) Name() string { return e.name }

// MTU implements tap.Device.
func (e *end) MTU() int { return e.mtu }

// Queues implements tap.Device.
func (e *end) Queues() []tap.Queue { return []tap.Queue{e} }

// Offloads implements tap.Device: none.
func (*end) Offloads() tap.Offloads { return tap.Offloads{} }

// Stats implements tap.Device. What the path has lost counts as sent.
func (e *end) Stats() tap.Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// Close implements tap.Device.
func (e *end) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}
