package tap

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

// A TAP with several queues that somebody reads is not shared with us.
func TestAdoptInUse(t *testing.T) {
	ns := needTAP(t)
	do(t, ns, func() error {
		theirs, err := blockingTAP("tap7", plainTAP|unix.IFF_MULTI_QUEUE)
		if err != nil {
			return err
		}
		defer theirs.Close()
		if err := controlFile(theirs, func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1) }); err != nil {
			return err
		}
		if _, err := Open(&Config{Name: "tap7", Adopt: true}); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "another program has it open") {
			t.Errorf("in use: %v, want EBUSY", err)
		}
		if err := theirs.Close(); err != nil {
			return err
		}
		d, err := Open(&Config{Name: "tap7", Adopt: true, Queues: 2})
		if err != nil {
			return err
		}
		return d.Close()
	})
}

// What is no TAP is called what it is, and what a name's interface is decides
// what to do about it.
func TestNameTaken(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil)
	do(t, ns, func() error {
		tun, err := blockingTAP("tun7", unix.IFF_TUN|unix.IFF_NO_PI)
		if err != nil {
			return err
		}
		defer tun.Close()
		if _, err := Open(&Config{Name: "tun7", Adopt: true}); err == nil || !strings.Contains(err.Error(), "it is a TUN, not a TAP") {
			t.Errorf("%v", err)
		}
		if _, err := Open(&Config{Name: d.Name()}); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "a running program has it") {
			t.Errorf("%v", err)
		}
		return nil
	})
}

// withoutAdmin runs fn on a thread that has lost CAP_NET_ADMIN meanwhile.
func withoutAdmin(t *testing.T, ns *netns.NS, fn func()) {
	t.Helper()
	do(t, ns, func() error {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err := unix.Capget(&hdr, &caps[0]); err != nil {
			return err
		}
		less := caps
		less[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&hdr, &less[0]); err != nil {
			return err
		}
		fn()
		return unix.Capset(&hdr, &caps[0])
	})
}

// Without privilege a TAP that is ready can be adopted; one that is not says who
// has to make it so.
func TestAdoptUnprivileged(t *testing.T) {
	ns := needTAP(t)
	addPersistentTAP(t, ns, "tap7")
	withoutAdmin(t, ns, func() {
		for say, cfg := range map[string]Config{
			"set KeepDown": {},
			"leave it out": {MTU: 1400},
		} {
			cfg.Name, cfg.Adopt = "tap7", true
			if _, err := Open(&cfg); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "administrator") || !strings.Contains(err.Error(), say) {
				t.Errorf("%v, want %q", err, say)
			}
		}
		d, err := Open(&Config{Name: "tap7", Adopt: true, KeepDown: true})
		if err != nil {
			t.Error(err)
			return
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The longest queue that Validate allows is one that the kernel makes.
func TestLongestQueue(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, &Config{TxQueueLen: maxTxQueueLen})
	if i, err := InterfaceOf(d); err != nil || i.TxQueueLen != maxTxQueueLen {
		t.Errorf("%+v, %v", i, err)
	}
}

// A device goes by its interface's name, also when that changes.
func TestRenamed(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil)
	w := startWatcher(d, 0)
	do(t, ns, func() error {
		link, err := netlink.LinkByName(d.Name())
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetDown(link), netlink.LinkSetName(link, "other"), netlink.LinkSetMTU(link, 1300))
	})
	w.untilMTU(t, 1300)
	if d.Name() != "other" {
		t.Errorf("it is called %s", d.Name())
	}
	err := d.Queues()[0].Write([][]byte{make([]byte, 5)}, Offload{})
	if err == nil || !strings.HasPrefix(err.Error(), "other: ") {
		t.Errorf("%v", err)
	}
	d.Close()
	w.untilEnd()
}
