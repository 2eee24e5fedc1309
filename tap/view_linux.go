package tap

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// view is two netlink sockets in the network namespace that an interface is
// in. They may be used from any thread.
type view struct {
	index  int             // the interface's, in that namespace
	handle *netlink.Handle // asks
	events *nl.NetlinkSocket
}

// errForeign: a TAP is where we may not look.
var errForeign = errors.New("the interface is in a network namespace that this program may not look into")

// openView opens a view of the interface that file is a queue of, wherever
// that is: a file keeps its interface when the file is passed to a program in
// another namespace, and when the interface itself is moved. ErrGone if it was
// deleted, errForeign if we may not look there.
func openView(file *os.File) (v *view, err error) {
	req, err := interfaceRequest(file, unix.TUNGETIFF)
	if err != nil {
		return nil, gone(err)
	}
	name := unix.ByteSliceToString(req.name[:])
	ns := -1
	err = controlFile(file, func(fd int) (err error) {
		ns, err = unix.IoctlRetInt(fd, unix.TUNGETDEVNETNS)
		return err
	})
	if err == nil {
		defer unix.Close(ns)
		err = inNamespace(ns, func() (err error) {
			v, err = newView(name)
			return err
		})
	}
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY):
		// We may not ask, as an ordinary user who owns the TAP; or this is a
		// macvtap, or a kernel, that does not answer.
		return openViewHere(file, name)
	}
	return nil, gone(err)
}

// gone is err, as ErrGone if that is what it means.
func gone(err error) error {
	if errors.Is(err, unix.EBADFD) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOLINK) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// openViewHere looks in the calling thread's namespace, and believes what it
// finds under that name only if it has the hardware address that the file
// says: another interface may have the name here.
func openViewHere(file *os.File, name string) (*view, error) {
	v, err := newView(name)
	if err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil, errForeign
		}
		return nil, err
	}
	link, err := v.handle.LinkByIndex(v.index)
	if err == nil {
		var mac [6]byte
		mac, err = hardwareAddr(file)
		if err == nil && !bytes.Equal(mac[:], link.Attrs().HardwareAddr) {
			err = errForeign
		}
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// interfaceRequest is a system call on the file that fills in an ifreq.
func interfaceRequest(file *os.File, call uint) (req ifreq, err error) {
	err = controlFile(file, func(fd int) error { return ioctl(fd, call, unsafe.Pointer(&req)) })
	return req, err
}

// hardwareAddr is that of the interface that file is a queue of.
func hardwareAddr(file *os.File) (mac [6]byte, err error) {
	req, err := interfaceRequest(file, unix.SIOCGIFHWADDR)
	copy(mac[:], req.rest[:]) // of a sockaddr, whose family is in flags' place
	return mac, err
}

// newView opens the sockets, in the calling thread's namespace.
func newView(name string) (_ *view, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	// Before anyone asks for the present state, so that no change is missed.
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, fmt.Errorf("netlink: watch: %w", err)
	}
	link, err := h.LinkByName(name)
	if err != nil {
		events.Close()
		return nil, err
	}
	return &view{index: link.Attrs().Index, handle: h, events: events}, nil
}

func (v *view) close() {
	v.handle.Close()
	v.events.Close()
}

// drain throws away what the events socket holds. Until it is empty the kernel
// goes on to lose news after an overrun, without another word.
func (v *view) drain() {
	var b [1]byte
	for {
		_, _, err := unix.Recvfrom(v.events.GetFd(), b[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// look asks for the interface's present state.
func (v *view) look() (Interface, error) {
	link, err := v.handle.LinkByIndex(v.index)
	if err != nil {
		return Interface{}, err
	}
	return interfaceOf(link), nil
}

func interfaceOf(link netlink.Link) Interface {
	a := link.Attrs()
	i := Interface{
		Name:         a.Name,
		Up:           a.Flags&net.FlagUp != 0,
		MTU:          a.MTU,
		HardwareAddr: a.HardwareAddr,
		TxQueueLen:   a.TxQLen,
	}
	if s := a.Statistics; s != nil {
		i.RxDropped, i.TxDropped = s.RxDropped, s.TxDropped
		i.RxErrors, i.TxErrors = s.RxErrors, s.TxErrors
	}
	return i
}

// inNamespace runs fn in the network namespace that ns is open on. If that is
// not the calling thread's, fn gets a thread of its own, which ends with it:
// the way back may be barred.
func inNamespace(ns int, fn func() error) (err error) {
	runtime.LockOSThread()
	here := sameFile(ns, "/proc/thread-self/ns/net")
	if here {
		err = fn()
	}
	runtime.UnlockOSThread()
	if here {
		return err
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end before the program does. While it
			// is held here, another goroutine gets another thread.
			defer runtime.UnlockOSThread()
			done <- inNamespace(ns, fn)
			return
		}
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			done <- os.NewSyscallError("setns", err)
			return
		}
		done <- fn()
	}()
	return <-done
}

// sameFile reports whether fd is open on the file that path leads to.
func sameFile(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Stat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// controlFile runs a system call on the file's number.
func controlFile(f *os.File, call func(fd int) error) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if err := rc.Control(func(fd uintptr) { callErr = call(int(fd)) }); err != nil {
		return err
	}
	return callErr
}
