package tap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoOffload: this kernel, or what stands in for it, has TAPs but no
// virtio-net headers on them.
var errNoOffload = errors.New("no offload headers here")

// openOffload makes a TAP whose queues have virtio-net headers, with every
// offload that the kernel takes and cfg does not forbid.
func openOffload(cfg *Config) (_ *device, err error) {
	files, made, err := openQueues("", max(cfg.Queues, 1))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeAll(files) // the interface is not persistent: it goes with the last
		}
	}()
	name := cfg.nameOr(made)
	if err := configure(made, name, cfg); err != nil {
		return nil, err
	}
	return newOffloadDevice(name, cfg.mtu(), files, cfg, fromUs)
}

// newOffloadDevice makes a device of queues that have virtio-net headers. The
// files are the caller's to close if it fails.
func newOffloadDevice(name string, mtu int, files []*os.File, cfg *Config, from origin) (_ *device, err error) {
	d := newDevice(name, mtu, "offload", "")
	d.from = from
	if from == fromSomeone {
		d.maxMTU = cfg.MTU
	}
	if d.offloads, d.note, err = enableOffloads(files, cfg.Without); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if from != fromUs {
		// The interface outlives us, with what we enabled: a program that
		// then reads it frame by frame would get large frames, and partial
		// checksums.
		d.leave = func() { _ = setOffloads(files, Offloads{}) }
		defer func() {
			if err != nil {
				d.leave()
			}
		}()
	}
	for _, f := range files {
		if err := d.addFile(f, true, cfg.spin()); err != nil {
			return nil, err
		}
	}
	if err := d.observe(files[0]); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// openQueues opens n queues of the interface called name; with no name, the
// first makes one and the others join it.
func openQueues(name string, n int) (files []*os.File, made string, err error) {
	for range n {
		f, used, err := openQueue(name, n > 1)
		if err != nil {
			closeAll(files)
			return nil, "", err
		}
		files, name = append(files, f), used
	}
	return files, name, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // a nil file says so, and that is all
	}
}

// ifreq is the part of struct ifreq that the TUN driver's calls use.
type ifreq struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	rest  [22]byte
}

// openQueue opens one queue with virtio-net headers. Without a name the kernel
// makes an interface and chooses one.
func openQueue(name string, multi bool) (_ *os.File, made string, err error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", explain(os.NewSyscallError("open", err))
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	req := ifreq{flags: unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR}
	if multi {
		req.flags |= unix.IFF_MULTI_QUEUE
	}
	if name == "" {
		name = "tap%d"
	}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if err := ioctl(fd, unix.TUNSETIFF, unsafe.Pointer(&req)); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return nil, "", fmt.Errorf("%w: TUNSETIFF: %w", errNoOffload, err)
		}
		return nil, "", explain(os.NewSyscallError("TUNSETIFF", err))
	}
	if err := setHeader(fd); err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), tunPath), unix.ByteSliceToString(req.name[:]), nil
}

// setHeader asks for headers of vnetHdrLen bytes, little-endian.
func setHeader(fd int) error {
	for _, set := range []struct {
		name  string
		req   uint
		value int32
	}{
		{"TUNSETVNETHDRSZ", unix.TUNSETVNETHDRSZ, vnetHdrLen},
		{"TUNSETVNETLE", unix.TUNSETVNETLE, 1},
	} {
		if err := ioctl(fd, set.req, unsafe.Pointer(&set.value)); err != nil {
			return fmt.Errorf("%w: %s: %w", errNoOffload, set.name, err)
		}
	}
	return nil
}

func ioctl(fd int, req uint, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg))
	runtime.KeepAlive(arg)
	if errno != 0 {
		return errno
	}
	return nil
}

// enableOffloads asks for everything first, and then for less, until the
// kernel agrees. note says what it did not have.
func enableOffloads(files []*os.File, without Offloads) (on Offloads, note string, err error) {
	var refused error
	for _, step := range []Offloads{
		{Csum: true, TSO4: true, TSO6: true, ECN: true, USO: true},
		{Csum: true, TSO4: true, TSO6: true, ECN: true},
		{Csum: true, TSO4: true, TSO6: true},
		{Csum: true, TSO4: true},
		{Csum: true},
		{},
	} {
		want := step.minus(without)
		if err := setOffloads(files, want); err != nil {
			refused = err
			continue
		}
		if refused != nil && want != (Offloads{Csum: true, TSO4: true, TSO6: true, ECN: true, USO: true}).minus(without) {
			note = fmt.Sprintf("the kernel has no more than %v: %v", want, refused)
		}
		return want, note, nil
	}
	return Offloads{}, "", fmt.Errorf("TUNSETOFFLOAD: %w", refused)
}

// minus is o without what w lists, nor what depends on that.
func (o Offloads) minus(w Offloads) Offloads {
	if w.Csum {
		return Offloads{}
	}
	o.TSO4 = o.TSO4 && !w.TSO4
	o.TSO6 = o.TSO6 && !w.TSO6
	o.USO = o.USO && !w.USO
	o.ECN = o.ECN && !w.ECN && (o.TSO4 || o.TSO6)
	return o
}

func setOffloads(files []*os.File, o Offloads) error {
	var flags uint
	for _, f := range []struct {
		on   bool
		flag uint
	}{
		{o.Csum, unix.TUN_F_CSUM},
		{o.TSO4, unix.TUN_F_TSO4},
		{o.TSO6, unix.TUN_F_TSO6},
		{o.ECN, unix.TUN_F_TSO_ECN},
		{o.USO, unix.TUN_F_USO4 | unix.TUN_F_USO6},
	} {
		if f.on {
			flags |= f.flag
		}
	}
	for _, file := range files {
		if err := controlFile(file, func(fd int) error {
			return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(flags))
		}); err != nil {
			return err
		}
	}
	return nil
}
