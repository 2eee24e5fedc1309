package life

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// SocketConfig is who may connect to a Unix socket.
type SocketConfig struct {
	// Mode is the file's, 0 for 0600.
	Mode fs.FileMode
	// UID and GID are its owner's, nil for our own.
	UID, GID *int
}

// Listen listens at path; with "@" that is an abstract name, which has neither
// mode nor owner: check every peer's credentials then. claim is proof that a
// socket found at path is nobody's of ours; one that still answers is not
// removed, nor is anything that is not a socket.
//
// The socket appears at path complete, with its mode and owner: it is made
// beside it and renamed. Closing the listener removes it, if this process still
// may.
func Listen(claim *Claim, path string, cfg SocketConfig) (*Listener, error) {
	if claim == nil {
		return nil, errors.New("listening without a claim")
	}
	if len(path) > maxPath {
		return nil, fmt.Errorf("%s: the path is longer than %d bytes: choose a shorter one", path, maxPath)
	}
	if strings.HasPrefix(path, "@") {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return nil, err
		}
		return &Listener{UnixListener: l}, nil
	}
	if err := clearWay(path); err != nil {
		return nil, err
	}
	beside := path + newSuffix
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: beside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := dress(beside, path, cfg); err != nil {
		l.Close()
		_ = os.Remove(beside)
		return nil, err
	}
	return &Listener{UnixListener: l, path: path}, nil
}

// maxPath is what fits sockaddr_un (unix(7)), with room for the name that the
// socket has while it is made.
const maxPath = 108 - 1 - len(newSuffix)

const newSuffix = ".new"

// clearWay removes what a killed predecessor has left.
func clearWay(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is not a socket: remove it, or choose another path", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s: another program listens there: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is there and can not be asked whether it is in use: %w", path, err)
	}
	return os.Remove(path)
}

// dress gives the socket its mode and owner, then its name.
func dress(beside, path string, cfg SocketConfig) error {
	mode := cfg.Mode
	if mode == 0 {
		mode = 0o600
	}
	if err := os.Chmod(beside, mode); err != nil {
		return err
	}
	if cfg.UID != nil || cfg.GID != nil {
		if err := os.Chown(beside, orKeep(cfg.UID), orKeep(cfg.GID)); err != nil {
			if err = withoutGroup(err, mode, cfg); err != nil {
				return err
			}
		}
	}
	return os.Rename(beside, path)
}

// withoutGroup is what a chown that failed means: nothing, where everybody may
// connect and the group is of use to who checks peers alone.
func withoutGroup(err error, mode fs.FileMode, cfg SocketConfig) error {
	const othersWrite = 0o002
	switch {
	case cfg.UID != nil || !errors.Is(err, syscall.EPERM):
		return err
	case mode&othersWrite != 0:
		return nil
	}
	return fmt.Errorf("%w: only root and members may give it to group %d: start as a member (systemd: SupplementaryGroups=), or let everybody connect with mode 0666, and peers be checked", err, *cfg.GID)
}

// orKeep is chown(2)'s way to leave one alone.
func orKeep(id *int) int {
	if id == nil {
		return -1
	}
	return *id
}

// Listener is a Unix socket that is listened on. It knows the name that the
// socket has now.
type Listener struct {
	*net.UnixListener
	path string // "" for an abstract name
	once sync.Once
}

// Addr is where it can be reached.
func (l *Listener) Addr() net.Addr {
	if l.path == "" {
		return l.UnixListener.Addr()
	}
	return &net.UnixAddr{Name: l.path, Net: "unix"}
}

// Close stops listening, then removes the socket: the other way round a client
// could find nothing where somebody still answers. A process that may not any
// more leaves it: it answers nobody, and the next one replaces it.
func (l *Listener) Close() error {
	err := l.UnixListener.Close()
	if l.path != "" {
		l.once.Do(func() { _ = os.Remove(l.path) })
	}
	return err
}
