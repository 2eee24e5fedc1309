package capture

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"tapstack/tap"
)

// Capture is a capture that runs, or ran, on a device. Its methods are safe
// for concurrent use.
//
// The functions below stand in the order in which a frame meets them.
type Capture struct {
	dev    *Device
	cfg    Config
	keep   int // bytes of a frame
	ring   *ring
	file   *file
	filter func([]byte) bool
	start  time.Time

	frames, filtered, bytes atomic.Uint64 // only the goroutine writes them

	stop    sync.Once
	stopped chan struct{} // closed when the capture is to end
	done    chan struct{} // closed when it has ended; then final and err are set
	final   Stats
	err     error
}

// Stats counts what a capture did. Received = Frames + Filtered + Dropped.
type Stats struct {
	// Frames and Bytes are what is in the file; Bytes is its length. When
	// writing failed, the last of the frames did not get there.
	Frames, Bytes uint64
	// Received are the frames that passed the device in the direction asked
	// for, as far as the capture got.
	Received uint64
	// Filtered are those that Config.Filter did not want.
	Filtered uint64
	// Dropped are those that found the buffer full. The first record after
	// them says how many they were (epb_dropcount).
	Dropped uint64
	// Start and End are the capture's, on its clock. End is zero while the
	// capture runs.
	Start, End time.Time
}

// errLimit ends a capture that has reached MaxBytes or MaxFrames.
var errLimit = errors.New("limit reached")

// newCapture makes a capture that is yet to be attached and run.
func newCapture(dev *Device, w io.Writer, cfg Config) (*Capture, error) {
	f, err := newFile(w, dev.Name(), cfg.SnapLen, cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	c := &Capture{
		dev:     dev,
		cfg:     cfg,
		keep:    cfg.recordLen(),
		ring:    newRing(cfg.BufferSize),
		file:    f,
		filter:  cfg.Filter,
		start:   cfg.Now(),
		stopped: make(chan struct{}),
		done:    make(chan struct{}),
	}
	c.bytes.Store(uint64(f.len()))
	return c, nil
}

// offer records a frame, the first n bytes of bufs. It is the data path's
// part: it never waits, allocates nothing, and keeps no reference.
func (c *Capture) offer(bufs [][]byte, n int, off tap.Offload, dir Direction) {
	if c.cfg.Direction != AnyDirection && c.cfg.Direction != dir {
		return
	}
	rec, data := c.ring.reserve(min(n, c.keep))
	if rec == nil {
		return
	}
	rec.dir, rec.off, rec.length, rec.nanos = dir, off, n, c.cfg.Now().UnixNano()
	for _, b := range bufs {
		data = data[copy(data, b):]
	}
	c.ring.commit(rec)
}

// run is the capture's goroutine.
func (c *Capture) run() {
	defer close(c.done)
	err := c.record()
	c.dev.detach(c)
	c.ring.close() // frees those who still think that it runs from copying
	if errors.Is(err, errLimit) {
		err = nil
	}
	c.final = c.Stats()
	c.final.End = c.cfg.Now()
	if err == nil {
		err = c.file.finish(&c.final)
	}
	c.final.Bytes = uint64(c.file.len())
	if err != nil {
		c.final.Bytes = uint64(c.file.w.n)
		c.err = opError(c.dev.Name(), err)
	}
}

// record writes records to the file until the capture is to end and the ring
// is empty, or a limit is reached, or writing fails.
func (c *Capture) record() error {
	stopped, end := c.stopped, uint64(ringClosed)
	for {
		if err := c.drain(); err != nil {
			return err
		}
		if c.ring.head.Load() == end {
			return nil
		}
		// Nothing to do: let who watches the file see what there is.
		if err := c.file.flush(); err != nil {
			return err
		}
		select {
		case <-c.ring.wake:
		case <-stopped:
			c.dev.detach(c)
			end = c.ring.close()
			stopped = nil
		}
	}
}

// drain writes the records that are in the ring.
func (c *Capture) drain() error {
	for {
		rec, data := c.ring.next()
		if rec == nil {
			return nil
		}
		if err := c.write(rec, data); err != nil {
			return err
		}
		c.ring.release(rec)
	}
}

func (c *Capture) write(rec *record, data []byte) error {
	if c.filter != nil && !c.filter(data) {
		c.filtered.Add(1)
		return nil
	}
	if err := c.file.write(rec, data); err != nil {
		return err
	}
	c.bytes.Store(uint64(c.file.len()))
	if c.frames.Add(1) == c.cfg.MaxFrames {
		return errLimit
	}
	return nil
}

// end makes the capture end, and does not wait for it.
func (c *Capture) end() { c.stop.Do(func() { close(c.stopped) }) }

// Stop ends the capture. Frames that passed the device before Stop was called
// are in the file, followed by the interface's statistics, when it returns. It
// waits for the writer that Start was given; closing that is the way out when
// it does not move. Any number of calls may be made, also after the capture
// ended by itself; all return the same.
//
// The error is the writer's, and ended the capture when it occurred: the
// device went on. To have reached a limit is no error.
func (c *Capture) Stop() (Stats, error) {
	c.end()
	<-c.done
	return c.final, c.err
}

// Done is closed when the capture has ended: by Stop, at a limit, by an error
// of its writer, or because its device was closed. Stop says how it went.
func (c *Capture) Done() <-chan struct{} { return c.done }

// Stats is a snapshot of the capture's counters. Each is exact, two of them
// need not be of the same instant.
func (c *Capture) Stats() Stats {
	select {
	case <-c.done:
		return c.final
	default:
	}
	s := Stats{
		Frames:   c.frames.Load(),
		Bytes:    c.bytes.Load(),
		Filtered: c.filtered.Load(),
		Dropped:  c.ring.dropped.Load(),
		Start:    c.start,
	}
	s.Received = s.Frames + s.Filtered + s.Dropped
	return s
}
