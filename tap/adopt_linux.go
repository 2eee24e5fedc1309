package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// adopt takes over the TAP called cfg.Name. What it finds it leaves as it is,
// but for what cfg gives; so an interface that is up and configured can be
// taken over by its owner without privilege.
func adopt(cfg *Config) (_ *device, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("%s: netlink: %w", cfg.Name, err)
	}
	defer h.Close()
	link, err := h.LinkByName(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("adopt %s: %w (%w): make it with \"ip tuntap add %s mode tap\"", cfg.Name, err, fs.ErrNotExist, cfg.Name)
	}
	tuntap, ok := link.(*netlink.Tuntap)
	if kind := link.Type(); !ok || tuntap.Mode != netlink.TUNTAP_MODE_TAP {
		if ok {
			kind = "TUN"
		}
		return nil, fmt.Errorf("adopt %s: it is a %s, not a TAP: choose another name", cfg.Name, kind)
	}
	files, err := adoptQueues(cfg, tuntap)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	if err := reconfigure(h, link, cfg); err != nil {
		return nil, err
	}
	mtu := cfg.MTU
	if mtu == 0 {
		mtu = link.Attrs().MTU
	}
	return newOffloadDevice(cfg.Name, mtu, files, cfg, fromAdmin)
}

// adoptQueues attaches with the flags the interface was made with: the kernel
// insists on the same answer to "several queues?".
func adoptQueues(cfg *Config, tuntap *netlink.Tuntap) (files []*os.File, err error) {
	multi := tuntap.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
	n := max(cfg.Queues, 1)
	if n > 1 && !multi {
		return nil, fmt.Errorf("adopt %s: it was made for one queue, not %d: make it with \"multi_queue\"", cfg.Name, n)
	}
	if used := tuntap.Queues + tuntap.DisabledQueues; used > 0 {
		// The kernel would let us in, and give us a share of their flows.
		return nil, fmt.Errorf("adopt %s: another program has it open, %d of its queues: %w", cfg.Name, used, unix.EBUSY)
	}
	for range n {
		f, _, err := openQueue(cfg.Name, multi)
		if err != nil {
			closeAll(files)
			if errors.Is(err, unix.EBUSY) {
				err = fmt.Errorf("adopt %s: another program has it open: %w", cfg.Name, err)
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// reconfigure changes what cfg gives and what is not so already.
func reconfigure(h *netlink.Handle, link netlink.Link, cfg *Config) error {
	a := link.Attrs()
	if cfg.MTU != 0 && cfg.MTU != a.MTU {
		if err := h.LinkSetMTU(link, cfg.MTU); err != nil {
			return forAdmin(fmt.Errorf("%s: set MTU %d: %w", a.Name, cfg.MTU, err), "leave it out")
		}
	}
	if cfg.TxQueueLen > 0 && cfg.TxQueueLen != a.TxQLen {
		if err := h.LinkSetTxQLen(link, cfg.TxQueueLen); err != nil {
			return forAdmin(fmt.Errorf("%s: set queue length: %w", a.Name, err), "leave it out")
		}
	}
	if cfg.HardwareAddr != nil && string(cfg.HardwareAddr) != string(a.HardwareAddr) {
		if err := h.LinkSetHardwareAddr(link, cfg.HardwareAddr); err != nil {
			return forAdmin(fmt.Errorf("%s: set hardware address %s: %w", a.Name, cfg.HardwareAddr, err), "leave it out")
		}
	}
	if !cfg.KeepDown && a.Flags&unix.IFF_UP == 0 {
		if err := h.LinkSetUp(link); err != nil {
			return forAdmin(fmt.Errorf("%s: bring up: %w", a.Name, err), "set KeepDown and wait until it is")
		}
	}
	for _, p := range cfg.Host {
		if err := addAddress(h, link, a.Name, p); err != nil && !errors.Is(err, unix.EEXIST) {
			return forAdmin(err, "leave it out")
		}
	}
	return nil
}

// forAdmin adds to the error of a change that takes privilege, which a TAP's
// owner need not have, how to do without it.
func forAdmin(err error, instead string) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: only an administrator may: have him do it, or %s", err, instead)
	}
	return err
}
