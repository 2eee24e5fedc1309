package rawlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"tapstack/tap"
)

func open(mtu int) (near, far tap.Device, err error) {
	// Down at first: an interface that comes up announces itself by IPv6.
	near, err = tap.Open(&tap.Config{MTU: mtu, KeepDown: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = near.Close()
		}
	}()
	if err := noIPv6(near.Name()); err != nil {
		return nil, nil, err
	}
	// Up before the socket is bound: that has its first use fail otherwise.
	if err := up(near.Name()); err != nil {
		return nil, nil, err
	}
	s, err := openSocket(near.Name(), mtu)
	if err != nil {
		return nil, nil, err
	}
	return near, s, nil
}

// noIPv6 keeps the kernel from sending on an interface that has no addresses.
func noIPv6(name string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", name, "disable_ipv6"), []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EROFS) {
		return nil // without IPv6, or in a container where only reports of groups are to be had of it
	}
	return err
}

func up(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return os.NewSyscallError("ioctl SIOCGIFFLAGS", err)
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}

// socket is a packet socket bound to an interface, as a device with one queue.
type socket struct {
	file *os.File
	name string
	mtu  int

	rxFrames, rxBytes, txFrames, txBytes atomic.Uint64
	closed                               atomic.Bool
}

var (
	_ tap.Device = (*socket)(nil)
	_ tap.Queue  = (*socket)(nil)
)

// openSocket opens one. It is non-blocking, so that Close ends a Read.
func openSocket(name string, mtu int) (*socket, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket AF_PACKET", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "packet:"+name), name: name, mtu: mtu}
	err = errors.Join(
		// What others send through the interface is not of interest; of what
		// the stack sends, what is left to be done.
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: iface.Index}))
	if err != nil {
		_ = s.file.Close()
		return nil, fmt.Errorf("packet socket on %s: %w", name, err)
	}
	return s, nil
}

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// headerLen is the length of the virtio-net header that a packet socket puts
// in front, in the machine's byte order (packet(7), PACKET_VNET_HDR).
const headerLen = 10

// Read implements tap.Queue.
func (s *socket) Read(bufs [][]byte) (int, tap.Offload, error) {
	b := make([]byte, headerLen+tap.MaxFrame)
	for {
		n, err := s.file.Read(b)
		switch {
		case s.closed.Load():
			return 0, tap.Offload{}, net.ErrClosed
		case errors.Is(err, unix.ENETDOWN):
			continue // told once; the interface may come up again
		case err != nil:
			return 0, tap.Offload{}, fmt.Errorf("%s: %w", s.name, err)
		case n < headerLen:
			continue
		}
		off := decode(b)
		frame := b[headerLen:n]
		done := 0
		for _, buf := range bufs {
			done += copy(buf, frame[done:])
		}
		if done < len(frame) {
			continue
		}
		s.rxFrames.Add(1)
		s.rxBytes.Add(uint64(done))
		return done, off, nil
	}
}

// decode reads a virtio-net header (virtio 1.2, 5.1.6).
func decode(b []byte) (off tap.Offload) {
	ne := binary.NativeEndian
	const needsCsum, dataValid, ecn = 1, 2, 0x80
	off.NeedsCsum, off.CsumValid = b[0]&needsCsum != 0, b[0]&dataValid != 0
	off.ECN = b[1]&ecn != 0
	off.GSO = map[byte]tap.GSOType{1: tap.GSOTCPv4, 4: tap.GSOTCPv6, 5: tap.GSOUDP}[b[1]&^ecn]
	off.HdrLen, off.GSOSize = ne.Uint16(b[2:]), ne.Uint16(b[4:])
	if off.NeedsCsum {
		off.CsumStart, off.CsumOffset = ne.Uint16(b[6:]), ne.Uint16(b[8:])
	}
	return off
}

// Write implements tap.Queue.
func (s *socket) Write(bufs [][]byte, off tap.Offload) error {
	frame := make([]byte, headerLen, headerLen+tap.MaxFrame)
	for _, b := range bufs {
		frame = append(frame, b...)
	}
	n := len(frame) - headerLen
	if err := off.Check(n, s.mtu, tap.Offloads{}); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	_, err := s.file.Write(frame)
	switch {
	case err == nil:
		s.txFrames.Add(1)
		s.txBytes.Add(uint64(n))
		return nil
	case s.closed.Load():
		return net.ErrClosed
	case errors.Is(err, syscall.ENETDOWN):
		return fmt.Errorf("%w: %w", tap.ErrDown, err)
	case errors.Is(err, syscall.ENOBUFS):
		return fmt.Errorf("%w: %w", tap.ErrFull, err)
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// Name implements tap.Device.
func (s *socket) Name() string { return s.name }

// MTU implements tap.Device.
func (s *socket) MTU() int { return s.mtu }

// Queues implements tap.Device.
func (s *socket) Queues() []tap.Queue { return []tap.Queue{s} }

// Offloads implements tap.Device: it takes none. What it hands over has those
// of the TAP.
func (*socket) Offloads() tap.Offloads { return tap.Offloads{} }

// Stats implements tap.Device. Nothing is known of what was dropped.
func (s *socket) Stats() tap.Stats {
	return tap.Stats{
		RxFrames: s.rxFrames.Load(), RxBytes: s.rxBytes.Load(),
		TxFrames: s.txFrames.Load(), TxBytes: s.txBytes.Load(),
	}
}

// Close implements tap.Device.
func (s *socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.file.Close()
}
