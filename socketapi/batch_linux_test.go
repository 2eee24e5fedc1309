package socketapi_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// TestBatchToTheKernel: what a batch sends through a TAP is what the kernel's
// sockets receive, joined or not, and the kernel finds no checksum wrong.
func TestBatchToTheKernel(t *testing.T) {
	ns := netnstest.Need(t)
	for name, cfg := range map[string]tap.Config{
		"all offloads": {},
		"two queues":   {Queues: 2},
		"without USO":  {Without: tap.Offloads{USO: true}},
		"without csum": {Without: tap.Offloads{Csum: true}},
		"plain":        {Plain: true},
	} {
		t.Run(name, func(t *testing.T) { batchToTheKernel(t, ns, cfg) })
	}
}

func batchToTheKernel(t *testing.T, ns *netns.NS, cfg tap.Config) {
	cfg.Host = []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24"), netip.MustParsePrefix("fd01::1/64")}
	var dev tap.Device
	if err := ns.Do(func() (err error) { dev, err = tap.Open(&cfg); return err }); err != nil {
		netnstest.Skip(t, err)
	}
	s := host(t, dev, nil, netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd01::2/64"))
	defer s.Close()
	before := udpCounters(t, ns)
	for i, family := range []string{"IPv4", "IPv6"} {
		for name, sizes := range shapes {
			t.Run(family+", "+name, func(t *testing.T) {
				in := listenKernel(t, ns, cfg.Host[i].Addr())
				c, err := (&socketapi.Dialer{Stack: s}).DialContext(within(t), "udp", in.LocalAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				bounded(t, c, in)
				if _, err := c.Write([]byte("first")); err != nil {
					t.Fatal(err)
				}
				if _, err := in.Read(make([]byte, 9)); err != nil {
					t.Fatal(err)
				}
				msgs := noise(1, sizes...)
				if n, err := c.(*socketapi.UDPConn).WriteBatch(msgs); n != len(msgs) || err != nil {
					t.Fatal(n, err)
				}
				expect(t, in.Read, msgs)
			})
		}
		t.Run(family+", interleaved", func(t *testing.T) { interleavedToTheKernel(t, ns, s, cfg.Host[i].Addr()) })
	}
	for name, n := range udpCounters(t, ns) {
		if n != before[name] {
			t.Errorf("the kernel's %s went from %s to %s", name, before[name], n)
		}
	}
	if st := s.Stats().NICs[0]; (st.Merged > 0) != dev.Offloads().USO || st.DropMerged != 0 || st.Device.TxDrops.Total() != 0 {
		t.Errorf("USO %v, %d merged, %d of them lost, %+v", dev.Offloads().USO, st.Merged, st.DropMerged, st.Device.TxDrops)
	}
}

// interleavedToTheKernel sends to three sockets in turns, in runs of three.
func interleavedToTheKernel(t *testing.T, ns *netns.NS, s *stack.Stack, addr netip.Addr) {
	out, err := socketapi.ListenUDP(s, "udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	bounded(t, out)
	msgs := noise(2, make([]int, 90)...)
	each := make([][]socketapi.Message, 3)
	var in []*net.UDPConn
	for range each {
		in = append(in, listenKernel(t, ns, addr))
	}
	for i := range msgs {
		k := i / 3 % len(each)
		msgs[i].Buffers = [][]byte{fmt.Appendf(nil, "%3d to %d", i, k)}
		msgs[i].Addr = in[k].LocalAddr().(*net.UDPAddr).AddrPort()
		each[k] = append(each[k], msgs[i])
	}
	if n, err := out.WriteBatch(msgs); n != len(msgs) || err != nil {
		t.Fatal(n, err)
	}
	for k := range in {
		expect(t, in[k].Read, each[k])
	}
}

// listenKernel opens one of the kernel's UDP sockets, with room for a batch.
func listenKernel(t *testing.T, ns *netns.NS, addr netip.Addr) *net.UDPConn {
	t.Helper()
	pc, err := ns.ListenPacket("udp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	in := pc.(*net.UDPConn)
	rc, err := in.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	err = rc.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	})
	if err := errors.Join(err, optErr); err != nil {
		t.Logf("a receive buffer of the kernel's choice: %v", err)
	}
	_ = in.SetDeadline(time.Now().Add(30 * time.Second))
	return in
}

// udpCounters are the namespace's counts of received datagrams that it found
// something wrong with.
func udpCounters(t *testing.T, ns *netns.NS) map[string]string {
	t.Helper()
	var v4, v6 []byte
	if err := ns.Do(func() (err error) {
		if v4, err = os.ReadFile("/proc/thread-self/net/snmp"); err == nil {
			v6, err = os.ReadFile("/proc/thread-self/net/snmp6")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	counters := make(map[string]string)
	var names []string
	for line := range strings.Lines(string(v4)) { // names and numbers in turns
		f := strings.Fields(line)
		if f[0] != "Udp:" {
			continue
		}
		for i := range names {
			counters[names[i]] = f[i]
		}
		names = f
	}
	for line := range strings.Lines(string(v6)) {
		if f := strings.Fields(line); len(f) == 2 {
			counters[f[0]] = f[1]
		}
	}
	wrong := make(map[string]string)
	for _, name := range []string{"InErrors", "InCsumErrors", "RcvbufErrors", "Udp6InErrors", "Udp6InCsumErrors", "Udp6RcvbufErrors"} {
		n, ok := counters[name]
		if !ok {
			t.Fatalf("no counter %s in\n%s\n%s", name, v4, v6)
		}
		wrong[name] = n
	}
	return wrong
}
