package daemon

import (
	"maps"
	"slices"

	"github.com/BurntSushi/toml"
)

// proxyDrafts takes the sections [forward.*], [socks5] and [http-proxy].
func (f *tomlFile) proxyDrafts(d *draft) error {
	if _, err := f.table("forward"); err != nil {
		return err
	}
	for _, name := range f.namesBelow("forward") {
		t, err := f.table("forward", name)
		if err != nil {
			return err
		}
		one := forwardDraft{name: name, from: string(onHost), protocol: "tcp"}
		values := one.values(f.whereIn("forward", name))
		err = f.values(t, one.where, append(values,
			value{"from", &one.from, "\"host\" or \"stack\""},
			value{"protocol", &one.protocol, "\"tcp\" or \"udp\""},
			value{"listen", &one.listen, "a string, such as \"127.0.0.1:8080\""},
			value{"to", &one.to, "a string, such as \"192.168.77.10:80\""},
		))
		if err != nil {
			return err
		}
		d.forwards = append(d.forwards, one)
	}
	var err error
	if d.socks5, err = f.proxyDraft(sectionSOCKS5); err != nil {
		return err
	}
	d.httpProxy, err = f.proxyDraft(sectionHTTPProxy)
	return err
}

// proxyDraft takes the section of a proxy; nil if there is none.
func (f *tomlFile) proxyDraft(section string) (*proxyDraft, error) {
	if _, ok := f.root[section]; !ok {
		return nil, nil
	}
	t, err := f.table(section)
	if err != nil {
		return nil, err
	}
	p := &proxyDraft{section: section}
	const wantUsers = "a table of passwords in quotes, such as { ann = \"secret\" }"
	values := p.values(f.whereIn(section))
	err = f.values(t, p.where, append(values,
		value{"listen", &p.listen, "a string, such as \"127.0.0.1:1080\""},
		value{"users", &p.users, wantUsers},
		value{"open", &p.open, wantBool},
	))
	if err != nil {
		return nil, err
	}
	// toml leaves the map nil, without an error, if it finds no table.
	if _, ok := t["users"]; ok && p.users == nil {
		return nil, configErrorf(p.where("users"), "users: want %s", wantUsers)
	}
	return p, nil
}

// values are what the sections of forwards and proxies have in common. where
// becomes the draft's.
func (d *commonDraft) values(where func(string) string) []value {
	d.where, d.buffers.where = where, where
	return []value{
		{"accept-proxy-protocol", &d.acceptFrom, "a list of prefixes in brackets, such as [\"10.0.0.0/8\"]"},
		{"proxy-protocol", &d.send, "\"v1\" or \"v2\""},
		{"rcvbuf", &d.buffers.receive, wantBytes},
		{"sndbuf", &d.buffers.send, wantBytes},
		{"max-connections", &d.connections, "a number, such as 1000"},
		{"max-clients", &d.clients, "a number, such as 1000"},
		{"dial-timeout", &d.dial, "a string, such as \"15s\""},
		{"idle-timeout", &d.idle, "a string, such as \"1h\""},
	}
}

// namesDraft takes the sections [dns] and [hosts].
func (f *tomlFile) namesDraft(d *draft) error {
	dns, err := f.table("dns")
	if err != nil {
		return err
	}
	d.names.serversWhere = f.where("dns", "servers")
	err = f.values(dns, f.whereIn("dns"), []value{{"servers", &d.names.servers, "a list of strings in brackets, such as [\"192.168.77.1\"]"}})
	if err != nil {
		return err
	}
	hosts, err := f.table("hosts")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		h := hostDraft{name: name, where: f.where("hosts", name)}
		if err := f.hostDraft(hosts[name], &h); err != nil {
			return err
		}
		d.names.hosts = append(d.names.hosts, h)
	}
	return nil
}

// hostDraft takes an address, or a list of them.
func (f *tomlFile) hostDraft(p toml.Primitive, h *hostDraft) error {
	var one string
	if f.md.PrimitiveDecode(p, &one) == nil {
		h.addrs = []string{one}
	} else if f.md.PrimitiveDecode(p, &h.addrs) != nil {
		return configErrorf(h.where, "%s: want an address in quotes, or a list of them", h.name)
	}
	return nil
}
