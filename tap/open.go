package tap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// Open makes a TAP and configures the kernel's end of it as cfg says; nil is
// the default configuration. On Linux it acts in the network namespace of the
// calling thread; a goroutine that has chosen one has locked its thread.
//
// On an error nothing is left behind: neither the interface nor a file. The
// errors to look for with errors.Is:
//
//	fs.ErrNotExist    the system has no TAP driver
//	fs.ErrPermission  the process may not make one
//	fs.ErrExist       there is an interface of that name; it was not touched
//
// Any other is what Config.Validate or the kernel had to say.
//
// On systems other than Linux only the default configuration is accepted, and
// the interface's addresses are up to the caller.
func Open(cfg *Config) (Device, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("tap: %w", err)
	}
	d, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("tap: %w", err)
	}
	return d, nil
}

// device is a TAP. Its queues do the work.
type device struct {
	name     atomic.Pointer[string]
	mtu      atomic.Int64
	mtus     mtuHistory
	maxMTU   int // mtu does not follow the interface beyond it; 0 is no limit
	offloads Offloads
	driver   string // for Describe
	note     string
	from     origin
	leave    func() // before the files are closed: puts the interface back; or nil
	queues   []Queue
	counters []*counters // of each queue
	files    []io.Closer // closing them ends the queues' reads and writes
	monitor  *monitor    // of the kernel's end
	closed   atomic.Bool // set first: the errors of a closed file are not all alike
}

// origin is who made the interface that a device is of.
type origin uint8

const (
	fromUs      origin = iota // it goes when we close it
	fromAdmin                 // it stays, and is left as it was found
	fromSomeone               // the same, and others may have the open file too
)

func newDevice(name string, mtu int, driver, note string) *device {
	d := &device{driver: driver, note: note}
	d.name.Store(&name)
	d.mtu.Store(int64(mtu))
	return d
}

// add gives the device one more queue; closing the device closes file.
func (d *device) add(q Queue, c *counters, file io.Closer) {
	d.queues = append(d.queues, q)
	d.counters = append(d.counters, c)
	d.files = append(d.files, file)
}

func (d *device) Name() string       { return *d.name.Load() }
func (d *device) MTU() int           { return int(d.mtu.Load()) }
func (d *device) Queues() []Queue    { return d.queues }
func (d *device) Offloads() Offloads { return d.offloads }

// Describe implements what [Describe] asks for.
func (d *device) Describe() Description {
	return Description{Driver: d.driver, Note: d.note, Offloads: d.offloads, Queues: len(d.queues)}
}

func (d *device) Stats() (s Stats) {
	for _, c := range d.counters {
		c.addTo(&s)
	}
	return s
}

func (d *device) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	if d.leave != nil {
		d.leave()
	}
	errs := d.closeFiles()
	if d.monitor != nil {
		errs = append(errs, d.monitor.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return opError(d.Name(), "close", err)
	}
	return nil
}

// closeFiles ends the queues' reads and writes.
func (d *device) closeFiles() (errs []error) {
	for _, f := range d.files {
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errs
}
