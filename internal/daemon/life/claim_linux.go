package life

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Take claims the lock file at path, which it makes if need be; its directory
// has to be there. A *RunningError if another process has it.
//
// If the one before was killed, Take waits until the kernel has closed all of
// that process's files: its lock may be free before its TAP is, which could not
// be adopted yet (EBUSY). ctx bounds the wait.
func Take(ctx context.Context, path string) (_ *Claim, err error) {
	f, err := lock(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	before, err := readOwner(f)
	if err != nil {
		return nil, err
	}
	if err := before.waitGone(ctx); err != nil {
		return nil, fmt.Errorf("%s: process %d does not end: %w", path, before.pid, err)
	}
	self, err := began(os.Getpid())
	if err != nil {
		return nil, err
	}
	if err := writeOwner(f, owner{os.Getpid(), self}.String()); err != nil {
		return nil, err
	}
	return &Claim{file: f, Left: before.pid != 0, PID: before.pid}, nil
}

// Release says that nothing is left behind, and lets the next one in. The
// second call does nothing.
func (c *Claim) Release() error {
	if err := writeOwner(c.file, ""); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		return err
	}
	return c.file.Close()
}

// lock opens and locks the file that is at path: not one that somebody has
// removed meanwhile, whose lock would exclude nobody.
func lock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			defer f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				o, _ := readOwner(f)
				return nil, &RunningError{Path: path, PID: o.pid}
			}
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		locked, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if now, err := os.Lstat(path); err == nil && os.SameFile(locked, now) {
			return f, nil
		}
		f.Close()
	}
}

// flock without f.Fd(), which would make the file blocking.
func flock(f *os.File) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := rc.Control(func(fd uintptr) { errno = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	return os.NewSyscallError("flock", errno)
}

func readOwner(f *os.File) (owner, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 64))
	return parseOwner(string(b)), err
}

func writeOwner(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// began is when a process did; an error if there is none.
func began(pid int) (uint64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The second field is a name that may contain anything, in parentheses.
	text := string(b)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: not all there", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// waitGone waits until the process is no more: not even on its way out.
func (o owner) waitGone(ctx context.Context) error {
	if o.pid == 0 || o.pid == os.Getpid() {
		return nil
	}
	fd, err := unix.PidfdOpen(o.pid, 0)
	if err != nil {
		return nil // ESRCH: gone. ENOSYS, EPERM: it can not be waited for
	}
	defer unix.Close(fd)
	// Having the pidfd, the number can not pass on to another any more.
	if at, err := began(o.pid); err != nil || at != o.began {
		return nil
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		// In short turns, because ctx can not wake it.
		n, err := unix.Poll(p, int(100*time.Millisecond/time.Millisecond))
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return nil
		}
	}
	return context.Cause(ctx)
}
