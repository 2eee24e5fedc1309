package tap

import (
	"errors"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

func setMTU(t *testing.T, ns *netns.NS, name string, mtu int) {
	t.Helper()
	do(t, ns, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(link, mtu)
	})
}

// moveLink moves an interface into another namespace, where it is then down.
func moveLink(t *testing.T, from, to *netns.NS, name string) {
	t.Helper()
	var dst *os.File
	do(t, to, func() (err error) {
		dst, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	defer dst.Close()
	do(t, from, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(link, int(dst.Fd()))
	})
}

// A file's interface is looked for where it is, not where the file was handed
// over, though there is another of that name there.
func TestFromFileOfAnotherNamespace(t *testing.T) {
	there, here := needTAP(t), netnstest.Need(t)
	addPersistentTAP(t, here, "tap7")
	setMTU(t, here, "tap7", 900)
	for _, c := range []struct {
		name  string
		at    *netns.NS
		spoil func() error
		cfg   *Config
		mtu   int
		err   error
		ifErr error // of InterfaceOf
	}{
		{"elsewhere", here, nil, nil, 1400, nil, nil},
		{"no privilege, same namespace", there, dropCapabilities, nil, 1400, nil, nil},
		{"no privilege, elsewhere", here, dropCapabilities, nil, 0, errForeign, nil},
		{"no privilege, elsewhere, MTU given", here, dropCapabilities, &Config{MTU: 1200}, 1200, nil, errForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f *os.File
			do(t, there, func() (err error) {
				f, err = blockingTAP("tap7", offloadTAP)
				return err
			})
			setMTU(t, there, "tap7", 1400)
			var d Device
			err := c.at.Do(func() error {
				if c.spoil != nil {
					if err := c.spoil(); err != nil {
						return err
					}
				}
				var err error
				d, err = FromFile(f, c.cfg)
				return err
			})
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			defer d.Close()
			if d.MTU() != c.mtu {
				t.Errorf("MTU %d, want %d", d.MTU(), c.mtu)
			}
			i, err := InterfaceOf(d)
			if !errors.Is(err, c.ifErr) || err == nil && i.MTU != c.mtu {
				t.Errorf("%+v, %v; want MTU %d, %v", i, err, c.mtu, c.ifErr)
			}
		})
	}
}

// An interface that is moved away is followed, and one that is deleted ends
// the watch.
func TestWatchFollows(t *testing.T) {
	ns, other := needTAP(t), netnstest.Need(t)
	d := openTAP(t, ns, nil)
	seen := make(chan Interface, 100)
	go func() {
		defer close(seen)
		Watch(d, func(i Interface) { seen <- i })
	}()
	until := func(what string, is func(Interface) bool) {
		t.Helper()
		for i := range seen {
			if is(i) {
				return
			}
		}
		t.Fatal("the watch has ended before:", what)
	}
	until("up", func(i Interface) bool { return i.Up })
	moveLink(t, ns, other, d.Name())
	until("moved", func(i Interface) bool { return !i.Up })
	setMTU(t, other, d.Name(), 1300)
	until("MTU 1300", func(i Interface) bool { return i.MTU == 1300 })
	moveLink(t, other, ns, d.Name())
	setMTU(t, ns, d.Name(), 1200)
	until("MTU 1200", func(i Interface) bool { return i.MTU == 1200 })
	if i, err := InterfaceOf(d); err != nil || i.MTU != 1200 || d.MTU() != 1200 {
		t.Errorf("%+v, %v, the device has %d", i, err, d.MTU())
	}
	deleteLink(t, ns, d.Name())
	for range seen {
	}
	if _, err := InterfaceOf(d); !errors.Is(err, ErrGone) {
		t.Errorf("of a deleted interface: %v", err)
	}
}

// Nobody watches, and still the interface is found again.
func TestInterfaceOfMoved(t *testing.T) {
	ns, other := needTAP(t), netnstest.Need(t)
	d := openTAP(t, ns, nil)
	moveLink(t, ns, other, d.Name())
	setMTU(t, other, d.Name(), 1300)
	if i, err := InterfaceOf(d); err != nil || i.MTU != 1300 {
		t.Errorf("%+v, %v", i, err)
	}
	fds := openFiles(t)
	moveLink(t, other, ns, d.Name())
	if i, err := InterfaceOf(d); err != nil || i.Up {
		t.Errorf("%+v, %v", i, err)
	}
	if n := openFiles(t); n != fds {
		t.Errorf("%d open files, were %d", n, fds)
	}
}

// Its own thread, its own namespace: the caller's stays what it was.
func TestInNamespace(t *testing.T) {
	ns := netnstest.Need(t)
	var other *os.File
	do(t, ns, func() (err error) {
		other, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	defer other.Close()
	do(t, netnstest.Need(t), func() error {
		var before, inside, after unix.Stat_t
		stat := func(s *unix.Stat_t) error { return unix.Stat("/proc/thread-self/ns/net", s) }
		err := errors.Join(stat(&before), inNamespace(int(other.Fd()), func() error { return stat(&inside) }), stat(&after))
		if before.Ino != after.Ino || before.Ino == inside.Ino {
			t.Errorf("namespaces %d, inside %d, after %d", before.Ino, inside.Ino, after.Ino)
		}
		return err
	})
}
