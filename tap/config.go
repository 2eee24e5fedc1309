package tap

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

const (
	defaultMTU = 1500

	// defaultTxQueueLen: see Config.TxQueueLen. With the kernel's own 1000
	// a single bulk flow in small frames loses some now and then.
	defaultTxQueueLen = 4096

	// maxNameLen is Linux's IFNAMSIZ without the closing NUL.
	maxNameLen = 15

	// maxQueues is Linux's MAX_TAP_QUEUES.
	maxQueues = 256

	// maxTxQueueLen is what fits into the largest piece of memory the kernel's
	// ring of pointers is made of (ptr_ring.h, KMALLOC_MAX_SIZE of 4 MiB). It
	// says EPERM to more, to root as well.
	maxTxQueueLen = 4 << 20 / 8

	// maxSpin: beyond it nobody can have meant microseconds.
	maxSpin = 100 * time.Millisecond
)

// Validate reports the first thing in c that no system would accept, in one
// line that says what to do. Open calls it first.
func (c *Config) Validate() error {
	if err := validateName(c.Name); err != nil {
		return err
	}
	if c.Adopt && c.Name == "" {
		return errors.New("adopt: give the name of the TAP to take over")
	}
	if c.Adopt && c.Plain {
		return errors.New("adopt: the plain driver cannot: it would clear the TAP's persistence")
	}
	smallest, why := MinMTU, ""
	seen := make(map[netip.Addr]bool)
	for _, p := range c.Host {
		if err := validateHost(p); err != nil {
			return err
		}
		if seen[p.Addr()] {
			return fmt.Errorf("host address %s is given twice: leave one out", p.Addr())
		}
		seen[p.Addr()] = true
		if p.Addr().Is6() {
			smallest, why = MinMTU6, " with IPv6 addresses"
		}
	}
	if mtu := c.mtu(); mtu < smallest || mtu > MaxMTU {
		return fmt.Errorf("MTU %d is out of range: choose one from %d to %d%s", mtu, smallest, MaxMTU, why)
	}
	if c.Queues < 0 || c.Queues > maxQueues {
		return fmt.Errorf("%d queues: choose 1 to %d", c.Queues, maxQueues)
	}
	if c.TxQueueLen > maxTxQueueLen {
		return fmt.Errorf("queue length %d: choose at most %d", c.TxQueueLen, maxTxQueueLen)
	}
	if err := c.checkSpin(); err != nil {
		return err
	}
	if a := c.HardwareAddr; a != nil {
		switch {
		case len(a) != 6:
			return fmt.Errorf("hardware address %s has %d bytes: give 6", a, len(a))
		case a[0]&1 != 0:
			return fmt.Errorf("hardware address %s is a group's: make its first byte even, such as 02", a)
		case string(a) == "\x00\x00\x00\x00\x00\x00":
			return errors.New("hardware address is all zeros: give another, or nil for the kernel's choice")
		}
	}
	return nil
}

// mtu is the MTU with the default filled in.
func (c *Config) mtu() int {
	if c.MTU == 0 {
		return defaultMTU
	}
	return c.MTU
}

// nameOr is the name asked for, or else the one the system chose.
func (c *Config) nameOr(made string) string {
	if c.Name == "" {
		return made
	}
	return c.Name
}

// defaultSpin is how long a reader spins. Round trips through the kernel on
// another core come back within it, sleeping and waking does not.
const defaultSpin = 100 * time.Microsecond

func (c *Config) checkSpin() error {
	if c.Spin > maxSpin {
		return fmt.Errorf("spinning for %v: choose at most %v", c.Spin, maxSpin)
	}
	return nil
}

func (c *Config) spin() time.Duration {
	if c.Spin == 0 {
		return defaultSpin
	}
	return max(c.Spin, 0)
}

// validateName follows the kernel's dev_valid_name, but for "%", which the
// kernel would take as a pattern, and for bytes that no one could type. "all" and
// "default" name what is no interface in /proc/sys/net/ipv4/conf.
func validateName(name string) error {
	switch {
	case len(name) > maxNameLen:
		return fmt.Errorf("interface name %q has %d bytes: choose one of at most %d", name, len(name), maxNameLen)
	case name == "." || name == ".." || name == "all" || name == "default":
		return fmt.Errorf("interface name %q is reserved: choose another", name)
	}
	for _, r := range name {
		if r <= ' ' || r > '~' || strings.ContainsRune("/:%", r) {
			return fmt.Errorf("interface name %q contains %q: use letters, digits, '-', '_' and '.'", name, r)
		}
	}
	return nil
}

func validateHost(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("host address is not set: give an address with its prefix length, such as 10.0.0.1/24")
	case a.Is4In6():
		return fmt.Errorf("host address %s is IPv4 written as IPv6: write it as IPv4", p)
	case a.IsUnspecified():
		return fmt.Errorf("host address %s is the unspecified address: give a host's, such as 10.0.0.1/24", p)
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("host address %s is a group's: give a host's, such as 10.0.0.1/24", p)
	}
	return nil
}
