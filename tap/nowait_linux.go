package tap

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sharedFile makes the system calls on a file that somebody else has too.
// O_NONBLOCK belongs to the open file description, so whoever passed the file
// on may clear it, and a raw system call that then blocks takes a part of the
// Go runtime along: at the next garbage collection the whole program stands
// still. So every call says for itself that it is not to wait (RWF_NOWAIT).
//
// A kernel whose TUN driver does not know that (before Linux 6.4) gets calls
// that the Go runtime knows may block. There O_NONBLOCK must stay as it is: a
// blocking read on such a file is not ended by Close.
type sharedFile struct {
	mayBlock atomic.Bool // the kernel has refused RWF_NOWAIT
}

// call is trap, readv or writev, with the iovecs given.
func (s *sharedFile) call(trap, fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	if !s.mayBlock.Load() {
		v2 := uintptr(unix.SYS_PREADV2)
		if trap == unix.SYS_WRITEV {
			v2 = unix.SYS_PWRITEV2
		}
		const here = ^uintptr(0) // an offset of -1: the file has no positions
		done, _, errno := unix.RawSyscall6(v2, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), here, here, unix.RWF_NOWAIT)
		if errno != unix.EOPNOTSUPP && errno != unix.ENOSYS {
			return int(done), errno
		}
		s.mayBlock.Store(true)
	}
	done, _, errno := unix.Syscall(trap, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return int(done), errno
}
