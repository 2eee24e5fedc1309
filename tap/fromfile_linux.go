package tap

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// FromFile is [FromFiles] for a device with one queue.
func FromFile(f *os.File, cfg *Config) (Device, error) { return FromFiles([]*os.File{f}, cfg) }

// FromFiles makes a device of open files, each a queue of the same interface: of
// a TAP that somebody with more privilege has opened and passed on, or of a
// macvtap (its /dev/tapN). It becomes a device with what the files have:
// offloads if they were opened with IFF_VNET_HDR, plain frames otherwise.
// IFF_NO_PI they must have. Of cfg, which may be nil, only MTU, Without and Spin
// are heeded; the interface is not changed. Its MTU, as it is at any time, is
// the device's too, but not beyond the MTU given; one must be given if the
// interface is in a network namespace that this program may not look into.
//
// Offloads are the interface's, not the file's: the device sets them when it
// is made, and switches all off when it is closed.
//
// The files are the device's from here on, also on an error. They are made
// non-blocking, for everyone who has them; on Linux 6.4 and later it does no
// harm if one of those makes them blocking again.
func FromFiles(files []*os.File, cfg *Config) (_ Device, err error) {
	defer closeAll(files)
	if cfg == nil {
		cfg = &Config{}
	}
	if cfg.MTU != 0 && (cfg.MTU < MinMTU || cfg.MTU > MaxMTU) {
		return nil, fmt.Errorf("tap: MTU %d is out of range: choose one from %d to %d", cfg.MTU, MinMTU, MaxMTU)
	}
	if len(files) == 0 || len(files) > maxQueues {
		return nil, fmt.Errorf("tap: %d files: give 1 to %d, one a queue", len(files), maxQueues)
	}
	if slices.Contains(files, nil) {
		return nil, errors.New("tap: no file: it is nil")
	}
	if err := cfg.checkSpin(); err != nil {
		return nil, fmt.Errorf("tap: %w", err)
	}
	// Other descriptors, because those given may be of blocking files, which the
	// poller does not take.
	var own []*os.File
	defer func() {
		if err != nil {
			closeAll(own)
			err = fmt.Errorf("tap: %s: %w", files[0].Name(), err)
		}
	}()
	for _, f := range files {
		c, err := nonblockingCopy(f)
		if err != nil {
			return nil, err
		}
		own = append(own, c)
	}
	d, err := deviceOf(own, cfg)
	if err != nil {
		return nil, err // not d: a nil *device is a Device
	}
	return d, nil
}

func nonblockingCopy(f *os.File) (_ *os.File, err error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	if err := rc.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// deviceOf asks the kernel what the files are, and makes that. They are the
// caller's to close if it fails.
func deviceOf(files []*os.File, cfg *Config) (*device, error) {
	var what identity
	for i, f := range files {
		id, err := identify(f)
		if err != nil {
			return nil, err
		}
		if i > 0 && id != what {
			return nil, fmt.Errorf("files of two interfaces, or opened differently: %s and %s", what.name, id.name)
		}
		what = id
	}
	if what.vnet {
		for _, f := range files {
			if err := controlFile(f, setHeader); err != nil {
				return nil, err
			}
		}
		return newOffloadDevice(what.name, cfg.MTU, files, cfg, fromSomeone)
	}
	// Whoever had the interface before may have left them on.
	if err := setOffloads(files, Offloads{}); err != nil {
		return nil, fmt.Errorf("%s: TUNSETOFFLOAD: %w", what.name, err)
	}
	d := newDevice(what.name, cfg.MTU, "plain", "the file was opened without IFF_VNET_HDR")
	d.from, d.maxMTU = fromSomeone, cfg.MTU
	for _, f := range files {
		if err := d.addFile(f, false, cfg.spin()); err != nil {
			return nil, err
		}
	}
	return d, d.observe(files[0])
}

// identity is what a file is a queue of, and how.
type identity struct {
	name string
	mac  [6]byte
	vnet bool
}

func identify(file *os.File) (id identity, err error) {
	req, err := interfaceRequest(file, unix.TUNGETIFF)
	if err != nil {
		return id, fmt.Errorf("not a TAP's file: %w", os.NewSyscallError("TUNGETIFF", err))
	}
	if req.flags&unix.IFF_TAP == 0 {
		return id, errors.New("it is a TUN's file: this package is about Ethernet frames")
	}
	if hasPacketInfo(file) {
		// Nor can it be switched off here: TUNSETIFF fails on a file that has
		// its interface.
		return id, errors.New("it was opened without IFF_NO_PI, so every frame has four bytes in front: open it with IFF_NO_PI")
	}
	id.name = unix.ByteSliceToString(req.name[:])
	id.vnet = req.flags&unix.IFF_VNET_HDR != 0
	id.mac, err = hardwareAddr(file)
	return id, err
}

// hasPacketInfo reports whether a TAP's frames have struct tun_pi in front.
// TUNGETIFF does not tell: its IFF_NO_PI is also IFF_NOFILTER, which is set.
// Of a write of four bytes from where there is no memory the kernel reads them
// (EFAULT) if they are that, and finds them too short a frame (EINVAL) if not
// (tun_get_user).
func hasPacketInfo(file *os.File) bool {
	const nowhere, piLen = 1, 4
	err := controlFile(file, func(fd int) error {
		if _, _, errno := unix.Syscall(unix.SYS_WRITE, uintptr(fd), nowhere, piLen); errno != 0 {
			return errno
		}
		return nil
	})
	return errors.Is(err, unix.EFAULT)
}
