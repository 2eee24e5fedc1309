//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// blocking reads with read(2) and leaves the wait to the kernel. The thread
// sleeps with the call; the Go runtime takes its P away after a while, and on
// return the goroutine has to get one back.
type blocking struct {
	tap     *tapFile
	stopped atomic.Bool
}

func newBlocking(t *tapFile) (reader, error) { return &blocking{tap: t}, nil }

func (r *blocking) run(handle func([]byte)) error {
	buf := make([]byte, bufferLen)
	for !r.stopped.Load() {
		n, err := unix.Read(r.tap.fd, buf)
		switch {
		case err == nil:
			handle(buf[:n])
		case err != unix.EINTR && !r.stopped.Load():
			return os.NewSyscallError("read", err)
		}
	}
	return nil
}

// stop deletes the interface: closing the file does not wake a read(2) that
// sleeps on it, and taking the interface down does not either.
func (r *blocking) stop() error {
	r.stopped.Store(true)
	return netlink.LinkDel(r.tap.link)
}

// poll reads until there is nothing, and waits with ppoll(2) for the TAP or for
// an eventfd that says to stop.
type poll struct {
	tap     *tapFile
	wake    int // open for as long as the process: stop may still be writing to it when run is done
	stopped atomic.Bool
}

func newPoll(t *tapFile) (reader, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return &poll{tap: t, wake: wake}, os.NewSyscallError("eventfd", err)
}

func (r *poll) run(handle func([]byte)) error {
	buf := make([]byte, bufferLen)
	fds := []unix.PollFd{
		{Fd: int32(r.tap.fd), Events: unix.POLLIN},
		{Fd: int32(r.wake), Events: unix.POLLIN},
	}
	for !r.stopped.Load() {
		n, err := unix.Read(r.tap.fd, buf)
		switch err {
		case nil:
			handle(buf[:n])
		case unix.EINTR:
		case unix.EAGAIN:
			if _, err := unix.Ppoll(fds, nil, nil); err != nil && err != unix.EINTR {
				return os.NewSyscallError("ppoll", err)
			}
		default:
			return os.NewSyscallError("read", err)
		}
	}
	return nil
}

func (r *poll) stop() error {
	r.stopped.Store(true)
	return signal(r.wake)
}

// signal adds one to an eventfd.
func signal(fd int) error {
	_, err := unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1))
	return os.NewSyscallError("write to the eventfd", err)
}

// netpoll reads until there is nothing, and has Go's runtime wait: the
// goroutine parks, and a thread with nothing else to do sleeps in epoll_wait.
// With a spin it looks again for a while before that, as tapstack's queues do.
type netpoll struct {
	tap  *tapFile
	conn syscall.RawConn
	spin spinner
	buf  []byte
	n    int
	err  error
}

func newNetpoll(spin time.Duration) func(*tapFile) (reader, error) {
	return func(t *tapFile) (reader, error) {
		conn, err := t.SyscallConn()
		return &netpoll{tap: t, conn: conn, spin: spinner{limit: spin}, buf: make([]byte, bufferLen)}, err
	}
}

func (r *netpoll) run(handle func([]byte)) error {
	try := r.try // bound once: no allocation per frame
	for {
		err := r.conn.Read(try)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case r.err != nil:
			return os.NewSyscallError("read", r.err)
		}
		handle(r.buf[:r.n])
	}
}

// try reads if there is something; false has the runtime wait and call again.
func (r *netpoll) try(fd uintptr) bool {
	for {
		n, err := unix.Read(int(fd), r.buf)
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			if !r.spin.again() {
				return false
			}
			runtime.Gosched() // others may be what we wait for
		default:
			r.spin.got()
			r.n, r.err = n, err
			return true
		}
	}
}

// stop lets the wait end as a closed file would, but keeps the file open for a
// ping that is under way.
func (r *netpoll) stop() error { return r.tap.SetReadDeadline(time.Unix(1, 0)) }

// spinner is the one of tap/spin.go: look again for up to limit, but only if
// the last wait was over soon.
type spinner struct {
	limit   time.Duration
	waiting bool
	since   time.Time
	futile  bool
}

func (s *spinner) again() bool {
	if s.limit <= 0 {
		return false
	}
	now := time.Now()
	if !s.waiting {
		s.waiting, s.since = true, now
		return !s.futile
	}
	return !s.futile && now.Sub(s.since) < s.limit
}

func (s *spinner) got() {
	if s.waiting {
		s.waiting = false
		s.futile = time.Since(s.since) > 2*s.limit
	}
}
