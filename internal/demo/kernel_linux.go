package demo

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	xipv4 "golang.org/x/net/ipv4"
	xipv6 "golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// kernelHost is the kernel at the other end of the TAP. The whole program runs
// in the namespace that has the TAP, so package net reaches it.
type kernelHost struct{ tap string }

func newKernelHost(tap string) (host, error) { return kernelHost{tap}, nil }

func (kernelHost) name() string { return "kernel" }

func (kernelHost) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	return d.DialContext(ctx, network, address)
}

func (kernelHost) listen(network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // an MPTCP socket does not answer SIOCINQ
	return lc.Listen(context.Background(), network, address)
}

func (kernelHost) ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	network, local, proto := "ip4:icmp", "0.0.0.0", 1
	var request, reply icmp.Type = xipv4.ICMPTypeEcho, xipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, local, proto = "ip6:ipv6-icmp", "::", 58
		request, reply = xipv6.ICMPTypeEchoRequest, xipv6.ICMPTypeEchoReply
	}
	c, err := icmp.ListenPacket(network, local)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	id := os.Getpid() & 0xffff
	msg, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: 1, Data: []byte("tapstack")}}).Marshal(nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := c.WriteTo(msg, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, err
	}
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return 0, err
		}
		// A raw socket sees all ICMP of the namespace.
		m, err := icmp.ParseMessage(proto, b[:n])
		if err != nil || m.Type != reply || from.String() != to.String() {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id {
			return time.Since(start), nil
		}
	}
}

func (kernelHost) sendQueue(c net.Conn) (int, error) {
	return control(c, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
}

func (kernelHost) receiveQueue(c net.Conn) (int, error) {
	return control(c, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCINQ) })
}

func (kernelHost) writable(c net.Conn) (bool, error) {
	n, err := control(c, func(fd int) (int, error) {
		return unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	})
	return n > 0, err
}

// control asks the kernel something about a socket.
func control(c net.Conn, ask func(fd int) (int, error)) (n int, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T is not a kernel socket", c)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := rc.Control(func(fd uintptr) { n, err = ask(int(fd)) }); e != nil {
		return 0, e
	}
	return n, err
}

func (h kernelHost) neighbours() (map[netip.Addr]string, error) {
	link, err := netlink.LinkByName(h.tap)
	if err != nil {
		return nil, err
	}
	out := make(map[netip.Addr]string)
	list, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
	for _, n := range list {
		if a, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) == 6 {
			out[a.Unmap()] = n.HardwareAddr.String()
		}
	}
	return out, err
}

// counters reads the namespace's own: RetransSegs of /proc/net/snmp, the
// causes of /proc/net/netstat by which a received segment is lost, and the
// TAP's drops.
func (h kernelHost) counters() (hostCounters, error) {
	var c hostCounters
	for _, f := range []struct {
		file, proto string
		names       []string
		sum         *uint64
	}{
		{"/proc/self/net/snmp", "Tcp:", []string{"RetransSegs"}, &c.Retransmits},
		{"/proc/self/net/netstat", "TcpExt:", []string{"TCPBacklogDrop", "TCPRcvQDrop", "PruneCalled", "RcvPruned", "OfoPruned"}, &c.Drops},
	} {
		values, err := procTable(f.file, f.proto)
		if err != nil {
			return c, err
		}
		for _, name := range f.names {
			*f.sum += values[name]
		}
	}
	link, err := netlink.LinkByName(h.tap)
	if err != nil {
		return c, err
	}
	if st := link.Attrs().Statistics; st != nil {
		c.Drops += st.RxDropped + st.TxDropped + st.RxErrors + st.TxErrors
	}
	return c, nil
}

// procTable reads the two lines of a protocol, names and values.
func procTable(file, proto string) (map[string]uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 || fields[0] != proto {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		out := make(map[string]uint64, len(fields))
		for i := 1; i < min(len(names), len(fields)); i++ {
			// MaxConn is -1; nothing asks for it.
			out[names[i]], _ = strconv.ParseUint(fields[i], 10, 64)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s: no %s", file, proto)
}

func (kernelHost) close() {}
