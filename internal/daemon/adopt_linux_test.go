package daemon

import (
	"testing"

	"github.com/vishvananda/netlink"

	"tapstack/internal/netns/netnstest"
)

// TestRunAdopts: a TAP that was made for us is used as it is, and stays.
func TestRunAdopts(t *testing.T) {
	ns := netnstest.Need(t)
	startRun(t, ns, tapConfig()).endNow(t) // or skip
	err := ns.Do(func() error {
		tap := &netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: "tap7", MTU: 1400},
			Mode:      netlink.TUNTAP_MODE_TAP, Queues: 2, Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS,
		}
		if err := netlink.LinkAdd(tap); err != nil {
			return err
		}
		for _, f := range tap.Fds {
			f.Close()
		}
		return netlink.LinkSetMTU(tap, 1400)
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := tapConfig()
	n := &cfg.NICs[0]
	n.Name, n.MTU, n.Adopt, n.Queues, n.Spin = "tap7", 0, true, 2, -1
	r := startRun(t, ns, cfg)
	if got := r.up.NICs[0].MTU; got != 1400 {
		t.Errorf("it says MTU %d", got)
	}
	if cfg.NICs[0].MTU != 0 {
		t.Error("the configuration was changed")
	}
	checkEcho(t, r.connect(t, "tcp", "echo", ours4.Addr()).(halfCloser))
	r.endNow(t)
	if got := interfaces(t, ns); got != "lo tap7" {
		t.Errorf("interfaces left: %s", got)
	}
}

// TestRunPlain: the portable driver when it is asked for.
func TestRunPlain(t *testing.T) {
	ns := netnstest.Need(t)
	cfg := tapConfig()
	cfg.NICs[0].Plain = true
	r := startRun(t, ns, cfg)
	err := ns.Do(func() error {
		l, err := netlink.LinkByName("tap0")
		if err == nil && l.(*netlink.Tuntap).Flags&netlink.TUNTAP_VNET_HDR != 0 {
			t.Error("it has offload headers")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	checkEcho(t, r.connect(t, "tcp", "echo", ours4.Addr()).(halfCloser))
	r.endNow(t)
}
