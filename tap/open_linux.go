package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

// open makes the TAP, then configures it by netlink. Both look at the calling
// thread's network namespace, so the goroutine has to stay on that thread.
func open(cfg *Config) (*device, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if cfg.Adopt {
		return adopt(cfg)
	}
	if err := mayCreate(); err != nil {
		return nil, explain(err)
	}
	note := "asked for"
	if !cfg.Plain {
		d, err := openOffload(cfg)
		if err == nil || !errors.Is(err, errNoOffload) {
			return d, err
		}
		note = err.Error()
	}
	return openPlain(cfg, note)
}

// openPlain is the portable way: water, without offloads.
func openPlain(cfg *Config, note string) (_ *device, err error) {
	if cfg.Queues > 1 {
		return nil, fmt.Errorf("%d queues: the plain driver has one (%s)", cfg.Queues, note)
	}
	file, made, err := createTAP()
	if err != nil {
		return nil, explain(err)
	}
	defer func() {
		if err != nil {
			file.Close() // the interface is not persistent: it goes too
		}
	}()
	name := cfg.nameOr(made)
	if err := configure(made, name, cfg); err != nil {
		return nil, err
	}
	d := newDevice(name, cfg.mtu(), "plain", note)
	if err := d.addFile(file, false, cfg.spin()); err != nil {
		return nil, err
	}
	if err := d.observe(file); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// addFile gives the device the queue that an open file is.
func (d *device) addFile(file *os.File, vnet bool, spin time.Duration) error {
	q, err := newFileQueue(d, file, vnet, spin)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Name(), err)
	}
	d.add(q, &q.counters, file)
	return nil
}

// mayCreate asks the kernel whether we could make an interface, without making
// one. water leaks its file when the kernel refuses; this keeps us from asking
// it in vain, and can go when water closes the file.
//
// The request is for an interface that is neither TUN nor TAP: the kernel looks
// at the permission first (EPERM), at the kind second (EINVAL).
func mayCreate() error {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(fd)
	var ifreq [unix.IFNAMSIZ + 24]byte // no name, no flags; struct ifreq is 40 bytes at most
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&ifreq)))
	if errno != 0 && errno != unix.EINVAL {
		return os.NewSyscallError("TUNSETIFF", errno)
	}
	return nil
}

// createTAP has water make the interface, and sets O_CLOEXEC, which water does
// not. Holding the fork lock, as package syscall asks of everyone who does it
// in two steps, keeps a program started meanwhile from inheriting the file.
func createTAP() (_ *os.File, name string, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	rwc, name, err := openWater()
	if err != nil {
		return nil, "", err
	}
	file, ok := rwc.(*os.File)
	if !ok {
		rwc.Close()
		return nil, "", fmt.Errorf("water returned a %T, not a file", rwc)
	}
	// Not file.Fd(): it would make the file blocking, and then Close no
	// longer interrupts a Read.
	rc, err := file.SyscallConn()
	if err == nil {
		err = rc.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
	}
	if err != nil {
		file.Close()
		return nil, "", err
	}
	return file, name, nil
}

// explain adds what to do about an error of opening tunPath or of TUNSETIFF.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: load the driver with \"modprobe tun\", or start the container with \"--device %s\"", tunPath, err, tunPath)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		// The file is there, the driver behind it is not.
		return fmt.Errorf("%s: %w (%w): load the driver with \"modprobe tun\"", tunPath, err, fs.ErrNotExist)
	case errors.Is(err, unix.EACCES):
		// The file's mode. It protects nothing: what one may do with the
		// file is decided by CAP_NET_ADMIN.
		return fmt.Errorf("%s: %w: run as root, or let everyone open the file with \"chmod 666 %s\"", tunPath, err, tunPath)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: run as root, or give the program CAP_NET_ADMIN, or run it in a user and network namespace of its own (unshare -rn)", tunPath, err)
	}
	return fmt.Errorf("%s: %w", tunPath, err)
}
