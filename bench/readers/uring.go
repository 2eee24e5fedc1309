//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring keeps a number of reads under way in an io_uring, each with a buffer of
// its own. One system call submits all that are to be renewed and waits until
// something is done, so that frames that come together cost one call.
//
// Its file is blocking: of a non-blocking one, io_uring returns EAGAIN too.
type uring struct {
	tap  *tapFile
	wake int // an eventfd, read through the ring like the TAP
	woke [8]byte
	bufs [][]byte
	ring *ring

	underWay int // requests that have not completed
}

// wakeID and cancelID mark what is not a read of bufs[id].
const wakeID, cancelID = 1 << 32, 1<<32 + 1

func newUring(reads int) func(*tapFile) (reader, error) {
	return func(t *tapFile) (reader, error) {
		wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("eventfd", err)
		}
		u := &uring{tap: t, wake: wake, bufs: make([][]byte, reads)}
		for i := range u.bufs {
			u.bufs[i] = make([]byte, bufferLen)
		}
		return u, nil
	}
}

func (u *uring) run(handle func([]byte)) (err error) {
	defer unix.Close(u.wake)
	runtime.LockOSThread() // a request completes on the thread that made it
	defer runtime.UnlockOSThread()
	if u.ring, err = newRing(uint32(len(u.bufs) + 2)); err != nil {
		return err
	}
	defer u.ring.close()

	u.read(u.wake, u.woke[:], wakeID)
	for i, b := range u.bufs {
		u.read(u.tap.fd, b, uint64(i))
	}
	stopping := false
	for u.underWay > 0 {
		if err := u.ring.enter(); err != nil {
			return err
		}
		for c, ok := u.ring.next(); ok; c, ok = u.ring.next() {
			u.underWay--
			switch {
			case c.userData == wakeID:
				// The kernel may write to the buffers until all reads have
				// come back.
				stopping = true
				u.queue(sqe{op: opAsyncCancel, opFlags: cancelAny, fd: -1, userData: cancelID})
			case c.userData == cancelID || stopping:
			case c.res < 0:
				return fmt.Errorf("read through io_uring: %w", syscall.Errno(-c.res))
			default:
				b := u.bufs[c.userData]
				handle(b[:c.res])
				u.read(u.tap.fd, b, c.userData)
			}
		}
	}
	return nil
}

// read queues a read from a file's current position. The collector does not
// move buffers, and u keeps them.
func (u *uring) read(fd int, b []byte, id uint64) {
	u.queue(sqe{
		op: opRead, fd: int32(fd), offset: ^uint64(0), userData: id,
		addr: uint64(uintptr(unsafe.Pointer(&b[0]))), len: uint32(len(b)),
	})
}

func (u *uring) queue(e sqe) {
	u.ring.queue(e)
	u.underWay++
}

func (u *uring) stop() error { return signal(u.wake) }
