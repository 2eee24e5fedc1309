package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// inUse are the ports that a configuration listens on, in both networks.
type inUse struct {
	ours      map[netip.Addr]bool // the stack's own addresses
	listeners []listener
}

// listener is one of them.
type listener struct {
	name    string // whose it is
	side    side
	network string // "tcp" or "udp"
	at      netip.AddrPort
}

// side is one of the two networks that the daemon is in.
type side string

// The sides: the kernel's network, and the stack's.
const (
	onHost  side = "host"
	onStack side = "stack"
)

// add checks an address to listen at against those before it.
func (u *inUse) add(name string, s side, network, text string) (netip.AddrPort, error) {
	ap, err := parseListen(text)
	if err != nil {
		return ap, fmt.Errorf("%s: %w", name, err)
	}
	if a := ap.Addr(); s == onStack && !a.IsUnspecified() && !u.ours[a] {
		return ap, fmt.Errorf("%s: %s is none of our addresses: use one from \"address\", or \":%d\" for all", name, a, ap.Port())
	}
	for _, b := range u.listeners {
		if b.side == s && b.network == network && overlap(b.at, ap) {
			return ap, fmt.Errorf("%s: %s port %d is in use by %s: choose another", name, upper(network), ap.Port(), b.name)
		}
	}
	u.listeners = append(u.listeners, listener{name, s, network, ap})
	return ap, nil
}

// upper is a network's name for a human.
func upper(network string) string {
	if network == "udp" {
		return "UDP"
	}
	return "TCP"
}

// overlap reports whether two sockets could not listen on both.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Port() != 0 &&
		(a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// udpServices are the services that answer datagrams too.
var udpServices = map[string]bool{"echo": true, "daytime": true}

// checkServices checks where the services listen against c's addresses and
// against each other, and puts them into c.
func (d *draft) checkServices(c *Config) (*inUse, error) {
	used := &inUse{ours: make(map[netip.Addr]bool)}
	for _, n := range c.NICs {
		for _, p := range n.Address {
			used.ours[p.Addr()] = true
		}
	}
	for _, s := range d.services {
		if _, err := used.add(s.name, onStack, "tcp", s.addr); err != nil {
			return nil, &ConfigError{s.where, err}
		}
		if udpServices[s.name] {
			if _, err := used.add(s.name, onStack, "udp", s.addr); err != nil {
				return nil, &ConfigError{s.where, err}
			}
		}
		if err := c.Services.set(s.name, s.addr); err != nil {
			return nil, &ConfigError{s.where, err}
		}
	}
	var err error
	if c.Services.Buffers, err = d.buffers.config(); err != nil {
		return nil, err
	}
	c.Services.List = d.web.list
	c.Services.Root, err = d.web.config(c.Services.HTTP)
	return used, err
}

func (c *ServicesConfig) set(name, addr string) error {
	for _, s := range c.each() {
		if s.name == name {
			*s.addr = addr
			return nil
		}
	}
	return errors.New("there is no service " + name)
}

// webDraft is what http serves besides its own pages.
type webDraft struct {
	root, where string
	list        bool
	whereList   string
}

// config checks the directory; it has to be there.
func (d *webDraft) config(http string) (string, error) {
	if d.root == "" && d.list {
		return "", configErrorf(d.whereList, "http-list: there is no directory to list: add http-root = \"/srv/www\"")
	}
	if d.root == "" {
		return "", nil
	}
	if http == "" {
		return "", configErrorf(d.where, "http-root: there is no http service to serve it: add http = \":80\"")
	}
	if !filepath.IsAbs(d.root) {
		return "", configErrorf(d.where, "http-root %q: want an absolute path, such as /srv/www", d.root)
	}
	info, err := os.Stat(d.root)
	if err != nil {
		return "", configErrorf(d.where, "http-root: %w", err)
	}
	if !info.IsDir() {
		return "", configErrorf(d.where, "http-root %q: want a directory", d.root)
	}
	return filepath.Clean(d.root), nil
}

// BufferSizes are the sizes of the two buffers of a connection in the stack, in
// payload bytes; 0 is TCP's default, which grows as it needs to.
type BufferSizes struct{ Receive, Send int }

// bufferDraft is a pair of sizes.
type bufferDraft struct {
	receive, send int64
	where         func(key string) string
}

// Bounds of a buffer's size in bytes.
const (
	minBuffer = 1 << 10
	maxBuffer = 1 << 30
)

func (d *bufferDraft) config() (b BufferSizes, err error) {
	for _, one := range []struct {
		key  string
		from int64
		to   *int
	}{{"rcvbuf", d.receive, &b.Receive}, {"sndbuf", d.send, &b.Send}} {
		if one.from != 0 && (one.from < minBuffer || one.from > maxBuffer) {
			return b, configErrorf(d.where(one.key), "%s: %d bytes: choose %d to %d", one.key, one.from, minBuffer, maxBuffer)
		}
		*one.to = int(one.from)
	}
	return b, nil
}
