//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	discardPort = 9
	echoPort    = 7

	pingSize  = 64
	smallSize = 64

	// The largest multiple of a plausible segment that fits into a datagram.
	segmentSize = 1400
	largeSize   = 44 * segmentSize
)

// Peer is the other side of the TAP: kernel sockets. All it may do is bounded
// by the time it is told.
type Peer struct{}

// LoadArgs describe a flood of UDP datagrams to a reader.
type LoadArgs struct {
	Subnet        int
	Size, Segment int // of each write, and what the kernel is to cut it into; 0 for not at all
	For           time.Duration
}

// Load sends as fast as the kernel takes it.
func (*Peer) Load(args LoadArgs, _ *none) error {
	fd, err := dialUDP(args.Subnet, discardPort)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if args.Segment > 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, args.Segment); err != nil {
			return os.NewSyscallError("UDP_SEGMENT", err)
		}
	}
	b := make([]byte, args.Size)
	for until := time.Now().Add(args.For); time.Now().Before(until); {
		for range 32 { // looking at the clock is not for free
			if _, err := unix.Write(fd, b); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return os.NewSyscallError("send", err) // a full queue is what we want
			}
		}
	}
	return nil
}

// PingArgs say whom to ping and for how long.
type PingArgs struct {
	Subnet int
	For    time.Duration
}

// Times are round trips.
type Times struct {
	P50, P99 time.Duration
}

// Ping sends a datagram, waits until it is back, and so on.
func (*Peer) Ping(args PingArgs, times *Times) error {
	fd, err := dialUDP(args.Subnet, echoPort)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const tooLate, mayLose = 100 * time.Millisecond, 10
	timeout := unix.NsecToTimeval(int64(tooLate))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return os.NewSyscallError("SO_RCVTIMEO", err)
	}
	b := make([]byte, pingSize)
	took := make([]time.Duration, 0, 1<<20)
	lost := 0
	for start := time.Now(); time.Since(start) < args.For && len(took) < cap(took); {
		sent := time.Now()
		if err := transfer(unix.SYS_WRITE, fd, b); err != nil {
			return os.NewSyscallError("send", err)
		}
		switch err := transfer(unix.SYS_READ, fd, b); {
		case err == nil:
			took = append(took, time.Since(sent))
		case !errors.Is(err, unix.EAGAIN):
			return os.NewSyscallError("receive", err)
		default:
			if lost++; lost > mayLose {
				return fmt.Errorf("%d of %d pings are lost", lost, lost+len(took))
			}
		}
	}
	if len(took) == 0 {
		return errors.New("no ping came back")
	}
	slices.Sort(took)
	times.P50, times.P99 = took[len(took)/2], took[len(took)*99/100]
	return nil
}

// transfer reads or writes without telling the Go scheduler, whose help would
// be in the times. The socket's timeout bounds how long we are deaf to it.
func transfer(trap uintptr, fd int, b []byte) error {
	for {
		_, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// dialUDP makes a blocking socket of the kernel's, connected to a reader.
func dialUDP(n, port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	to := unix.SockaddrInet4{Port: port, Addr: [4]byte(subnet(n, 2).To4())}
	if err := unix.Connect(fd, &to); err != nil {
		return -1, errors.Join(os.NewSyscallError("connect", err), unix.Close(fd))
	}
	return fd, nil
}
