package daemon

// Flags is a configuration from a command line: one NIC, services and proxies.
// The names of its settings in errors are those of the flags of tapstack run.
type Flags struct {
	NIC                   string
	Address, Host, Routes []string
	MTU                   int // 0 is an adopted TAP's own
	Adopt, Plain          bool
	Queues                int
	Spin                  string // "100us", "never"; "" is the default
	Services              ServicesConfig
	SOCKS5, HTTPProxy     string // where to listen on the host, a loopback address
}

// Config checks the flags. Every error is a *ConfigError.
func (f *Flags) Config() (*Config, error) {
	if f.NIC == "" {
		return nil, configErrorf("--nic", "no NIC: give a file by -c, or flags such as --nic tap0 --address 192.168.77.2/24 --host 192.168.77.1/24")
	}
	if len(f.Address) == 0 {
		return nil, configErrorf("--address", "NIC %s has no address: add one, such as --address 192.168.77.2/24", f.NIC)
	}
	d := &draft{nics: []nicDraft{{
		name:    f.NIC,
		address: f.Address,
		host:    f.Host,
		routes:  f.Routes,
		mtu:     int64(f.MTU),
		mtuSet:  f.MTU != 0 || !f.Adopt,
		adopt:   f.Adopt,
		plain:   f.Plain,
		queues:  int64(f.Queues),
		spin:    f.Spin,
		where:   flagOf,
	}}}
	for _, s := range f.Services.each() {
		if *s.addr != "" {
			d.services = append(d.services, serviceDraft{s.name, *s.addr, "--" + s.name})
		}
	}
	d.web = webDraft{f.Services.Root, "--http-root", f.Services.List, "--http-list"}
	d.socks5 = proxyFlag(sectionSOCKS5, f.SOCKS5)
	d.httpProxy = proxyFlag(sectionHTTPProxy, f.HTTPProxy)
	return d.config()
}

// proxyFlag is a proxy that listens where a flag says; nil for none.
func proxyFlag(section, listen string) *proxyDraft {
	if listen == "" {
		return nil
	}
	p := &proxyDraft{section: section, listen: listen}
	p.where = func(string) string { return "--" + section }
	return p
}

// flagOf is the flag of a NIC's key.
func flagOf(key string) string {
	switch key {
	case "":
		return "--nic"
	case "routes":
		return "--route"
	}
	return "--" + key
}
