package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"tapstack/internal/netns/netnstest"
)

// TestPeer asks the kernel about a real process.
func TestPeer(t *testing.T) {
	c1, c2 := connected(t)
	defer c1.Close()
	defer c2.Close()
	cred, err := peerOf(c1)
	groups, _ := os.Getgroups()
	if err != nil || cred.PID != os.Getpid() || int(cred.UID) != os.Getuid() || int(cred.GID) != os.Getgid() || len(cred.Groups) != len(groups) {
		t.Errorf("%+v, %v; want our own, with groups %v", cred, err, groups)
	}
	if os.Getuid() != 0 {
		netnstest.Skip(t, errors.New("to be somebody else takes root"))
	}
	// A process with more groups than fit at first connects.
	groups = nil
	for i := range 100 {
		groups = append(groups, 1000+i)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its groups
		// The wrappers of package syscall change all threads.
		raw := make([]uint32, len(groups))
		for i, g := range groups {
			raw[i] = uint32(g)
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(raw)), uintptr(unsafe.Pointer(&raw[0])), 0); errno != 0 {
			dialled <- errno
			return
		}
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
			defer syscall.Close(fd)
		}
		dialled <- err
	}()
	if err := <-dialled; err != nil {
		netnstest.Skip(t, fmt.Errorf("no groups can be had here: %w", err))
	}
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cred, err = peerOf(c)
	if err != nil || len(cred.Groups) != len(groups) || cred.Groups[99] != 1099 {
		t.Errorf("%v, %v; want the groups 1000 to 1099", cred.Groups, err)
	}
}

// connected are the two ends of a connection.
func connected(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	if a, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	return a, b
}
