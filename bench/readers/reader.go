//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// reader drains a TAP in one of the ways to wait.
type reader interface {
	// run hands over each frame, with the header in front, until stop. The
	// slice is good until handle returns.
	run(handle func(frame []byte)) error
	// stop makes run return. It is called once, while run is under way.
	stop() error
}

// way is a way to wait.
type way struct {
	name     string
	nonblock bool // how it wants its file
	open     func(*tapFile) (reader, error)
}

var ways = []way{
	{"blocking", false, newBlocking},
	{"poll", true, newPoll},
	{"netpoll", true, newNetpoll(0)},
	{"spin 20 us", true, newNetpoll(20 * time.Microsecond)},
	{"spin 50 us", true, newNetpoll(50 * time.Microsecond)},
	{"spin 100 us", true, newNetpoll(100 * time.Microsecond)},
	{"spin 200 us", true, newNetpoll(200 * time.Microsecond)},
	{"io_uring, 1 read", false, newUring(1)},
	{"io_uring, 16 reads", false, newUring(16)},
}

// Reader is the reader's process: what the coordinator may order.
type Reader struct {
	tap    *tapFile
	reader reader
	ended  chan error // what run returned

	frames, bytes atomic.Int64
}

// OpenArgs says how to wait and which subnet is ours.
type OpenArgs struct {
	Way    string
	Subnet int
}

// Open makes a TAP and starts to read it.
func (r *Reader) Open(args OpenArgs, _ *none) error {
	for _, w := range ways {
		if w.name != args.Way {
			continue
		}
		tap, err := openTAP(args.Subnet, w.nonblock)
		if err != nil {
			return err
		}
		if r.reader, err = w.open(tap); err != nil {
			return errors.Join(err, tap.Close())
		}
		r.tap, r.ended = tap, make(chan error, 1)
		go func() { r.ended <- r.reader.run(r.handle) }()
		return nil
	}
	return fmt.Errorf("no way %q", args.Way)
}

// Sample is how far the reader has come.
type Sample struct {
	At            time.Time
	Frames, Bytes int64
	CPU           time.Duration // of the process
}

// Sample takes one. A reader that has ended by itself has failed.
func (r *Reader) Sample(_ none, s *Sample) error {
	select {
	case err := <-r.ended:
		return fmt.Errorf("the reader has ended: %w", err)
	default:
	}
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // cannot fail with these arguments
	*s = Sample{
		At:     time.Now(),
		Frames: r.frames.Load(),
		Bytes:  r.bytes.Load(),
		CPU:    time.Duration(u.Utime.Nano() + u.Stime.Nano()),
	}
	return nil
}

// Stop ends the reader and says how long that took.
func (r *Reader) Stop(_ none, took *time.Duration) error {
	asked := time.Now()
	if err := r.reader.stop(); err != nil {
		return err
	}
	select {
	case err := <-r.ended:
		*took = time.Since(asked)
		return errors.Join(err, r.tap.Close())
	case <-time.After(10 * time.Second):
		return errors.New("the reader does not stop")
	}
}

// handle counts a frame, and sends it back if it is a ping.
func (r *Reader) handle(b []byte) {
	if len(b) < headerLen {
		return // cannot be: the kernel puts one in front
	}
	frame := b[headerLen:]
	r.frames.Add(1)
	r.bytes.Add(int64(len(frame)))
	if isPing(frame) {
		reverse(frame)
		// The header still fits: it may leave the checksum to the kernel, and
		// a sum does not mind which address comes first. A ping that finds no
		// room is lost, and its peer will say so.
		_, _ = unix.Write(r.tap.fd, b)
	}
}

// isPing reports whether the frame is IPv4, UDP and to the echo port. The
// kernel of our own namespace sends neither options nor fragments to it.
func isPing(f []byte) bool {
	const ipv4, udp = 0x0800, 17
	return len(f) >= 42 && binary.BigEndian.Uint16(f[12:]) == ipv4 && f[23] == udp &&
		binary.BigEndian.Uint16(f[36:]) == echoPort
}

// reverse makes of a UDP datagram its answer: MAC addresses, IPv4 addresses
// and ports change sides.
func reverse(f []byte) {
	swap(f[0:6], f[6:12])
	swap(f[26:30], f[30:34])
	swap(f[34:36], f[36:38])
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}
