//go:build linux

package main

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	headerLen = 10         // struct virtio_net_hdr, in front of every frame
	frameLen  = 14 + 65535 // the largest: Ethernet's header and an IP packet
	bufferLen = headerLen + frameLen
)

// tapFile is a TAP's only queue, and its interface.
type tapFile struct {
	*os.File
	fd   int // File's own; Fd() would make it blocking
	link netlink.Link
}

// subnet is a TAP's: the kernel is .1, the reader .2.
func subnet(n, host int) net.IP { return net.IPv4(10, 77, byte(n), byte(host)) }

// openTAP makes a TAP with offloads, up, with the addresses of subnet n.
func openTAP(n int, nonblock bool) (_ *tapFile, err error) {
	mode := unix.O_RDWR | unix.O_CLOEXEC
	if nonblock {
		mode |= unix.O_NONBLOCK
	}
	fd, err := unix.Open("/dev/net/tun", mode, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	name := fmt.Sprint("readers", n)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads|unix.TUN_F_USO4|unix.TUN_F_USO6) != nil {
		// Before Linux 6.2: the large datagrams come cut.
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
			return nil, os.NewSyscallError("TUNSETOFFLOAD", err)
		}
	}
	link, err := configure(name, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &tapFile{File: os.NewFile(uintptr(fd), name), fd: fd, link: link}, nil
}

// configure gives the interface its address, and the reader's address a
// neighbour entry, so that nobody has to speak ARP.
func configure(name string, n int) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	mask := net.CIDRMask(24, 32)
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: subnet(n, 1), Mask: mask}}); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	return link, netlink.NeighAdd(&netlink.Neigh{
		LinkIndex:    link.Attrs().Index,
		IP:           subnet(n, 2),
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		State:        netlink.NUD_PERMANENT,
	})
}
