package tap

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

func TestOpenConfigures(t *testing.T) {
	ns := needTAP(t)
	setIPv6(t, ns, true)
	cfg := &Config{
		Name:         "test-tap.0",
		MTU:          9000,
		Host:         []netip.Prefix{netip.MustParsePrefix("10.9.8.1/24"), netip.MustParsePrefix("fd00::1/64")},
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
	}
	d := openTAP(t, ns, cfg)
	if d.Name() != cfg.Name || d.MTU() != 9000 || len(d.Queues()) != 1 {
		t.Errorf("%s, MTU %d, %d queues, offloads %v", d.Name(), d.MTU(), len(d.Queues()), d.Offloads())
	}
	do(t, ns, func() error {
		iface, err := net.InterfaceByName(cfg.Name)
		if err != nil {
			return err
		}
		if iface.MTU != 9000 || iface.Flags&net.FlagUp == 0 || !bytes.Equal(iface.HardwareAddr, cfg.HardwareAddr) {
			t.Errorf("the interface is %+v", iface)
		}
		return nil
	})
	// At once: IPv6 does not look for duplicates first.
	for _, p := range cfg.Host {
		c, err := ns.ListenPacket("udp", netip.AddrPortFrom(p.Addr(), 0).String())
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
}

func TestOpenDefaults(t *testing.T) {
	ns := needTAP(t)
	a, b := openTAP(t, ns, nil), openTAP(t, ns, &Config{KeepDown: true})
	if a.Name() != "tap0" || b.Name() != "tap1" || a.MTU() != 1500 {
		t.Errorf("%s and %s, MTU %d", a.Name(), b.Name(), a.MTU())
	}
	if up := isUp(t, ns, a.Name()); !up {
		t.Error("the first is down")
	}
	if up := isUp(t, ns, b.Name()); up {
		t.Error("the second is up")
	}
}

// The interface may be kept down and have its addresses all the same.
func TestOpenKeepDownWithAddresses(t *testing.T) {
	ns := needTAP(t)
	setIPv6(t, ns, true)
	d := openTAP(t, ns, &Config{KeepDown: true, Host: []netip.Prefix{netip.MustParsePrefix("10.9.8.1/24"), netip.MustParsePrefix("fd00::1/64")}})
	setUp(t, ns, d.Name(), true)
	for _, addr := range []string{"10.9.8.1:0", "[fd00::1]:0"} {
		c, err := ns.ListenPacket("udp", addr)
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
}

func isUp(t *testing.T, ns *netns.NS, name string) (up bool) {
	t.Helper()
	do(t, ns, func() error {
		iface, err := net.InterfaceByName(name)
		if err == nil {
			up = iface.Flags&net.FlagUp != 0
		}
		return err
	})
	return up
}

// Somebody else's persistent TAP keeps its name, and stays.
func TestOpenExistingName(t *testing.T) {
	ns := needTAP(t)
	addPersistentTAP(t, ns, "tap7")
	fds := openFiles(t)
	do(t, ns, func() error {
		_, err := Open(&Config{Name: "tap7"})
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "or adopt it") {
			t.Errorf("%v, want fs.ErrExist and what to do", err)
		}
		ifs, err := net.Interfaces()
		if len(ifs) < 2 || ifs[len(ifs)-1].Name != "tap7" {
			t.Errorf("the interfaces are now %v", ifs)
		}
		return err
	})
	if n := openFiles(t); n != fds {
		t.Errorf("%d open files, were %d", n, fds)
	}
}

// Every step of Open fails once, and leaves no interface and no file.
func TestOpenLeavesNothing(t *testing.T) {
	ns := needTAP(t)
	v6 := []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}
	for _, c := range []struct {
		name  string
		cfg   *Config
		spoil func() error // what the thread, which is thrown away, can no longer do
		want  error
		say   string
	}{
		{"success", nil, nil, nil, ""},
		{"invalid", &Config{MTU: 1}, nil, nil, "MTU 1 "},
		{"no driver", nil, hideTUN, fs.ErrNotExist, "modprobe tun"},
		{"no privilege", nil, dropCapabilities, fs.ErrPermission, "CAP_NET_ADMIN"},
		{"IPv6 is off", &Config{Host: v6}, nil, fs.ErrPermission, "disable_ipv6=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fds := openFiles(t)
			do(t, ns, func() error {
				if c.spoil != nil {
					if err := c.spoil(); err != nil {
						return err
					}
				}
				d, err := Open(c.cfg)
				if err == nil {
					err = d.Close()
				}
				if c.want != nil && !errors.Is(err, c.want) || c.say == "" && err != nil || c.say != "" && (err == nil || !strings.Contains(err.Error(), c.say)) {
					t.Errorf("%v, want %v and %q", err, c.want, c.say)
				}
				return nil
			})
			do(t, ns, func() error {
				ifs, err := net.Interfaces()
				for _, i := range ifs {
					if strings.HasPrefix(i.Name, "tap") {
						t.Errorf("%s is left behind", i.Name)
					}
				}
				return err
			})
			if n := openFiles(t); n != fds {
				t.Errorf("%d open files, were %d", n, fds)
			}
		})
	}
}

// hideTUN gives the calling thread a view of the file system without
// /dev/net/tun.
func hideTUN() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("none", "/dev/net", "tmpfs", 0, "")
}

// dropCapabilities takes all privileges from the calling thread.
func dropCapabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&hdr, &none[0])
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestOpenClosesOnExec(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil)
	err := d.Queues()[0].(*fileQueue).conn.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v: a program we start inherits the TAP", flags, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTAPDown(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, &Config{KeepDown: true})
	q, frame := d.Queues()[0], [][]byte{testFrame(60, 1)}
	if err := q.Write(frame, Offload{}); !errors.Is(err, ErrDown) || !errors.Is(err, syscall.EIO) {
		t.Errorf("down: %v, want ErrDown and EIO", err)
	}
	setUp(t, ns, d.Name(), true)
	if err := q.Write(frame, Offload{}); err != nil {
		t.Errorf("up: %v", err)
	}
	setUp(t, ns, d.Name(), false)
	if err := q.Write(frame, Offload{}); !errors.Is(err, ErrDown) {
		t.Errorf("down again: %v, want ErrDown", err)
	}
	if s := d.Stats(); s.TxFrames != 1 || s.TxDrops != (Drops{Down: 2}) {
		t.Errorf("counted %+v", s)
	}
}

// A reader that finds no frame says so, every time before it sleeps.
func TestOnIdle(t *testing.T) {
	for name, spin := range map[string]time.Duration{"spinning": 0, "not spinning": -1} {
		t.Run(name, func(t *testing.T) {
			ns := needTAP(t)
			d := openTAP(t, ns, &Config{Spin: spin})
			q := d.Queues()[0]
			idle := make(chan struct{}, 1)
			if !q.(Idler).OnIdle(func() { notify(idle) }) {
				t.Fatal("it cannot tell")
			}
			ended := make(chan error)
			go func() {
				for {
					if _, _, err := q.Read([][]byte{make([]byte, MaxFrame)}); err != nil {
						ended <- err
						return
					}
				}
			}()
			<-idle
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

func TestTAPDeleted(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil)
	q := d.Queues()[0]
	ended := make(chan error)
	go func() {
		_, _, err := q.Read([][]byte{make([]byte, MaxFrame)})
		ended <- err
	}()
	runtime.Gosched() // most of the time it waits by now
	deleteLink(t, ns, d.Name())
	if err := <-ended; !errors.Is(err, ErrGone) {
		t.Errorf("Read under way: %v, want ErrGone", err)
	}
	if err := q.Write([][]byte{testFrame(60, 1)}, Offload{}); !errors.Is(err, ErrGone) || !errors.Is(err, syscall.EBADFD) {
		t.Errorf("Write: %v, want ErrGone and EBADFD", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := q.Read([][]byte{make([]byte, MaxFrame)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v, want net.ErrClosed", err)
	}
	if s := d.Stats(); s != (Stats{}) {
		t.Errorf("counted %+v", s)
	}
}

func TestErrnoTable(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		want  error
		drops Drops
	}{
		{unix.EBADFD, ErrGone, Drops{}},
		{unix.ENXIO, ErrGone, Drops{}},
		{unix.ENODEV, ErrGone, Drops{}},
		{unix.EAGAIN, ErrFull, Drops{Full: 1}},
		{unix.EIO, ErrDown, Drops{Down: 1}},
		{unix.EINVAL, ErrFrame, Drops{Error: 1}},
		{unix.ENOMEM, unix.ENOMEM, Drops{Error: 1}},
	} {
		q := &fileQueue{dev: newDevice("tap3", 1500, "plain", "")}
		err := q.fail("write", c.errno)
		var s Stats
		q.counters.addTo(&s)
		if !errors.Is(err, c.want) || !errors.Is(err, c.errno) || !strings.HasPrefix(err.Error(), "tap3: write: ") || s.TxDrops != c.drops {
			t.Errorf("%v: %q, counted %+v", c.errno, err, s.TxDrops)
		}
	}
}

// A deleted interface may show as nothing but an error of the poller.
func TestPollerErrorIsGone(t *testing.T) {
	q := &fileQueue{dev: newDevice("tap3", 1500, "plain", "")}
	if err := q.fail("read", errors.New("not pollable")); !errors.Is(err, ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
}

// addPersistentTAP is "ip tuntap add NAME mode tap".
func addPersistentTAP(t *testing.T, ns *netns.NS, name string) {
	t.Helper()
	do(t, ns, func() error {
		fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	})
}

// setUp is "ip link set NAME up" or "down".
func setUp(t *testing.T, ns *netns.NS, name string, up bool) {
	t.Helper()
	do(t, ns, func() error {
		return netlinkRequest(name, unix.RTM_NEWLINK, map[bool]uint32{true: unix.IFF_UP}[up])
	})
}

// deleteLink is "ip link del NAME".
func deleteLink(t *testing.T, ns *netns.NS, name string) {
	t.Helper()
	do(t, ns, func() error { return netlinkRequest(name, unix.RTM_DELLINK, 0) })
}

// netlinkRequest sends one message about an interface and waits for the
// acknowledgement.
func netlinkRequest(name string, kind uint16, flags uint32) error {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	msg := struct {
		unix.NlMsghdr
		unix.IfInfomsg
	}{
		unix.NlMsghdr{Len: unix.SizeofNlMsghdr + unix.SizeofIfInfomsg, Type: kind, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK},
		unix.IfInfomsg{Index: int32(iface.Index), Flags: flags, Change: unix.IFF_UP},
	}
	if _, err := again(unix.Write, fd, unsafe.Slice((*byte)(unsafe.Pointer(&msg)), msg.Len)); err != nil {
		return err
	}
	var ack struct {
		unix.NlMsghdr
		unix.NlMsgerr
	}
	n, err := again(unix.Read, fd, unsafe.Slice((*byte)(unsafe.Pointer(&ack)), int(unsafe.Sizeof(ack))))
	if err != nil {
		return err
	}
	if ack.Type != unix.NLMSG_ERROR {
		return fmt.Errorf("netlink answered with %d bytes of type %d", n, ack.Type)
	}
	if ack.Error != 0 {
		return syscall.Errno(-ack.Error)
	}
	return nil
}
