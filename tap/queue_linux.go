package tap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fileQueue reads and writes frames on a TAP's file, one system call a frame,
// straight from and to the caller's slices:
//
//	Read:  RawConn.Read -> tryRead -> readv, spin, and again when the poller says so
//	Write: RawConn.Control -> tryWrite -> writev, and poll for a bounded time
//
// With vnet every frame has a virtio-net header in front, in an iovec of its
// own. The RawConn, unlike the file's number, is safe against Close: it wakes
// who waits, and the number is not reused while a call is under way. What a
// call needs lives in a transfer, so that nothing is allocated per frame.
//
// Writes of several goroutines run side by side: the kernel takes each frame
// whole, and runs its receive path on the writer's thread.
type fileQueue struct {
	dev      *device
	file     *os.File
	conn     syscall.RawConn
	vnet     bool
	shared   *sharedFile // nil for a file that nobody else has
	counters counters

	rdMu  sync.Mutex // one reader at a time
	idle  func()     // see Idler; nil if nobody asked
	rd    transfer
	spin  spinner
	spill [1]byte // takes the first byte beyond the reader's slices: the kernel cuts silently

	wrMu sync.Mutex  // guards free, not the writes
	free []*transfer // as many as there ever were writers at once
}

// transfer is a readv or writev under way.
type transfer struct {
	do    func(fd uintptr) (done bool) // tryRead; nil for a write
	ctl   func(fd uintptr)             // the write, bound once
	hdr   [vnetHdrLen]byte
	file  *sharedFile // the queue's
	iov   []unix.Iovec
	n     int
	errno syscall.Errno
}

// maxIovecs is how many pieces one system call takes (UIO_MAXIOV).
const maxIovecs = 1024

func newFileQueue(dev *device, file *os.File, vnet bool, spin time.Duration) (*fileQueue, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	q := &fileQueue{dev: dev, file: file, conn: conn, vnet: vnet, spin: spinner{limit: spin}}
	if dev.from == fromSomeone {
		q.shared = new(sharedFile)
	}
	q.rd.do, q.rd.file = q.tryRead, q.shared
	return q, nil
}

// getWrite takes a transfer for a write. (A sync.Pool would forget them at
// every garbage collection.)
func (q *fileQueue) getWrite() *transfer {
	q.wrMu.Lock()
	defer q.wrMu.Unlock()
	if n := len(q.free); n > 0 {
		t := q.free[n-1]
		q.free = q.free[:n-1]
		return t
	}
	t := &transfer{file: q.shared}
	t.ctl = t.write
	return t
}

func (q *fileQueue) putWrite(t *transfer) {
	t.unload()
	q.wrMu.Lock()
	q.free = append(q.free, t)
	q.wrMu.Unlock()
}

// Read implements [Queue].
func (q *fileQueue) Read(bufs [][]byte) (int, Offload, error) {
	if len(bufs) > maxIovecs-2 {
		// More than one call takes, and so rare that it may cost.
		flat := make([]byte, min(length(bufs), MaxFrame))
		n, off, err := q.Read([][]byte{flat})
		scatter(bufs, flat[:n])
		return n, off, err
	}
	q.rdMu.Lock()
	defer q.rdMu.Unlock()
	room := length(bufs)
	q.rd.load(bufs, q.vnet)
	q.rd.add(q.spill[:])
	defer q.rd.unload()
	for {
		if err := q.conn.Read(q.rd.do); err != nil {
			return 0, Offload{}, q.fail("read", err)
		}
		if q.rd.errno != 0 {
			return 0, Offload{}, q.fail("read", q.rd.errno)
		}
		off, n, bad := q.received(bufs, room)
		if bad == nil {
			q.counters.rx.pass(n)
			return n, off, nil
		}
		q.counters.rx.drop(bad.cause)
	}
}

// received checks what has been read: a frame, and with vnet its header. The
// kernel is believed no more than a peer would be.
func (q *fileQueue) received(bufs [][]byte, room int) (off Offload, n int, bad *frameError) {
	n = q.rd.n
	if q.vnet {
		if n < vnetHdrLen {
			return off, 0, badFrame(causeTooShort, "no whole offload header")
		}
		n -= vnetHdrLen
		if off, bad = decodeVnet(q.rd.hdr[:]); bad != nil {
			return off, n, bad
		}
	}
	if n > room {
		return off, n, badFrame(causeTooLarge, "more than the reader's %d bytes", room)
	}
	bad = off.checkFrame(bufs, n, q.dev.MTU(), q.dev.offloads)
	if bad != nil && bad.cause == causeTooLarge {
		bad = off.checkFrame(bufs, n, q.dev.inboundMTU(), q.dev.offloads)
	}
	return off, n, bad
}

// tryRead reads if there is something to read, and otherwise spins for a
// while before it lets the poller wait.
func (q *fileQueue) tryRead(fd uintptr) bool {
	for yielded := false; ; yielded = true {
		q.rd.call(unix.SYS_READV, fd)
		if q.rd.errno != unix.EAGAIN {
			q.spin.got()
			return true
		}
		if q.dev.closed.Load() {
			return false
		}
		if q.idle != nil {
			if !yielded {
				// Whoever got the last frame may answer it first.
				runtime.Gosched()
				continue
			}
			q.idle()
		}
		if !q.spin.again() {
			return false
		}
		// On one CPU, what we wait for is done by those who run now.
		runtime.Gosched()
	}
}

// OnIdle implements [Idler].
func (q *fileQueue) OnIdle(f func()) bool {
	q.idle = f
	return true
}

// Write implements [Queue].
func (q *fileQueue) Write(bufs [][]byte, off Offload) error {
	n := length(bufs)
	if bad := off.checkFrame(bufs, n, q.dev.MTU(), q.dev.offloads); bad != nil {
		q.counters.tx.drop(bad.cause)
		return opError(q.dev.Name(), "write", bad)
	}
	if len(bufs) > maxIovecs-1 {
		flat := make([]byte, n)
		gather(flat, bufs)
		bufs = [][]byte{flat}
	}
	t := q.getWrite()
	t.load(bufs, q.vnet)
	if q.vnet {
		encodeVnet(t.hdr[:], off)
	}
	err := q.conn.Control(t.ctl)
	if err == nil && t.errno != 0 {
		err = t.errno
	}
	q.putWrite(t)
	if err != nil {
		return q.fail("write", err)
	}
	q.counters.tx.pass(n)
	return nil
}

// write writes, and waits for a full device for as long as a writer may.
func (t *transfer) write(fd uintptr) {
	t.call(unix.SYS_WRITEV, fd)
	if t.errno != unix.EAGAIN {
		return
	}
	for until := time.Now().Add(writeWait); t.errno == unix.EAGAIN; t.call(unix.SYS_WRITEV, fd) {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		// Waiting in the kernel, not in the poller, which serves one writer
		// at a time. It is short, bounded and rare.
		p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		_, _ = unix.Poll(p[:], int((left+time.Millisecond-1)/time.Millisecond))
	}
}

// fail maps what went wrong to the errors that Queue promises, and counts the
// frame unless the queue itself is at its end.
func (q *fileQueue) fail(op string, err error) error {
	if q.dev.closed.Load() {
		return opError(q.dev.Name(), op, net.ErrClosed)
	}
	dir := &q.counters.tx
	if op == "read" {
		dir = &q.counters.rx
	}
	var kind error
	switch errno := asErrno(err); errno {
	case unix.EBADFD, unix.ENODEV, unix.ENXIO:
		return opError(q.dev.Name(), op, fmt.Errorf("%w: %w", ErrGone, err))
	case unix.EAGAIN:
		kind = ErrFull
		dir.drop(causeFull)
	case unix.EIO:
		kind = ErrDown
		dir.drop(causeDown)
	case unix.EINVAL, unix.EMSGSIZE:
		kind = ErrFrame
		dir.drop(causeError)
	case 0:
		// Not the kernel's: the poller's, and the only thing it finds wrong
		// with a file that we have not closed is that the interface behind it
		// was deleted.
		return opError(q.dev.Name(), op, fmt.Errorf("%w: %w", ErrGone, err))
	default:
		dir.drop(causeError)
		return opError(q.dev.Name(), op, err)
	}
	return opError(q.dev.Name(), op, fmt.Errorf("%w: %w", kind, err))
}

func asErrno(err error) (errno syscall.Errno) {
	errors.As(err, &errno)
	return errno
}

// load points the iovecs at the header, if any, and at bufs; unload forgets
// them, so that the caller's memory is not kept from the garbage collector.
func (t *transfer) load(bufs [][]byte, vnet bool) {
	if vnet {
		t.add(t.hdr[:])
	}
	for _, b := range bufs {
		t.add(b)
	}
}

func (t *transfer) add(b []byte) {
	if len(b) == 0 {
		return
	}
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	t.iov = append(t.iov, v)
}

func (t *transfer) unload() {
	clear(t.iov)
	t.iov = t.iov[:0]
}

// call is readv or writev. unix.Readv and Writev would allocate for more than
// eight pieces.
func (t *transfer) call(trap, fd uintptr) {
	for {
		if t.file != nil {
			t.n, t.errno = t.file.call(trap, fd, t.iov)
		} else {
			n, _, errno := unix.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&t.iov[0])), uintptr(len(t.iov)))
			t.n, t.errno = int(n), errno
		}
		if t.errno != unix.EINTR {
			return
		}
	}
}
