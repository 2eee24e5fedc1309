package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketConfig says where the control socket is, and whose.
type SocketConfig struct {
	Path string
	Mode fs.FileMode // permissions
	GID  int         // its group; -1 leaves it the process's
}

// maxPath is what fits sockaddr_un (unix(7)), with room for the name that the
// socket has while it is made.
const maxPath = 108 - 1 - len(newSuffix)

const newSuffix = ".new"

// Listener is a control socket that is listened on. Close it.
type Listener struct {
	*net.UnixListener
	path string
	lock *os.File // held while we own the path
	id   os.FileInfo
	once sync.Once
}

// Listen makes the control socket, with its owner and mode from the first
// moment on. What a daemon that was killed has left at the path is replaced.
//
// Errors: one line. EADDRINUSE if another process listens there; EEXIST if the
// path is no socket's.
func Listen(cfg *SocketConfig) (_ *Listener, err error) {
	if len(cfg.Path) > maxPath {
		return nil, fmt.Errorf("control socket %s: the path is longer than %d bytes", cfg.Path, maxPath)
	}
	// Only the last part: a missing /run is no mistake to cover up.
	if err := os.Mkdir(filepath.Dir(cfg.Path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	lock, err := lockPath(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", cfg.Path, err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := checkStale(cfg.Path); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", cfg.Path, err)
	}
	l, err := bind(cfg)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	id, err := os.Lstat(cfg.Path)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Listener{UnixListener: l, path: cfg.Path, lock: lock, id: id}, nil
}

// checkStale reports why path cannot be replaced: it is something else, or
// somebody answers there.
func checkStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w, and is no socket: choose another path, or remove it", syscall.EEXIST)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return errInUse
}

var errInUse = fmt.Errorf("another process listens there (is the daemon running already?): %w", syscall.EADDRINUSE)

// bind makes the socket beside its path, gives it to its owner, and only then
// moves it there: nobody finds it with another's permissions.
func bind(cfg *SocketConfig) (_ *net.UnixListener, err error) {
	fresh := cfg.Path + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer func() {
		if err != nil {
			l.Close()
			os.Remove(fresh)
		}
	}()
	if cfg.GID >= 0 {
		if err := os.Lchown(fresh, -1, cfg.GID); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(fresh, cfg.Mode); err != nil {
		return nil, err
	}
	return l, os.Rename(fresh, cfg.Path)
}

// Close ends listening and removes the socket, if it is still ours and the
// process is still allowed to. It may be called twice.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		err = l.UnixListener.Close()
		if now, e := os.Lstat(l.path); e == nil && os.SameFile(now, l.id) {
			_ = os.Remove(l.path) // what is left is stale, and replaced by the next
		}
		l.lock.Close()
	})
	return err
}
