package metrics

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
)

// The kernel's own counters of a TAP: what found its queue full is in them and
// nowhere else.
func TestKernelCounters(t *testing.T) {
	ns := netnstest.Need(t)
	var dev tap.Device
	err := ns.Do(func() (err error) {
		dev, err = tap.Open(&tap.Config{Name: "tap0", Host: []netip.Prefix{client}, TxQueueLen: 5})
		return err
	})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		netnstest.Skip(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	// Nobody reads: what the kernel sends beyond its queue is dropped. To an
	// address that needs no answer to who has it.
	c, err := ns.ListenPacket("udp", netip.AddrPortFrom(client.Addr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 50 {
		if err := sendMulticast(c); err != nil {
			t.Fatal(err)
		}
	}
	_, s, _ := pair(t)
	all := scrape(t, New(Config{Stack: s, Devices: func() []tap.Device { return []tap.Device{dev} }}))
	if got := value(t, all, "nic_kernel_queue_frames", "tap0"); got != 5 {
		t.Errorf("a queue of %v", got)
	}
	i, err := tap.InterfaceOf(dev)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, all, "nic_kernel_drops_total", "tap0", "to_stack"); got == 0 || got > float64(i.TxDropped) {
		t.Errorf("%v drops, the kernel says %d", got, i.TxDropped)
	}
	if got := value(t, all, "nic_kernel_drops_total", "tap0", "from_stack"); got != float64(i.RxDropped) {
		t.Errorf("%v drops, the kernel says %d", got, i.RxDropped)
	}
}

// sendMulticast sends a datagram to a group: it leaves by the interface of the
// socket's address, and needs neither route nor neighbour.
func sendMulticast(c net.PacketConn) error {
	rc, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	err = rc.Control(func(fd uintptr) {
		setErr = unix.SetsockoptInet4Addr(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, client.Addr().As4())
	})
	if err = errors.Join(err, setErr); err != nil {
		return err
	}
	_, err = c.WriteTo(make([]byte, 100), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("224.0.0.99:9")))
	return err
}
