//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

// kernel is the target of that name: package net, in a namespace that a veth
// pair connects with the peer's.
type kernel struct{}

func (kernel) Listen(local netip.AddrPort) (net.Listener, error) {
	var lc net.ListenConfig
	// Go listens for MPTCP by default; the comparison is about TCP.
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", local.String())
}

func (kernel) DialUDP(local, remote netip.AddrPort) (net.Conn, error) {
	return net.DialUDP("udp", net.UDPAddrFromAddrPort(local), net.UDPAddrFromAddrPort(remote))
}

func (kernel) Describe() string { return "package net over veth, offloads at the kernel's defaults" }
func (kernel) Close() error     { return nil }

// joinByVeth connects two namespaces with a veth pair, addressed and up.
func joinByVeth(peer, sut *netns.NS) error {
	var far *os.File
	err := sut.Do(func() (err error) {
		far, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return err
	}
	defer far.Close()
	err = peer.Do(func() error {
		veth := netlink.NewVeth(netlink.LinkAttrs{Name: "peer0", MTU: 1500, TxQLen: -1})
		veth.PeerName, veth.PeerNamespace = "sut0", netlink.NsFd(far.Fd())
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("make a veth pair: %w", err)
		}
		return bringUpByName("peer0", peer4, peer6)
	})
	if err != nil {
		return err
	}
	return sut.Do(func() error { return bringUpByName("sut0", sut4, sut6) })
}

func bringUpByName(name string, addrs ...netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return bringUp(link, addrs...)
}

// bringUp gives an interface its addresses. The IPv6 ones are usable at once:
// duplicate address detection would take a second.
func bringUp(link netlink.Link, addrs ...netip.Prefix) error {
	for _, p := range addrs {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %v to %s: %w", p, link.Attrs().Name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// sysctl sets a value of the calling thread's namespace.
func sysctl(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
}
