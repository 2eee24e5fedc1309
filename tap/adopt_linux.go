package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// adopt takes over the TAP called cfg.Name. What it finds it leaves as it is,
// but for what cfg gives; so an interface that is up and configured can be
// taken over by its owner without privilege.
func adopt(cfg *Config) (_ *device, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("%s: netlink: %w", cfg.Name, err)
	}
	defer h.Close()
	link, err := h.LinkByName(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("adopt %s: %w (%w): make it with \"ip tuntap add %s mode tap\"", cfg.Name, err, fs.ErrNotExist, cfg.Name)
	}
	tuntap, ok := link.(*netlink.Tuntap)
	if !ok || tuntap.Mode != netlink.TUNTAP_MODE_TAP {
		return nil, fmt.Errorf("adopt %s: it is a %s, not a TAP: choose another name", cfg.Name, link.Type())
	}
	files, err := adoptQueues(cfg, tuntap)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	if err := reconfigure(h, link, cfg); err != nil {
		return nil, err
	}
	mtu := cfg.MTU
	if mtu == 0 {
		mtu = link.Attrs().MTU
	}
	return newOffloadDevice(cfg.Name, mtu, files, cfg, fromAdmin)
}

// adoptQueues attaches with the flags the interface was made with: the kernel
// insists on the same answer to "several queues?".
func adoptQueues(cfg *Config, tuntap *netlink.Tuntap) (files []*os.File, err error) {
	multi := tuntap.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
	n := max(cfg.Queues, 1)
	if n > 1 && !multi {
		return nil, fmt.Errorf("adopt %s: it was made for one queue, not %d: make it with \"multi_queue\"", cfg.Name, n)
	}
	for range n {
		f, _, err := openQueue(cfg.Name, multi)
		if err != nil {
			closeAll(files)
			if errors.Is(err, unix.EBUSY) {
				err = fmt.Errorf("adopt %s: another program has it open: %w", cfg.Name, err)
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// reconfigure changes what cfg gives and what is not so already.
func reconfigure(h *netlink.Handle, link netlink.Link, cfg *Config) error {
	a := link.Attrs()
	if cfg.MTU != 0 && cfg.MTU != a.MTU {
		if err := h.LinkSetMTU(link, cfg.MTU); err != nil {
			return fmt.Errorf("%s: set MTU %d: %w", a.Name, cfg.MTU, err)
		}
	}
	if cfg.TxQueueLen > 0 && cfg.TxQueueLen != a.TxQLen {
		if err := h.LinkSetTxQLen(link, cfg.TxQueueLen); err != nil {
			return fmt.Errorf("%s: set queue length: %w", a.Name, err)
		}
	}
	if cfg.HardwareAddr != nil && string(cfg.HardwareAddr) != string(a.HardwareAddr) {
		if err := h.LinkSetHardwareAddr(link, cfg.HardwareAddr); err != nil {
			return fmt.Errorf("%s: set hardware address %s: %w", a.Name, cfg.HardwareAddr, err)
		}
	}
	if !cfg.KeepDown && a.Flags&unix.IFF_UP == 0 {
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s: bring up: %w", a.Name, err)
		}
	}
	for _, p := range cfg.Host {
		if err := addAddress(h, link, a.Name, p); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// FromFile makes a device of an open file: a TAP queue that somebody with more
// privilege has opened and passed on, or a macvtap's /dev/tapN. It becomes a
// device with what the file has: offloads if it was opened with IFF_VNET_HDR,
// plain frames otherwise. IFF_NO_PI it must have. Of cfg, which may be nil, only
// MTU, Without and Spin are heeded; the interface is not changed. Its MTU, as it
// is at any time, is the device's too, but not beyond the MTU given; one must be
// given if the interface is in a network namespace that this program may not
// look into.
//
// Offloads are the interface's, not the file's: the device sets them when it
// is made, and switches all off when it is closed.
//
// The file is the device's from here on, also on an error. It is made
// non-blocking, for everyone who has it; on Linux 6.4 and later it does no harm
// if one of them makes it blocking again.
func FromFile(f *os.File, cfg *Config) (_ Device, err error) {
	if cfg == nil {
		cfg = &Config{}
	}
	defer f.Close()
	if cfg.MTU != 0 && (cfg.MTU < MinMTU || cfg.MTU > MaxMTU) {
		return nil, fmt.Errorf("tap: MTU %d is out of range: choose one from %d to %d", cfg.MTU, MinMTU, MaxMTU)
	}
	// A second descriptor, because f may be a blocking file, which the poller
	// does not take.
	own, err := nonblockingCopy(f)
	if err != nil {
		return nil, fmt.Errorf("tap: %s: %w", f.Name(), err)
	}
	d, err := deviceOf(own, cfg)
	if err != nil {
		own.Close()
		return nil, fmt.Errorf("tap: %s: %w", f.Name(), err)
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

// deviceOf asks the kernel what file is, and makes that. file is the caller's
// to close if it fails.
func deviceOf(file *os.File, cfg *Config) (*device, error) {
	req, err := interfaceRequest(file, unix.TUNGETIFF)
	if err != nil {
		return nil, fmt.Errorf("not a TAP's file: %w", os.NewSyscallError("TUNGETIFF", err))
	}
	if req.flags&unix.IFF_TAP == 0 {
		return nil, errors.New("it is a TUN's file: this package is about Ethernet frames")
	}
	if hasPacketInfo(file) {
		// Nor can it be switched off here: TUNSETIFF fails on a file that has
		// its interface.
		return nil, errors.New("it was opened without IFF_NO_PI, so every frame has four bytes in front: open it with IFF_NO_PI")
	}
	name := unix.ByteSliceToString(req.name[:])
	if req.flags&unix.IFF_VNET_HDR != 0 {
		if err := controlFile(file, setHeader); err != nil {
			return nil, err
		}
		return newOffloadDevice(name, cfg.MTU, []*os.File{file}, cfg, fromSomeone)
	}
	// Whoever had the interface before may have left them on.
	if err := setOffloads([]*os.File{file}, Offloads{}); err != nil {
		return nil, fmt.Errorf("%s: TUNSETOFFLOAD: %w", name, err)
	}
	d := newDevice(name, cfg.MTU, "plain", "the file was opened without IFF_VNET_HDR")
	d.from, d.maxMTU = fromSomeone, cfg.MTU
	if err := d.addFile(file, false, cfg.spin()); err != nil {
		return nil, err
	}
	return d, d.observe(file)
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
