package daemon

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapstack/internal/daemon/names"
	"tapstack/internal/proxy"
)

// ForwardConfig is a port of one network that leads to an address of the other.
type ForwardConfig struct {
	Name   string
	Stack  bool   // listens in the stack's network and leads to the host's; otherwise the other way
	UDP    bool   // TCP otherwise
	Listen string // "[address]:port"
	To     string // "address:port" or "name:port"

	SendPROXY proxy.Version // what connections to To begin with
	ProxyCommon
}

// ProxyConfig is a proxy on a host address into the stack's network.
type ProxyConfig struct {
	Listen string            // "" is none
	Users  map[string]string // passwords by user; none lets everybody in

	SendPROXY proxy.Version // of SOCKS5
	ProxyCommon
}

// ProxyCommon is what forwards and proxies have.
type ProxyCommon struct {
	PROXYFrom []netip.Prefix // not empty: clients are within, and begin with a PROXY header
	Buffers   BufferSizes    // of connections in the stack
	Limits    proxy.Limits
}

// proxySetting is a forward or a proxy by the name of its section. Two of one
// configuration do the same.
type proxySetting struct {
	section string
	config  any // *ForwardConfig or *ProxyConfig
}

// The sections of the proxies.
const (
	sectionSOCKS5    = "socks5"
	sectionHTTPProxy = "http-proxy"
)

// proxies are all there are, in the order in which they start.
func (c *Config) proxies() []proxySetting {
	var out []proxySetting
	for i := range c.Forwards {
		out = append(out, proxySetting{"forward." + c.Forwards[i].Name, &c.Forwards[i]})
	}
	if c.SOCKS5.Listen != "" {
		out = append(out, proxySetting{sectionSOCKS5, &c.SOCKS5})
	}
	if c.HTTPProxy.Listen != "" {
		out = append(out, proxySetting{sectionHTTPProxy, &c.HTTPProxy})
	}
	return out
}

// commonDraft is what the sections of forwards and proxies have in common.
type commonDraft struct {
	acceptFrom           []string
	send                 string
	buffers              bufferDraft
	connections, clients int64
	dial, idle           string
	where                func(key string) string // "" is the section
}

type forwardDraft struct {
	name, from, protocol, listen, to string
	commonDraft
}

type proxyDraft struct {
	section, listen string
	users           map[string]string
	open            bool
	commonDraft
}

// checkProxies checks forwards and proxies against what listens already, and
// puts them into c.
func (d *draft) checkProxies(c *Config, used *inUse) error {
	for i := range d.forwards {
		f, err := d.forwards[i].config(used, &c.Names)
		if err != nil {
			return err
		}
		c.Forwards = append(c.Forwards, f)
	}
	for _, one := range []struct {
		from *proxyDraft
		to   *ProxyConfig
	}{{d.socks5, &c.SOCKS5}, {d.httpProxy, &c.HTTPProxy}} {
		if one.from == nil {
			continue
		}
		p, err := one.from.config(used)
		if err != nil {
			return err
		}
		*one.to = p
	}
	return nil
}

// maxName bounds names that become labels and columns.
const maxName = 64

// config checks one forward.
func (d *forwardDraft) config(used *inUse, known *names.Config) (f ForwardConfig, err error) {
	f = ForwardConfig{Name: d.name, Listen: d.listen, To: d.to}
	if !plainName(d.name) {
		return f, configErrorf(d.where(""), "forward %q: name it by up to %d letters, digits, '-', '_' and '.'", d.name, maxName)
	}
	section := "forward." + d.name
	if f.UDP = d.protocol == "udp"; !f.UDP && d.protocol != "tcp" {
		return f, configErrorf(d.where("protocol"), "protocol %q: want \"tcp\" or \"udp\"", d.protocol)
	}
	if f.Stack = d.from == string(onStack); !f.Stack && d.from != string(onHost) {
		return f, configErrorf(d.where("from"), "from %q: want \"host\", for a port of the machine's, or \"stack\", for one in the stack's network", d.from)
	}
	if d.listen == "" {
		return f, configErrorf(d.where(""), "%s: no \"listen\": give a port, such as \"127.0.0.1:8080\"", section)
	}
	if _, err := used.add(section, side(d.from), d.protocol, d.listen); err != nil {
		return f, &ConfigError{d.where("listen"), err}
	}
	if d.to == "" {
		return f, configErrorf(d.where(""), "%s: no \"to\": give an address and a port, such as \"192.168.77.10:80\"", section)
	}
	if err := checkTarget(d.to, f.Stack, known); err != nil {
		return f, &ConfigError{d.where("to"), fmt.Errorf("to: %w", err)}
	}
	if f.UDP {
		if key := d.tcpOnly(); key != "" {
			return f, configErrorf(d.where(key), "%s: it is for TCP, and %s is UDP: leave it out", key, section)
		}
	} else if d.clients != 0 {
		return f, configErrorf(d.where("max-clients"), "max-clients: it is for UDP, and %s is TCP: use max-connections", section)
	}
	if f.SendPROXY, err = d.version(); err != nil {
		return f, err
	}
	f.ProxyCommon, err = d.common(f.UDP)
	return f, err
}

// tcpOnly is the first key that is given and means nothing to UDP.
func (d *commonDraft) tcpOnly() string {
	switch {
	case d.send != "":
		return "proxy-protocol"
	case d.acceptFrom != nil:
		return "accept-proxy-protocol"
	case d.connections != 0:
		return "max-connections"
	}
	return ""
}

// plainName reports whether a name can stand in logs, metrics and columns.
func plainName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// checkTarget checks where a forward leads. Names in the stack's network have
// to be such that they can be looked up there.
func checkTarget(text string, toHost bool, known *names.Config) error {
	const want = "write one such as \"192.168.77.10:80\""
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not an address with a port: %s", text, want)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is not a port number from 1 to 65535: %s", port, want)
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil && a.IsUnspecified(), host == "":
		return fmt.Errorf("%q is everywhere and nowhere: %s", text, want)
	case err == nil && a.Is4In6():
		return fmt.Errorf("address %s is IPv4 written as IPv6: write it as %s", a, a.Unmap())
	case err == nil && a.IsLoopback() && !toHost:
		return fmt.Errorf("%s is the machine's own, and this leads into the stack's network: give an address there", a)
	case err == nil:
		return nil
	case !names.Valid(host) || strings.Trim(host, "0123456789.") == "":
		return fmt.Errorf("%q is neither an address nor a name: %s", host, want)
	case !toHost && !known.Knows(host):
		return fmt.Errorf("the name %q cannot be looked up in the stack's network: add it to [hosts], or servers to [dns]", host)
	}
	return nil
}

// config checks one proxy.
func (d *proxyDraft) config(used *inUse) (p ProxyConfig, err error) {
	p = ProxyConfig{Listen: d.listen}
	if d.listen == "" {
		return p, configErrorf(d.where(""), "%s: no \"listen\": give a host address and a port, such as \"127.0.0.1:1080\"", d.section)
	}
	at, err := used.add(d.section, onHost, "tcp", d.listen)
	if err != nil {
		return p, &ConfigError{d.where("listen"), err}
	}
	if d.users != nil && len(d.users) == 0 {
		return p, configErrorf(d.where("users"), "users: there are none: add one, or leave it out to let everybody in")
	}
	for _, user := range slices.Sorted(maps.Keys(d.users)) {
		if err := checkUser(d.section, user, d.users[user]); err != nil {
			return p, &ConfigError{d.where("users"), err}
		}
	}
	if len(d.users) == 0 && !d.open && !at.Addr().IsLoopback() {
		return p, configErrorf(d.where("listen"), "%s: %q lets everybody in who reaches it: listen at 127.0.0.1, add users, or say open = true", d.section, d.listen)
	}
	if len(d.users) > 0 {
		p.Users = d.users
	}
	if p.SendPROXY, err = d.version(); err != nil {
		return p, err
	}
	p.ProxyCommon, err = d.common(false)
	return p, err
}

// checkUser checks what RFC 1929 and RFC 7617 can carry.
func checkUser(section, user, password string) error {
	switch {
	case user == "" || len(user) > 255 || password == "" || len(password) > 255:
		return errors.New("users: user and password have 1 to 255 bytes")
	case section == sectionHTTPProxy && strings.Contains(user, ":"):
		return fmt.Errorf("users: %q has a colon, which HTTP takes for the end of the name", user)
	}
	return nil
}

// version reads which PROXY header is sent.
func (d *commonDraft) version() (proxy.Version, error) {
	v, ok := map[string]proxy.Version{"": proxy.NoPROXY, "v1": proxy.PROXYv1, "v2": proxy.PROXYv2}[d.send]
	if !ok {
		return v, configErrorf(d.where("proxy-protocol"), "proxy-protocol %q: want \"v1\" or \"v2\"", d.send)
	}
	return v, nil
}

// Bounds of what an operator may ask for.
const (
	maxConnections = 1 << 20
	maxTime        = 30 * 24 * time.Hour
)

// common checks the rest.
func (d *commonDraft) common(udp bool) (c ProxyCommon, err error) {
	if c.Buffers, err = d.buffers.config(); err != nil {
		return c, err
	}
	if d.acceptFrom != nil && len(d.acceptFrom) == 0 {
		return c, configErrorf(d.where("accept-proxy-protocol"), "accept-proxy-protocol: name who may send it, such as [\"10.0.0.0/8\"]: what it says is believed")
	}
	for _, text := range d.acceptFrom {
		p, err := netip.ParsePrefix(text)
		if a, e := netip.ParseAddr(text); err != nil && e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Zone() != "" {
			return c, configErrorf(d.where("accept-proxy-protocol"), "accept-proxy-protocol: %q is neither a prefix nor an address: write one such as 10.0.0.0/8", text)
		}
		c.PROXYFrom = append(c.PROXYFrom, p.Masked())
	}
	for _, n := range []struct {
		key  string
		from int64
		to   *int
	}{{"max-connections", d.connections, &c.Limits.Conns}, {"max-clients", d.clients, &c.Limits.Flows}} {
		if n.from < 0 || n.from > maxConnections {
			return c, configErrorf(d.where(n.key), "%s: %d: choose 1 to %d", n.key, n.from, maxConnections)
		}
		*n.to = int(n.from)
	}
	idle := &c.Limits.Idle
	if udp {
		idle = &c.Limits.FlowIdle
	}
	if c.Limits.Dial, err = d.time("dial-timeout", d.dial); err != nil {
		return c, err
	}
	if d.idle == "never" && !udp {
		*idle = -1
		return c, nil
	}
	*idle, err = d.time("idle-timeout", d.idle)
	return c, err
}

// time reads a duration; "" is the default.
func (d *commonDraft) time(key, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.ParseDuration(text)
	if err != nil || t < time.Millisecond || t > maxTime {
		return 0, configErrorf(d.where(key), "%s: %q: write a time such as \"15s\" or \"2h\", 720h at most", key, text)
	}
	return t, nil
}

// Summary is what a configuration has, in a few words.
func (c *Config) Summary() string {
	services := 0
	for _, s := range c.Services.each() {
		if *s.addr != "" {
			services++
		}
	}
	return fmt.Sprintf("%s, %s, %d forwards and proxies", counted(len(c.NICs), "NIC"), counted(services, "service"), len(c.proxies()))
}
