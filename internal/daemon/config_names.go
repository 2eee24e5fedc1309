package daemon

import (
	"net/netip"
	"strings"

	"tapstack/internal/daemon/names"
)

// namesDraft is how names are looked up.
type namesDraft struct {
	servers      []string
	serversWhere string
	hosts        []hostDraft
}

// hostDraft is a name and its addresses.
type hostDraft struct {
	name, where string
	addrs       []string
}

const dnsPort = 53

// config checks servers and table.
func (d *namesDraft) config() (c names.Config, err error) {
	for _, text := range d.servers {
		ap, err := netip.ParseAddrPort(text)
		if a, e := netip.ParseAddr(text); err != nil && e == nil {
			ap, err = netip.AddrPortFrom(a, dnsPort), nil
		}
		if err != nil || ap.Port() == 0 || ap.Addr().IsUnspecified() {
			return c, configErrorf(d.serversWhere, "servers: %q is no server's address: write one such as \"192.168.77.1\" or \"192.168.77.1:5353\"", text)
		}
		if ap.Addr().IsLoopback() {
			return c, configErrorf(d.serversWhere, "servers: %s is the machine's own, and servers are asked in the stack's network: give an address there", ap.Addr())
		}
		c.Servers = append(c.Servers, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	}
	for _, h := range d.hosts {
		name := strings.ToLower(strings.TrimSuffix(h.name, "."))
		if !names.Valid(name) {
			return c, configErrorf(h.where, "%q is no host's name: letters, digits, hyphens and dots make one", h.name)
		}
		if _, twice := c.Hosts[name]; twice {
			return c, configErrorf(h.where, "%q is there twice, in another case: leave one out", h.name)
		}
		var addrs []netip.Addr
		for _, text := range h.addrs {
			a, err := netip.ParseAddr(text)
			if err != nil || a.IsUnspecified() {
				return c, configErrorf(h.where, "%s: %q is no address: write one such as \"192.168.77.10\"", h.name, text)
			}
			addrs = append(addrs, a.Unmap())
		}
		if len(addrs) == 0 {
			return c, configErrorf(h.where, "%s: no address: write one such as \"192.168.77.10\"", h.name)
		}
		if c.Hosts == nil {
			c.Hosts = make(map[string][]netip.Addr)
		}
		c.Hosts[name] = addrs
	}
	return c, nil
}
