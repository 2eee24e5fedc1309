//go:build linux

package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many datagrams of the peer go through one system call: one by
// one it could not keep up with what it measures.
const batch = 64

// mmsghdr is the kernel's struct of that name, which x/sys lacks.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes sent or received
}

// datagrams is a connected UDP socket with a batch of buffers.
type datagrams struct {
	fd   int
	msgs [batch]mmsghdr
	iovs [batch]unix.Iovec
	bufs [batch][2 * datagramSize]byte
}

func openDatagrams(length int) (*datagrams, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	d := &datagrams{fd: fd}
	local := netip.AddrPortFrom(peer4.Addr(), udpPort)
	err = errors.Join(
		unix.Bind(fd, sockaddr(local)),
		unix.Connect(fd, sockaddr(sutAddr(udpPort, false))),
		// A batch waits for its first datagram; every now and then the end
		// has to be noticed.
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
		// So that a pause of the reader is not what loses datagrams; the
		// kernel takes as much of it as it allows.
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	d.prepare(length)
	return d, nil
}

// prepare points the messages at length bytes of the buffers.
func (d *datagrams) prepare(length int) {
	for i := range d.msgs {
		d.iovs[i].Base = &d.bufs[i][0]
		d.iovs[i].SetLen(length)
		d.msgs[i].Iov = &d.iovs[i]
		d.msgs[i].SetIovlen(1)
	}
}

// transfer is sendmmsg or recvmmsg. Errors that pass, a refusal by a
// neighbour that is not there yet among them, are no error and 0.
func (d *datagrams) transfer(call, flags uintptr) (int, error) {
	n, _, errno := unix.Syscall6(call, uintptr(d.fd), uintptr(unsafe.Pointer(&d.msgs[0])), batch, flags, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR, unix.EAGAIN, unix.ENOBUFS, unix.ECONNREFUSED, unix.EHOSTUNREACH:
		return 0, nil
	default:
		return 0, os.NewSyscallError("sendmmsg or recvmmsg", errno)
	}
}

// run transfers until ctx ends and counts into n.
func (d *datagrams) run(o order, call, flags uintptr) (answer, error) {
	var n atomic.Int64
	return during(o, n.Load, func(ctx context.Context) error {
		defer unix.Close(d.fd)
		for ctx.Err() == nil {
			got, err := d.transfer(call, flags)
			if err != nil {
				return err
			}
			n.Add(int64(got))
		}
		return ctx.Err()
	})
}

// floodDatagrams sends as fast as the kernel takes them.
func floodDatagrams(o order) (answer, error) {
	d, err := openDatagrams(datagramSize)
	if err != nil {
		return answer{}, err
	}
	return d.run(o, unix.SYS_SENDMMSG, 0)
}

// drainDatagrams counts what arrives.
func drainDatagrams(o order) (answer, error) {
	d, err := openDatagrams(2 * datagramSize)
	if err != nil {
		return answer{}, err
	}
	return d.run(o, unix.SYS_RECVMMSG, unix.MSG_WAITFORONE)
}

// sockaddr is an IPv4 address for a system call.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}
