package capture

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"tapstack/tap"
)

// Device is a device around another. What is read from it and written to it
// passes the other unchanged; see [tap.Device] for the methods.
//
// The functions below stand in the order in which a frame meets them.
type Device struct {
	inner  tap.Device
	queues []tap.Queue

	running atomic.Pointer[captures] // nil when there are none

	mu     sync.Mutex // held while running is replaced
	closed bool
}

// captures are those that run on one device. A list that was published is
// never changed.
type captures []*Capture

var _ tap.Device = (*Device)(nil)

// Wrap returns a device around dev, with no capture running. It owns dev:
// closing the one closes the other.
func Wrap(dev tap.Device) *Device {
	d := &Device{inner: dev}
	for _, q := range dev.Queues() {
		d.queues = append(d.queues, &queue{dev: d, inner: q})
	}
	return d
}

// queue is one queue of a Device.
type queue struct {
	dev   *Device
	inner tap.Queue
}

// Read implements [tap.Queue].
func (q *queue) Read(bufs [][]byte) (int, tap.Offload, error) {
	n, off, err := q.inner.Read(bufs)
	if cs := q.dev.running.Load(); cs != nil && err == nil {
		cs.offer(bufs, n, off, Inbound)
	}
	return n, off, err
}

// OnIdle implements [tap.Idler].
func (q *queue) OnIdle(f func()) bool {
	idler, ok := q.inner.(tap.Idler)
	return ok && idler.OnIdle(f)
}

// Write implements [tap.Queue]. A frame is recorded before the device has it,
// so that no answer to it stands earlier in the file. Hence a frame that the
// device then drops is in the file too, as Linux has it for its devices.
func (q *queue) Write(bufs [][]byte, off tap.Offload) error {
	if cs := q.dev.running.Load(); cs != nil {
		n := 0
		for _, b := range bufs {
			n += len(b)
		}
		cs.offer(bufs, n, off, Outbound)
	}
	return q.inner.Write(bufs, off)
}

func (cs captures) offer(bufs [][]byte, n int, off tap.Offload, dir Direction) {
	for _, c := range cs {
		c.offer(bufs, n, off, dir)
	}
}

// Start switches on a capture that writes a pcapng file to w; nil is the
// default configuration. The file's head is written before Start returns, and
// everything after it by the capture's goroutine. Between Start and the end of
// the capture w belongs to the capture, which does not close it.
//
// Errors: what Config.Validate has to say, what w has to say, net.ErrClosed
// after Close. With an error there is no capture.
func (d *Device) Start(w io.Writer, cfg *Config) (*Capture, error) {
	c, err := d.start(w, cfg)
	if err != nil {
		return nil, opError(d.Name(), err)
	}
	return c, nil
}

func (d *Device) start(w io.Writer, cfg *Config) (*Capture, error) {
	if w == nil {
		return nil, errors.New("no writer: give one, such as a file")
	}
	if cfg != nil {
		if err := cfg.Validate(); err != nil {
			return nil, err
		}
	}
	c, err := newCapture(d, w, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	if err := d.attach(c); err != nil {
		return nil, err
	}
	go c.run()
	return c, nil
}

func (d *Device) attach(c *Capture) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return net.ErrClosed
	}
	d.setRunning(append(d.list(), c))
	return nil
}

// detach makes frames pass c by. It does nothing for one that is not attached.
func (d *Device) detach(c *Capture) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setRunning(slices.DeleteFunc(d.list(), func(other *Capture) bool { return other == c }))
}

// list is a copy of the captures that run, to be changed.
func (d *Device) list() captures {
	if cs := d.running.Load(); cs != nil {
		return slices.Clone(*cs)
	}
	return nil
}

func (d *Device) setRunning(cs captures) {
	if len(cs) == 0 {
		d.running.Store(nil)
		return
	}
	d.running.Store(&cs)
}

// Close closes the device inside, and ends the captures without waiting for
// their files: that is what Stop, still to be called, does.
func (d *Device) Close() error {
	err := d.inner.Close()
	d.mu.Lock()
	d.closed = true
	running := d.list()
	d.mu.Unlock()
	for _, c := range running {
		c.end()
	}
	return err
}

// Name is the name of the device inside.
func (d *Device) Name() string { return d.inner.Name() }

// MTU is the IP MTU of the device inside, in bytes.
func (d *Device) MTU() int { return d.inner.MTU() }

// Queues are the device's queues, one for each of the device inside; see
// [tap.Device].
func (d *Device) Queues() []tap.Queue { return d.queues }

// Offloads are those of the device inside.
func (d *Device) Offloads() tap.Offloads { return d.inner.Offloads() }

// Stats are those of the device inside. A capture has its own.
func (d *Device) Stats() tap.Stats { return d.inner.Stats() }

// Unwrap is the device inside, for what it can do beyond [tap.Device]. Frames
// read or written there are not captured.
func (d *Device) Unwrap() tap.Device { return d.inner }

// opError wraps err, once, with the device that is captured.
func opError(device string, err error) error {
	return fmt.Errorf("%s: capture: %w", device, err)
}
