package tap

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

const (
	plainTAP   = unix.IFF_TAP | unix.IFF_NO_PI
	offloadTAP = plainTAP | unix.IFF_VNET_HDR
)

// given is a device of a file that the test has a second descriptor of.
func given(t *testing.T, ns *netns.NS, flags uint16, cfg *Config) (d Device, other *os.File) {
	t.Helper()
	do(t, ns, func() error {
		f, err := blockingTAP("tap%d", flags)
		if err != nil {
			return err
		}
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		other = os.NewFile(uintptr(fd), "other")
		d, err = FromFile(f, cfg)
		return err
	})
	t.Cleanup(func() { d.Close(); other.Close() })
	setUp(t, ns, d.Name(), true)
	return d, other
}

// Whoever has the file too may make it blocking. A read that then waits in the
// kernel would stop the whole program at the next garbage collection, so this
// test collects none, and ends such a read with a frame.
func TestFromFileMadeBlocking(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.NumCPU())))
	ns := needTAP(t)
	for name, flags := range map[string]uint16{"plain": plainTAP, "offload": offloadTAP} {
		t.Run(name, func(t *testing.T) {
			d, other := given(t, ns, flags, nil)
			if err := unix.SetNonblock(int(other.Fd()), false); err != nil {
				t.Fatal(err)
			}
			q := d.Queues()[0].(*fileQueue)
			far := packetSocket(t, ns, d.Name())
			defer far.Close()
			r := rig{dev: d, far: far}
			r.send(t, testFrame(60, 0))
			r.expectRead(t, testFrame(60, 0))
			if q.shared.mayBlock.Load() {
				t.Skip("this kernel's TUN driver does not know RWF_NOWAIT")
			}
			rescue := time.AfterFunc(10*time.Second, func() { _, _ = far.Write(testFrame(60, 9)) })
			defer rescue.Stop()
			q.spin.limit = 0
			q.rd.load([][]byte{make([]byte, 2000)}, q.vnet)
			if err := q.conn.Control(func(fd uintptr) {
				if q.tryRead(fd) {
					t.Errorf("a read of an empty queue has waited: %d bytes, %v", q.rd.n, q.rd.errno)
				}
			}); err != nil {
				t.Fatal(err)
			}
			q.rd.unload()
			r.send(t, testFrame(60, 1))
			r.expectRead(t, testFrame(60, 1))
			r.write(t, testFrame(60, 2))
			r.expectFar(t, testFrame(60, 2))
		})
	}
}

// activeFeatures is what "ethtool -k" shows as on, a bit each.
type activeFeatures [2]uint32

// features asks for an interface's (ETHTOOL_GFEATURES).
func features(t *testing.T, ns *netns.NS, name string) (on activeFeatures) {
	t.Helper()
	req := struct {
		cmd, size uint32
		blocks    [len(on)]struct{ available, requested, active, never uint32 }
	}{cmd: unix.ETHTOOL_GFEATURES, size: uint32(len(on))}
	ifr := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&req)}
	copy(ifr.name[:], name)
	do(t, ns, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return ioctl(fd, unix.SIOCETHTOOL, unsafe.Pointer(&ifr))
	})
	for i := range on {
		on[i] = req.blocks[i].active
	}
	return on
}

// What is given is given back without offloads, and a plain file has none
// whoever had it before.
func TestFromFileOffloadsOff(t *testing.T) {
	ns := needTAP(t)
	d, other := given(t, ns, plainTAP, nil)
	off := features(t, ns, d.Name())
	if err := setOffloads([]*os.File{other}, Offloads{Csum: true, TSO4: true}); err != nil {
		t.Fatal(err)
	}
	if features(t, ns, d.Name()) == off {
		t.Fatal("offloads show as no feature")
	}
	do(t, ns, func() error {
		fd, err := unix.FcntlInt(other.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		again, err := FromFile(os.NewFile(uintptr(fd), "again"), nil)
		if err != nil {
			return err
		}
		return again.Close()
	})
	if got := features(t, ns, d.Name()); got != off {
		t.Errorf("a plain device with features %x, without offloads it has %x", got, off)
	}

	d, _ = given(t, ns, offloadTAP, nil)
	if features(t, ns, d.Name()) == off {
		t.Error("an offload device without features")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := features(t, ns, d.Name()); got != off {
		t.Errorf("left behind with features %x, without offloads it has %x", got, off)
	}
}

// What this package cannot make frames of is refused, and closed.
func TestFromFileRefused(t *testing.T) {
	ns := needTAP(t)
	fds := openFiles(t)
	for _, c := range []struct {
		flags uint16
		say   string
	}{
		{unix.IFF_TAP, "IFF_NO_PI"},
		{unix.IFF_TAP | unix.IFF_VNET_HDR, "IFF_NO_PI"},
		{unix.IFF_TUN | unix.IFF_NO_PI, "Ethernet"},
	} {
		do(t, ns, func() error {
			f, err := blockingTAP("", c.flags)
			if err != nil {
				return err
			}
			if _, err := FromFile(f, nil); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("flags %#x: %v, want %q", c.flags, err, c.say)
			}
			return nil
		})
	}
	if n := openFiles(t); n != fds {
		t.Errorf("%d open files, were %d", n, fds)
	}
}

// The MTU given is a limit, whatever the interface's becomes.
func TestFromFileMTU(t *testing.T) {
	ns := needTAP(t)
	for name, flags := range map[string]uint16{"plain": plainTAP, "offload": offloadTAP} {
		t.Run(name, func(t *testing.T) {
			d, _ := given(t, ns, flags, &Config{MTU: 1400})
			w := startWatcher(d, 0)
			for _, mtu := range []struct{ set, want int }{{1500, 1400}, {1300, 1300}, {9000, 1400}} {
				setMTU(t, ns, d.Name(), mtu.set)
				w.untilMTU(t, mtu.set)
				if got := d.MTU(); got != mtu.want {
					t.Errorf("interface %d, device %d, want %d", mtu.set, got, mtu.want)
				}
			}
			d.Close()
			w.untilEnd()
			if d, _ := given(t, ns, flags, &Config{MTU: 9000}); d.MTU() != 1500 {
				t.Errorf("asked for 9000 of 1500: %d", d.MTU())
			}
		})
	}
	do(t, ns, func() error {
		f, err := blockingTAP("", plainTAP)
		if err != nil {
			return err
		}
		if _, err := FromFile(f, &Config{MTU: 10}); err == nil || !strings.Contains(err.Error(), "68") {
			t.Errorf("MTU 10: %v", err)
		}
		return nil
	})
}

// Where the kernel has no RWF_NOWAIT for the file, frames pass all the same.
func TestFromFileMayBlock(t *testing.T) {
	ns := needTAP(t)
	testContract(t, func(t *testing.T) rig {
		d, _ := given(t, ns, offloadTAP, nil)
		d.Queues()[0].(*fileQueue).shared.mayBlock.Store(true)
		return rig{dev: d, far: packetSocket(t, ns, d.Name())}
	})
}
