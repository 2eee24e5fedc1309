package tap

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An administrator's TAP is used and left as it was found.
func TestAdopt(t *testing.T) {
	ns := needTAP(t)
	addPersistentTAP(t, ns, "tap7")
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	do(t, ns, func() error {
		link, err := netlink.LinkByName("tap7")
		if err != nil {
			return err
		}
		addr, _ := netlink.ParseAddr("10.7.0.1/24")
		return errors.Join(netlink.LinkSetMTU(link, 1400), netlink.LinkSetHardwareAddr(link, mac), netlink.AddrAdd(link, addr))
	})
	before := features(t, ns, "tap7")
	d := openTAP(t, ns, &Config{Name: "tap7", Adopt: true})
	if features(t, ns, "tap7") == before {
		t.Error("no feature of the interface has changed: what is to be put back?")
	}
	if d.Name() != "tap7" || d.MTU() != 1400 || Describe(d).Driver != "offload" {
		t.Errorf("%s, MTU %d, %+v", d.Name(), d.MTU(), Describe(d))
	}
	r := rig{dev: d, far: packetSocket(t, ns, "tap7")}
	defer r.far.Close()
	testOrder(t, r)

	do(t, ns, func() error {
		if _, err := Open(&Config{Name: "tap7", Adopt: true}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("adopted twice: %v, want EBUSY", err)
		}
		if _, err := Open(&Config{Name: "tap7", Adopt: true, Queues: 2}); err == nil {
			t.Error("one queue became two")
		}
		if _, err := Open(&Config{Name: "tap8", Adopt: true}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "ip tuntap add tap8") {
			t.Errorf("what is not there: %v", err)
		}
		if _, err := Open(&Config{Name: "lo", Adopt: true}); err == nil || !strings.Contains(err.Error(), "not a TAP") {
			t.Errorf("what is not a TAP: %v", err)
		}
		return nil
	})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if after := features(t, ns, "tap7"); after != before {
		t.Errorf("features %x, were %x", after, before)
	}
	do(t, ns, func() error {
		link, err := netlink.LinkByName("tap7")
		if err != nil {
			return err // gone: it was made to be persistent
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if a := link.Attrs(); a.MTU != 1400 || a.HardwareAddr.String() != mac.String() || len(addrs) != 1 {
			t.Errorf("left behind: %+v, addresses %v", a, addrs)
		}
		return err
	})
}

// blockingTAP is a TAP's file as a parent that passes it on has it. It acts in
// the thread's namespace.
func blockingTAP(name string, flags uint16) (*os.File, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), tunPath)
	req := ifreq{flags: flags}
	copy(req.name[:], name)
	if err := ioctl(fd, unix.TUNSETIFF, unsafe.Pointer(&req)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// A device from a file that somebody else has opened.
func TestFromFile(t *testing.T) {
	ns := needTAP(t)
	for _, c := range []struct {
		driver string
		flags  uint16
	}{
		{"offload", unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR},
		{"plain", unix.IFF_TAP | unix.IFF_NO_PI},
	} {
		t.Run(c.driver, func(t *testing.T) {
			testContract(t, func(t *testing.T) rig {
				var d Device
				do(t, ns, func() error {
					f, err := blockingTAP("tap%d", c.flags)
					if err != nil {
						return err
					}
					if d, err = FromFile(f, nil); err != nil {
						return err
					}
					if err := f.Close(); err == nil {
						t.Error("the file was not taken over")
					}
					return nil
				})
				setUp(t, ns, d.Name(), true)
				if got := Describe(d).Driver; got != c.driver {
					t.Errorf("driver %q", got)
				}
				return rig{dev: d, far: packetSocket(t, ns, d.Name())}
			})
		})
	}
	fds := openFiles(t)
	do(t, ns, func() error {
		f, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		if _, err := FromFile(f, nil); err == nil || !strings.Contains(err.Error(), "not a TAP") {
			t.Errorf("/dev/null: %v", err)
		}
		return nil
	})
	if n := openFiles(t); n != fds {
		t.Errorf("%d open files, were %d", n, fds)
	}
}

// What an administrator does to the interface is seen.
func TestWatch(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil)
	seen := make(chan Interface, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Watch(d, func(i Interface) { seen <- i })
	}()
	do(t, ns, func() error {
		link, err := netlink.LinkByName(d.Name())
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetMTU(link, 1300), netlink.LinkSetDown(link))
	})
	for i := range seen {
		if i.MTU == 1300 && !i.Up {
			break
		}
	}
	if d.MTU() != 1300 {
		t.Errorf("the device has MTU %d", d.MTU())
	}
	i, err := InterfaceOf(d)
	if err != nil || i.Up || i.MTU != 1300 || i.TxQueueLen != defaultTxQueueLen {
		t.Errorf("%+v, %v", i, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := InterfaceOf(d); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	a, b := Pipe(nil)
	defer a.Close()
	defer b.Close()
	if _, err := InterfaceOf(a); err == nil {
		t.Error("a pipe has an interface")
	}
	Watch(a, nil) // returns
}

// Several queues carry frames to the same interface.
func TestQueues(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, &Config{Queues: 3})
	if n := len(d.Queues()); n != 3 {
		t.Fatalf("%d queues", n)
	}
	far := packetSocket(t, ns, d.Name())
	defer far.Close()
	for i, q := range d.Queues() {
		frame := testFrame(100, uint32(i))
		if err := q.Write([][]byte{frame}, Offload{}); err != nil {
			t.Fatal(err)
		}
		rig{dev: d, far: far}.expectFar(t, frame)
	}
}
