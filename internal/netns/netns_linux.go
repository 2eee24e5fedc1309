package netns

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// NS is a network namespace, kept alive by an open file. Its methods are safe
// for concurrent use.
type NS struct {
	f *os.File // on nsfs
}

// New makes a namespace with lo up and nothing else in it. It needs
// CAP_SYS_ADMIN, which root has, and everyone after [Enter]; without it the
// error is an [*UnavailableError]. The caller closes the NS.
func New() (ns *NS, err error) {
	err = onFreshThread(func() error {
		if err := unshare(); err != nil {
			return err
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return &UnavailableError{Op: "keep the namespace", Err: err}
		}
		ns = &NS{f}
		return nil
	})
	return ns, err
}

// Run runs fn in a new namespace with lo up, and waits for it. The namespace
// dies when fn has returned and the last socket made in it is closed. Run
// returns fn's error, or an [*UnavailableError] without having called fn.
//
// A panic in fn ends the program, runtime.Goexit in it (so also t.FailNow)
// ends the caller.
func Run(fn func() error) error {
	return onFreshThread(func() error {
		if err := unshare(); err != nil {
			return err
		}
		return fn()
	})
}

// Do runs fn inside the namespace, and waits for it. Calls may overlap; each
// has a thread of its own. After Close the error is os.ErrClosed. Panic and
// runtime.Goexit are as for [Run].
func (ns *NS) Do(fn func() error) error {
	return onFreshThread(func() error {
		if err := ns.join(); err != nil {
			return err
		}
		return fn()
	})
}

// Close lets go of the namespace. Functions under way in it and sockets made
// in it keep it alive until they are done. The second call returns nil.
func (ns *NS) Close() error {
	ns.f.Close() // fails only when closed before
	return nil
}

// onFreshThread runs fn on a thread that no other goroutine gets to see, and
// waits for it. A goroutine that ends while locked takes its thread with it.
func onFreshThread(fn func() error) (err error) {
	done := make(chan bool)
	go func() {
		returned := false
		defer func() {
			// A panic goes on from here, with fn's frames still on the
			// stack, and before the caller can go on and hide it.
			if p := recover(); p != nil {
				panic(p)
			}
			done <- returned
		}()
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread: it can not end before the program does,
			// and its namespace is what /proc/self shows. Hold it while
			// another goroutine, and hence another thread, does the work.
			defer runtime.UnlockOSThread()
			err = onFreshThread(fn)
		} else {
			err = fn()
		}
		returned = true
	}()
	if !<-done {
		runtime.Goexit()
	}
	return err
}

// unshare moves the calling thread into a new namespace and brings its lo up.
func unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return unavailable("unshare", err)
	}
	return loUp()
}

// join moves the calling thread into ns. The file can not be closed, and its
// number not be reused, while Control runs.
func (ns *NS) join() error {
	rc, err := ns.f.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := rc.Control(func(fd uintptr) { errno = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
		return os.ErrClosed
	}
	if errno != nil {
		return unavailable("setns", errno)
	}
	return nil
}

// loUp brings up lo in the calling thread's namespace; the kernel then gives
// it 127.0.0.1 and ::1.
func loUp() error {
	const op = "bring up lo"
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return unavailable(op, err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return unavailable(op, err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return unavailable(op, err)
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return unavailable(op, err)
	}
	return nil
}
