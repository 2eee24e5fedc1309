package tap

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

// rawFile is a blocking file that allocates nothing and gives up on a Read
// after its socket's timeout.
type rawFile int

func (f rawFile) Read(p []byte) (int, error)  { return again(unix.Read, int(f), p) }
func (f rawFile) Write(p []byte) (int, error) { return again(unix.Write, int(f), p) }
func (f rawFile) Close() error                { return unix.Close(int(f)) }

// again repeats what a signal has interrupted: the runtime preempts by signals,
// and SA_RESTART does not hold for a socket with a timeout (signal(7)).
func again(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		if n, err := call(fd, p); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// farTimeout is for tests that are about to fail.
var farTimeout = unix.Timeval{Sec: 10}

// The queue of a TAP's file, with a socket in the file's place: it needs no
// privilege, and unlike a TAP it gets full.
func TestFileContract(t *testing.T) {
	testContract(t, func(t *testing.T) rig {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unix.SetNonblock(fds[0], true),
			unix.SetsockoptTimeval(fds[1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &farTimeout)); err != nil {
			t.Fatal(err)
		}
		d := newDevice("file0", 1500, "plain", "")
		if err := d.addFile(os.NewFile(uintptr(fds[0]), "socket"), false, 0); err != nil {
			t.Fatal(err)
		}
		return rig{dev: d, far: rawFile(fds[1]), fill: true}
	})
}

// A TAP of either driver, with a packet socket as the kernel's end.
func TestTAPContract(t *testing.T) {
	ns := needTAP(t)
	for _, c := range []struct {
		name, driver string
		cfg          Config
	}{
		{"plain", "plain", Config{Plain: true}},
		{"offload", "offload", Config{}},
		{"offload without spinning", "offload", Config{Spin: -1}},
		{"offload headers, all offloads off", "offload", Config{Without: Offloads{Csum: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testContract(t, func(t *testing.T) rig {
				d := openTAP(t, ns, &c.cfg)
				if got := Describe(d).Driver; got != c.driver {
					t.Fatalf("the driver is %q: %s", got, Describe(d).Note)
				}
				return rig{dev: d, far: packetSocket(t, ns, d.Name())}
			})
		})
	}
}

// needTAP returns a namespace in which a TAP can be had, and where no traffic
// is but ours: with IPv6 the kernel would send frames on its own.
func needTAP(t *testing.T) *netns.NS {
	t.Helper()
	ns := netnstest.Need(t)
	if err := ns.Do(func() error {
		d, err := Open(nil)
		if err != nil {
			return err
		}
		return d.Close()
	}); err != nil {
		netnstest.Skip(t, err)
	}
	setIPv6(t, ns, false)
	return ns
}

// setIPv6 switches IPv6 for interfaces to come.
func setIPv6(t *testing.T, ns *netns.NS, on bool) {
	t.Helper()
	value := "1"
	if on {
		value = "0"
	}
	do(t, ns, func() error {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte(value), 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a kernel without IPv6
		}
		return err
	})
}

func do(t testing.TB, ns *netns.NS, fn func() error) {
	t.Helper()
	if err := ns.Do(fn); err != nil {
		t.Fatal(err)
	}
}

func openTAP(t *testing.T, ns *netns.NS, cfg *Config) (d Device) {
	t.Helper()
	do(t, ns, func() (err error) { d, err = Open(cfg); return err })
	t.Cleanup(func() { d.Close() })
	return d
}

// packetSocket is a packet socket on the interface: a frame written to it is
// sent through the interface, a frame it received is read.
func packetSocket(t testing.TB, ns *netns.NS, name string) (far io.ReadWriteCloser) {
	t.Helper()
	do(t, ns, func() error {
		iface, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		far = rawFile(fd)
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &farTimeout),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: iface.Index}))
	})
	return far
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// Into the kernel, which has no use for the frame.
func BenchmarkTAPWrite(b *testing.B) {
	ns := netnstest.Need(b)
	var d Device
	if err := ns.Do(func() (err error) { d, err = Open(nil); return err }); err != nil {
		netnstest.Skip(b, err)
	}
	defer d.Close()
	out := split(testFrame(1514, 1), 757)
	b.SetBytes(1514)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Queues()[0].Write(out, Offload{}); err != nil {
			b.Fatal(err)
		}
	}
}

// From the kernel: a packet socket's write, which is not timed, and our read.
func BenchmarkTAPRead(b *testing.B) {
	ns := netnstest.Need(b)
	var d Device
	if err := ns.Do(func() (err error) { d, err = Open(nil); return err }); err != nil {
		netnstest.Skip(b, err)
	}
	defer d.Close()
	far := packetSocket(b, ns, d.Name())
	defer far.Close()
	q, frame := d.Queues()[0], testFrame(1514, 1)
	in := [][]byte{make([]byte, 2048), make([]byte, 64<<10)}
	// Queued in advance, in portions that the kernel's queue holds.
	const portion = 1000
	b.SetBytes(1514)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += portion {
		n := min(portion, b.N-done)
		b.StopTimer()
		for range n {
			if _, err := far.Write(frame); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for range n {
			if _, _, err := q.Read(in); err != nil {
				b.Fatal(err)
			}
		}
	}
}
