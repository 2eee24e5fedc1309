package tap

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// PipeConfig describes a pipe. The zero value is a good one.
type PipeConfig struct {
	// Names of the two ends; "" means "pipe0" and "pipe1".
	Names [2]string

	// MTU is the IP MTU in bytes, the same for both ends; 0 means 1500.
	MTU int

	// Queues is the number of queues of each end; 0 means 1. What is written
	// to queue i of one end is read from queue i of the other.
	Queues int

	// QueueLen is how many frames, of whatever length, wait in one direction
	// of one queue before it is full; 0 means 512.
	QueueLen int

	// Offloads are what both ends take and hand out. A pipe cuts nothing and
	// sums nothing: it hands over what was written. The types of GSO, and
	// ECN, need Csum.
	Offloads Offloads

	// WriteWait is how long a writer waits for a full queue; 0 means 10 ms,
	// less means not at all (in virtual time nobody reads meanwhile).
	WriteWait time.Duration
}

const defaultQueueLen = 512

// Validate reports the first thing in c that no pipe can have, in one line.
func (c *PipeConfig) Validate() error {
	o := c.Offloads
	switch {
	case c.MTU != 0 && (c.MTU < MinMTU || c.MTU > MaxMTU):
		return fmt.Errorf("MTU %d is out of range: choose one from %d to %d", c.MTU, MinMTU, MaxMTU)
	case c.Queues < 0:
		return fmt.Errorf("%d queues: choose at least 1, or 0 for the default", c.Queues)
	case c.QueueLen < 0:
		return fmt.Errorf("queue length %d: choose at least 1, or 0 for the default", c.QueueLen)
	case !o.Csum && o != Offloads{}:
		return fmt.Errorf("offloads %q need csum: add it", o)
	}
	return nil
}

// withDefaults is c, which may be nil, with the defaults filled in.
func (c *PipeConfig) withDefaults() PipeConfig {
	var d PipeConfig
	if c != nil {
		d = *c
	}
	for i, name := range d.Names {
		if name == "" {
			d.Names[i] = fmt.Sprint("pipe", i)
		}
	}
	orDefault := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	orDefault(&d.MTU, defaultMTU)
	orDefault(&d.Queues, 1)
	orDefault(&d.QueueLen, defaultQueueLen)
	if d.WriteWait == 0 {
		d.WriteWait = writeWait
	}
	return d
}

// Pipe returns two devices back to back: what is written to one is read from
// the other. It lives in memory, needs no privileges and starts no goroutine.
// A cfg of nil is the default; one that Validate refuses is a mistake in the
// program, and a panic.
//
// An end behaves as a TAP would. When the other end is closed or deleted it is
// down: Write gives ErrDown, frames already on their way are still read, and
// Read then waits until its own end is closed. Both ends count the same
// frames: what one has written, the other has read, dropped (as Drops.Down
// when it ended with frames unread), or has pending.
//
// Both devices are a [*PipeEnd], which can do a little more.
func Pipe(cfg *PipeConfig) (a, b Device) {
	if cfg != nil {
		if err := cfg.Validate(); err != nil {
			panic("tap: Pipe: " + err.Error())
		}
	}
	c := cfg.withDefaults()
	x, y := newPipeEnd(&c, 0), newPipeEnd(&c, 1)
	for range c.Queues {
		toX, toY := newLane(c.QueueLen, c.MTU, x.ended), newLane(c.QueueLen, c.MTU, y.ended)
		x.addQueue(toX, toY)
		y.addQueue(toY, toX)
	}
	return x, y
}

// PipeEnd is one of the two devices that [Pipe] makes.
type PipeEnd struct {
	name      string
	mtu       int
	offloads  Offloads
	writeWait time.Duration
	queues    []Queue
	own       []*pipeQueue // the same

	state atomic.Uint32 // only ever goes up
	ended chan struct{} // closed when state has left stateLive
}

const (
	stateLive uint32 = iota
	stateGone
	stateClosed
)

func newPipeEnd(c *PipeConfig, i int) *PipeEnd {
	return &PipeEnd{
		name:      c.Names[i],
		mtu:       c.MTU,
		offloads:  c.Offloads,
		writeWait: c.WriteWait,
		ended:     make(chan struct{}),
	}
}

func (e *PipeEnd) addQueue(in, out *lane) {
	q := &pipeQueue{end: e, in: in, out: out}
	e.own = append(e.own, q)
	e.queues = append(e.queues, q)
}

// Name is the end's name from PipeConfig.
func (e *PipeEnd) Name() string { return e.name }

// MTU is the IP MTU in bytes.
func (e *PipeEnd) MTU() int { return e.mtu }

// Queues are the end's queues; see [Device].
func (e *PipeEnd) Queues() []Queue { return e.queues }

// Offloads are those of PipeConfig.
func (e *PipeEnd) Offloads() Offloads { return e.offloads }

// Describe implements what [Describe] asks for.
func (e *PipeEnd) Describe() Description {
	return Description{Driver: "pipe", Offloads: e.offloads, Queues: len(e.queues)}
}

// Stats is a snapshot of the end's counters.
func (e *PipeEnd) Stats() (s Stats) {
	for _, q := range e.own {
		q.counters.addTo(&s)
	}
	return s
}

// Pending is the number of frames that can be read without waiting, over all
// queues. A driver in virtual time reads that many, and then moves the clock.
func (e *PipeEnd) Pending() (frames int) {
	for _, q := range e.own {
		frames += q.in.pending()
	}
	return frames
}

// Close ends this end: its Reads and Writes give net.ErrClosed, also those
// under way, and the other end is down. Frames not yet read are lost.
func (e *PipeEnd) Close() error {
	e.stop(stateClosed)
	return nil
}

// Delete is what "ip link del" does to a TAP: this end's Reads and Writes give
// ErrGone, also those under way, and the other end is down. It is still to be
// closed.
func (e *PipeEnd) Delete() { e.stop(stateGone) }

func (e *PipeEnd) stop(to uint32) {
	for {
		from := e.state.Load()
		if from >= to {
			return
		}
		if !e.state.CompareAndSwap(from, to) {
			continue
		}
		if from == stateLive {
			for _, q := range e.own {
				q.counters.rx.drops[causeDown].Add(uint64(q.in.stop()))
			}
			close(e.ended)
		}
		return
	}
}

// err is why the end can no longer be used, nil while it can.
func (e *PipeEnd) err() error {
	switch e.state.Load() {
	case stateClosed:
		return net.ErrClosed
	case stateGone:
		return ErrGone
	}
	return nil
}

// pipeQueue is one queue of one end.
type pipeQueue struct {
	end      *PipeEnd
	in, out  *lane
	counters counters
}

// Read implements [Queue].
func (q *pipeQueue) Read(bufs [][]byte) (int, Offload, error) {
	room := length(bufs)
	for {
		b := q.in.pop()
		if b == nil {
			return 0, Offload{}, opError(q.end.name, "read", q.end.err())
		}
		n, off := b.n, b.off
		if n <= room {
			scatter(bufs, b.data[:n])
		}
		q.in.recycle(b)
		if n <= room {
			q.counters.rx.pass(n)
			return n, off, nil
		}
		q.counters.rx.drop(causeTooLarge)
	}
}

// Write implements [Queue].
func (q *pipeQueue) Write(bufs [][]byte, off Offload) error {
	if err := q.end.err(); err != nil {
		return opError(q.end.name, "write", err)
	}
	n := length(bufs)
	if bad := off.checkFrame(bufs, n, q.end.mtu, q.end.offloads); bad != nil {
		q.counters.tx.drop(bad.cause)
		return opError(q.end.name, "write", bad)
	}
	if !q.end.offloads.Csum {
		off = Offload{} // a device without an offload header has no place for it
	}
	b, err := q.out.reserve(n, q.end.writeWait, q.end.ended)
	if err == nil {
		gather(b.data[:n], bufs)
		b.off = off
		if q.out.push(b) {
			q.counters.tx.pass(n)
			return nil
		}
		err = ErrDown
	}
	return opError(q.end.name, "write", q.lost(err))
}

// lost counts a frame that was not written for err, and returns what to say:
// when this end has ended, that is the reason and not the frame's loss.
func (q *pipeQueue) lost(err error) error {
	if ended := q.end.err(); ended != nil {
		return ended
	}
	c := causeDown
	if errors.Is(err, ErrFull) {
		c = causeFull
	}
	q.counters.tx.drop(c)
	return err
}
