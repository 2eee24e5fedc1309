package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/stack"
)

// kernelNode is a host that is a namespace of the kernel's.
type kernelNode struct{ *netns.NS }

// kernelPair is [pair] in the kernel: two namespaces and a veth pair.
func kernelPair(t testing.TB) (a, b kernelNode) {
	t.Helper()
	a, b = kernelNode{netnstest.Need(t)}, kernelNode{netnstest.Need(t)}
	if err := join(a.NS, b.NS); err != nil {
		netnstest.Skip(t, err)
	}
	warm(&probe{TB: t, a: a, b: b})
	return a, b
}

func join(a, b *netns.NS) error {
	return b.Do(func() error {
		far, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer far.Close()
		err = a.Do(func() error {
			veth := netlink.NewVeth(netlink.LinkAttrs{Name: "eth0", MTU: 1500, TxQLen: -1})
			veth.PeerName, veth.PeerNamespace = "eth0", netlink.NsFd(far.Fd())
			if err := netlink.LinkAdd(veth); err != nil {
				return fmt.Errorf("make a veth pair: %w", err)
			}
			return configure(a4, a6)
		})
		if err != nil {
			return err
		}
		return configure(b4, b6)
	})
}

// configure gives eth0 its addresses, and makes it give up soon on a neighbour
// that does not answer: three seconds otherwise.
func configure(addrs ...netip.Prefix) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, p := range addrs {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %v: %w", p, err)
		}
	}
	for _, name := range []string{"ipv4/neigh/eth0/retrans_time_ms", "ipv6/neigh/eth0/retrans_time_ms"} {
		// The kernel hides these from user namespaces: it then takes its three
		// seconds, which ours does too.
		_ = os.WriteFile(filepath.Join("/proc/sys/net", name), []byte("20"), 0)
	}
	// Nobody has this hardware address: SYNs to it stay without any answer.
	err = netlink.NeighAdd(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: silent.Addr().AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0x66},
	})
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// silent is where nobody answers.
var silent = netip.MustParseAddrPort("192.0.2.66:9")

// warm lets the hosts learn each other's hardware addresses, so that no row
// sees the first packets wait for them. Nobody listens.
func warm(p *probe) {
	p.Helper()
	for from, addrs := range map[node][]netip.Addr{p.a: {b4.Addr(), b6.Addr()}, p.b: {a4.Addr(), a6.Addr()}} {
		for _, addr := range addrs {
			// The kernel needs a moment to find out that its link is up.
			eventually(p, "a neighbour answers", func() bool {
				_, err := from.Dial(within(p), net.Dialer{}, "tcp", netip.AddrPortFrom(addr, 9).String())
				return errors.Is(err, syscall.ECONNREFUSED)
			})
		}
	}
}

func (n kernelNode) Dial(ctx context.Context, d net.Dialer, network, address string) (c net.Conn, err error) {
	err = n.Do(func() error {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

func (n kernelNode) Listen(network, address string) (tcpListener, error) {
	l, err := n.NS.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return l.(tcpListener), nil
}

func (n kernelNode) ListenPacket(network, address string) (udpConn, error) {
	c, err := n.NS.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return c.(udpConn), nil
}

func (n kernelNode) ListenMulticast(network, group string) (c udpConn, err error) {
	addr := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(group))
	err = n.Do(func() error {
		// Not by name: package net caches names for all namespaces together.
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		u, err := net.ListenMulticastUDP(network, &net.Interface{Index: link.Attrs().Index}, addr)
		if err == nil {
			c = u
		}
		return err
	})
	return c, err
}

// control runs f on the descriptor of a connection or listener.
func control(x any, f func(fd int)) {
	rc, err := x.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) { f(int(fd)) })
}

func (kernelNode) Events(x any) (ev socketapi.Events) {
	control(x, func(fd int) { ev = pollFD(fd) })
	return ev
}

// pollFD is poll(2) without waiting.
func pollFD(fd int) socketapi.Events {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return 0
	}
	return socketapi.Events(uint16(fds[0].Revents))
}

func (kernelNode) Queued(x any) (n int) {
	control(x, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCINQ) })
	return n
}

func (kernelNode) Unacked(x any) (n int) {
	control(x, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
	return n
}

func (kernelNode) Option(x any, o socketapi.Option) (v int) {
	k := kernelOptions[o]
	control(x, func(fd int) { v, _ = unix.GetsockoptInt(fd, k.level, k.name) })
	return v
}

func (kernelNode) SetOption(x any, o socketapi.Option, v int) (err error) {
	k := kernelOptions[o]
	control(x, func(fd int) { err = unix.SetsockoptInt(fd, k.level, k.name, v) })
	return err
}

// ourNode is a host that is a stack of ours.
type ourNode struct{ *stack.Stack }

func (n ourNode) Dial(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	return (&socketapi.Dialer{
		Stack: n.Stack, Timeout: d.Timeout, Deadline: d.Deadline, LocalAddr: d.LocalAddr,
		FallbackDelay: d.FallbackDelay, KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig,
	}).DialContext(ctx, network, address)
}

func (n ourNode) Listen(network, address string) (tcpListener, error) {
	l, err := socketapi.Listen(n.Stack, network, address)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (n ourNode) ListenPacket(network, address string) (udpConn, error) {
	c, err := socketapi.ListenUDP(n.Stack, network, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (n ourNode) ListenMulticast(network, group string) (udpConn, error) {
	c, err := socketapi.ListenMulticastUDP(n.Stack, network, n.NICs()[0].Name(), group)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (ourNode) Events(x any) socketapi.Events {
	return x.(socketapi.Pollable).Socket().Ready() &^ socketapi.EventAcked
}

func (ourNode) Queued(x any) int {
	if u, ok := x.(*socketapi.UDPConn); ok {
		return u.ReceiveBuffer().Next
	}
	_, rcv := x.(socketapi.Pollable).Socket().Buffers()
	return rcv.Queued
}

func (ourNode) Unacked(x any) int {
	snd, _ := x.(socketapi.Pollable).Socket().Buffers()
	return snd.Queued
}

func (ourNode) Option(x any, o socketapi.Option) int {
	v, _ := x.(socketapi.Pollable).Socket().Option(o)
	return v
}

func (ourNode) SetOption(x any, o socketapi.Option, v int) error {
	return x.(socketapi.Pollable).Socket().SetOption(o, v)
}

// kernelOptions are the options by the kernel's numbers.
var kernelOptions = map[socketapi.Option]struct{ level, name int }{
	socketapi.SO_SNDBUF:     {unix.SOL_SOCKET, unix.SO_SNDBUF},
	socketapi.SO_RCVBUF:     {unix.SOL_SOCKET, unix.SO_RCVBUF},
	socketapi.SO_RCVLOWAT:   {unix.SOL_SOCKET, unix.SO_RCVLOWAT},
	socketapi.SO_REUSEADDR:  {unix.SOL_SOCKET, unix.SO_REUSEADDR},
	socketapi.SO_REUSEPORT:  {unix.SOL_SOCKET, unix.SO_REUSEPORT},
	socketapi.SO_KEEPALIVE:  {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	socketapi.SO_BROADCAST:  {unix.SOL_SOCKET, unix.SO_BROADCAST},
	socketapi.SO_TIMESTAMP:  {unix.SOL_SOCKET, unix.SO_TIMESTAMP},
	socketapi.SO_NO_CHECK:   {unix.SOL_SOCKET, unix.SO_NO_CHECK},
	socketapi.SO_ERROR:      {unix.SOL_SOCKET, unix.SO_ERROR},
	socketapi.SO_TYPE:       {unix.SOL_SOCKET, unix.SO_TYPE},
	socketapi.SO_PROTOCOL:   {unix.SOL_SOCKET, unix.SO_PROTOCOL},
	socketapi.SO_DOMAIN:     {unix.SOL_SOCKET, unix.SO_DOMAIN},
	socketapi.SO_ACCEPTCONN: {unix.SOL_SOCKET, unix.SO_ACCEPTCONN},

	socketapi.TCP_NODELAY:       {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	socketapi.TCP_CORK:          {unix.IPPROTO_TCP, unix.TCP_CORK},
	socketapi.TCP_MAXSEG:        {unix.IPPROTO_TCP, unix.TCP_MAXSEG},
	socketapi.TCP_KEEPIDLE:      {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	socketapi.TCP_KEEPINTVL:     {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	socketapi.TCP_KEEPCNT:       {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	socketapi.TCP_USER_TIMEOUT:  {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	socketapi.TCP_LINGER2:       {unix.IPPROTO_TCP, unix.TCP_LINGER2},
	socketapi.TCP_DEFER_ACCEPT:  {unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
	socketapi.TCP_QUICKACK:      {unix.IPPROTO_TCP, unix.TCP_QUICKACK},
	socketapi.TCP_NOTSENT_LOWAT: {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT},
	socketapi.TCP_INQ:           {unix.IPPROTO_TCP, unix.TCP_INQ},

	socketapi.IP_TTL:            {unix.IPPROTO_IP, unix.IP_TTL},
	socketapi.IP_TOS:            {unix.IPPROTO_IP, unix.IP_TOS},
	socketapi.IP_MTU_DISCOVER:   {unix.IPPROTO_IP, unix.IP_MTU_DISCOVER},
	socketapi.IP_MULTICAST_TTL:  {unix.IPPROTO_IP, unix.IP_MULTICAST_TTL},
	socketapi.IP_MULTICAST_LOOP: {unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP},
	socketapi.IP_RECVTTL:        {unix.IPPROTO_IP, unix.IP_RECVTTL},
	socketapi.IP_RECVTOS:        {unix.IPPROTO_IP, unix.IP_RECVTOS},
	socketapi.IP_PKTINFO:        {unix.IPPROTO_IP, unix.IP_PKTINFO},

	socketapi.IPV6_V6ONLY:         {unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
	socketapi.IPV6_UNICAST_HOPS:   {unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS},
	socketapi.IPV6_TCLASS:         {unix.IPPROTO_IPV6, unix.IPV6_TCLASS},
	socketapi.IPV6_MULTICAST_HOPS: {unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS},
	socketapi.IPV6_MULTICAST_LOOP: {unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP},
	socketapi.IPV6_RECVPKTINFO:    {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO},
	socketapi.IPV6_RECVHOPLIMIT:   {unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT},
	socketapi.IPV6_RECVTCLASS:     {unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS},
}
