//go:build linux

package main

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is as much of io_uring as the reader needs: requests go into one ring of
// shared memory, completions come out of another (io_uring(7)). It belongs to
// the one thread that made it.
type ring struct {
	fd        int
	rings     []byte // both, mapped
	sqeMemory []byte

	sqTail  *atomic.Uint32 // ours to write
	sqMask  uint32
	sqes    []sqe
	pending uint32 // queued, but not yet submitted

	cqHead *atomic.Uint32 // ours to write
	cqTail *atomic.Uint32 // the kernel's
	cqMask uint32
	cqes   []cqe
}

// sqe is struct io_uring_sqe, a request.
type sqe struct {
	op       uint8
	_        uint8
	_        uint16
	fd       int32
	offset   uint64
	addr     uint64
	len      uint32
	opFlags  uint32
	userData uint64
	_        [24]byte
}

// cqe is struct io_uring_cqe, a completion.
type cqe struct {
	userData uint64
	res      int32 // what the system call would return: a count, or -errno
	flags    uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags uint32
	_                           [7]uint32
	sq                          struct {
		head, tail, mask, entries, flags, dropped, array uint32
		_                                                [3]uint32
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags uint32
		_                                                [3]uint32
	}
}

// Constants of linux/io_uring.h that x/sys does not have.
const (
	opAsyncCancel = 14
	opRead        = 22

	cancelAny = 1 << 2

	enterGetEvents = 1

	// One thread submits and reaps, and the kernel finishes requests only when
	// that thread waits: no interrupting signals. Linux 6.1.
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13

	mapRings = 0
	mapSQEs  = 0x10000000
)

func newRing(entries uint32) (_ *ring, err error) {
	p := ringParams{flags: setupSingleIssuer | setupDeferTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &ring{fd: int(fd)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	if r.rings, err = r.mmap(mapRings, int(size)); err != nil {
		return nil, err
	}
	if r.sqeMemory, err = r.mmap(mapSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{}))); err != nil {
		return nil, err
	}
	at := func(offset uint32) unsafe.Pointer { return unsafe.Pointer(&r.rings[offset]) }
	r.sqTail, r.sqMask = (*atomic.Uint32)(at(p.sq.tail)), p.sqEntries-1
	r.cqHead, r.cqTail, r.cqMask = (*atomic.Uint32)(at(p.cq.head)), (*atomic.Uint32)(at(p.cq.tail)), p.cqEntries-1
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.sqeMemory[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(at(p.cq.cqes)), p.cqEntries)
	// The ring of requests holds indices into sqes, for those who fill these
	// in another order. We do not.
	for i, array := uint32(0), unsafe.Slice((*uint32)(at(p.sq.array)), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i
	}
	return r, nil
}

func (r *ring) mmap(offset int64, size int) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return b, os.NewSyscallError("mmap", err)
}

// queue adds a request. There may be no more at a time than the ring has
// entries. What it points to has to stay where it is until it is done.
func (r *ring) queue(e sqe) {
	tail := r.sqTail.Load()
	r.sqes[tail&r.sqMask] = e
	r.sqTail.Store(tail + 1)
	r.pending++
}

// enter submits what is queued and waits until something is done.
func (r *ring) enter() error {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.pending), 1, enterGetEvents, 0, 0)
		switch errno {
		case 0:
			r.pending -= uint32(n)
			return nil
		case unix.EINTR: // nothing was submitted, or it would have said how much
		default:
			return os.NewSyscallError("io_uring_enter", errno)
		}
	}
}

// next takes a completion, if there is one.
func (r *ring) next() (c cqe, ok bool) {
	head := r.cqHead.Load()
	if head == r.cqTail.Load() {
		return c, false
	}
	c = r.cqes[head&r.cqMask]
	r.cqHead.Store(head + 1)
	return c, true
}

func (r *ring) close() {
	for _, m := range [][]byte{r.rings, r.sqeMemory} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(r.fd)
}
