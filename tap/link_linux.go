package tap

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// configure gives the interface made, new and down, its name and what else
// cfg asks for. It works in the calling thread's network namespace.
func configure(made, name string, cfg *Config) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("%s: netlink: %w", made, err)
	}
	defer h.Close()
	link, err := h.LinkByName(made)
	if err != nil {
		return fmt.Errorf("%s: %w", made, err)
	}
	if err := rename(h, link, name); err != nil {
		return err
	}
	// MAC and MTU are best set before anyone can send. Addresses come last:
	// their routes need the interface up.
	if cfg.TxQueueLen >= 0 {
		if err := h.LinkSetTxQLen(link, cmp.Or(cfg.TxQueueLen, defaultTxQueueLen)); err != nil {
			return fmt.Errorf("%s: set queue length: %w", name, err)
		}
	}
	if link.Attrs().MTU != cfg.mtu() {
		if err := h.LinkSetMTU(link, cfg.mtu()); err != nil {
			return fmt.Errorf("%s: set MTU %d: %w", name, cfg.mtu(), err)
		}
	}
	if cfg.HardwareAddr != nil {
		if err := h.LinkSetHardwareAddr(link, cfg.HardwareAddr); err != nil {
			return fmt.Errorf("%s: set hardware address %s: %w", name, cfg.HardwareAddr, err)
		}
	}
	if !cfg.KeepDown {
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s: bring up: %w", name, err)
		}
	}
	for _, p := range cfg.Host {
		if err := addAddress(h, link, name, p); err != nil {
			return err
		}
	}
	return nil
}

// rename gives the interface the name that was asked for. The kernel lets one
// program win and never touches the interface that has the name already, where
// looking first would leave a moment for another to make it.
func rename(h *netlink.Handle, link netlink.Link, name string) error {
	if link.Attrs().Name == name {
		return nil
	}
	err := h.LinkSetName(link, name)
	if errors.Is(err, unix.EEXIST) {
		advice := ""
		if old, e := h.LinkByName(name); e == nil {
			advice = whose(old)
		}
		return fmt.Errorf("interface %s exists already: choose another name%s (%w)", name, advice, err)
	}
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", link.Attrs().Name, name, err)
	}
	return nil
}

// whose is more advice on a name that is taken. It does not say how to delete
// the interface: that would end whoever uses it.
func whose(old netlink.Link) string {
	switch t, ok := old.(*netlink.Tuntap); {
	case !ok || t.Mode != netlink.TUNTAP_MODE_TAP:
		return ""
	case t.NonPersist:
		return "; a running program has it"
	default:
		return ", or adopt it: it is a persistent TAP that somebody made"
	}
}

func addAddress(h *netlink.Handle, link netlink.Link, name string, p netip.Prefix) error {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if p.Addr().Is6() {
		// Without it the address is tentative, and can not be bound to, for
		// a second or two of duplicate address detection.
		addr.Flags = unix.IFA_F_NODAD
	}
	err := h.AddrAdd(link, addr)
	if errors.Is(err, unix.EACCES) && p.Addr().Is6() {
		return fmt.Errorf("%s: add address %s: IPv6 is off here: \"sysctl -w net.ipv6.conf.default.disable_ipv6=0\" (%w)", name, p, err)
	}
	if err != nil {
		return fmt.Errorf("%s: add address %s: %w", name, p, err)
	}
	return nil
}
