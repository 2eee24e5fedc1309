package daemon

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"tapstack/internal/daemon/names"
	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/stack"
	"tapstack/tap"
)

// Config is a checked configuration. Load, Parse and Flags.Config make it.
type Config struct {
	NICs      []NICConfig // at least one, in the order of the file
	Services  ServicesConfig
	Forwards  []ForwardConfig // in the order of the file
	SOCKS5    ProxyConfig
	HTTPProxy ProxyConfig
	Names     names.Config // how the stack finds the addresses of names
	TCP       stack.TCPConfig
	Control   ControlConfig
	Process   ProcessConfig
	Log       LogConfig
	Metrics   MetricsConfig

	overrides []func(*Config) error // what flags said besides

	// File is where it was read, to be read again; "" is nowhere.
	File string
}

// ControlConfig says where the daemon is controlled, and by whom besides root.
type ControlConfig struct {
	Path   string      // of the Unix socket; "" is nowhere
	Mode   fs.FileMode // its permissions
	GID    int         // the group that may change things; -1 is none
	Others bool        // everybody else may look
}

// DefaultSocket is where the control socket is unless somebody says otherwise.
const DefaultSocket = "/run/tapstack/control.sock"

// NICConfig is one TAP and the stack's end of it.
type NICConfig struct {
	Name    string         // the TAP's name
	Address []netip.Prefix // ours, at least one
	Host    []netip.Prefix // the kernel's end; none leaves it alone
	MTU     int            // IP MTU in bytes
	Routes  []stack.Route  // beyond the on-link prefixes

	// What follows is as in tap.Config: the TAP exists and stays; with how many
	// queues, 0 being one; without offloads; how long a reader spins, 0 being
	// the default and less than 0 never. An adopted TAP keeps its MTU where MTU
	// is 0.
	Adopt  bool
	Queues int
	Plain  bool
	Spin   time.Duration
}

// ServicesConfig says where each service listens: "[address]:port", without an
// address for all of the stack's. "" leaves the service out.
type ServicesConfig struct {
	Echo, Discard, Chargen, Daytime, HTTP string

	// Root is a directory whose files http serves, but for those whose name, or
	// whose directory's, begins with a dot; "" is none. With List a directory
	// without an index.html is answered with its names.
	Root string
	List bool

	// Buffers are those of the services' TCP connections.
	Buffers BufferSizes

	// Accounting keeps book of what holds each connection up.
	Accounting bool

	// Logger hears what no client can be told; nil is nobody.
	Logger *slog.Logger

	// Ended is told of every connection that is over: its last tcp_info, and
	// its account or nil. nil is nobody. It must not block.
	Ended func(service string, info socketapi.Info, account *holdup.Report)
}

// each are the services by their names in file and flags, in the order in
// which they start.
func (c *ServicesConfig) each() []serviceSetting {
	return []serviceSetting{
		{"echo", &c.Echo}, {"discard", &c.Discard}, {"chargen", &c.Chargen}, {"daytime", &c.Daytime}, {"http", &c.HTTP},
	}
}

type serviceSetting struct {
	name string
	addr *string
}

// ConfigError is something that the operator has to change before the daemon
// can start: in the configuration, or on the machine. It is one line.
type ConfigError struct {
	// Where the mistake is: "tapstack.toml:3", "--mtu". Empty if the setting
	// is fine and the machine does not allow it.
	Where string
	// Err is what is wrong and what to do.
	Err error
}

// Error is "where: what: what to do".
func (e *ConfigError) Error() string {
	if e.Where == "" {
		return e.Err.Error()
	}
	return e.Where + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

func configErrorf(where, format string, args ...any) *ConfigError {
	return &ConfigError{where, fmt.Errorf(format, args...)}
}

const defaultMTU = 1500

// draft is a configuration as somebody wrote it: text, with the place where
// each piece stands. A file and the flags both become one.
type draft struct {
	where     string // of the whole
	nics      []nicDraft
	services  []serviceDraft
	web       webDraft
	buffers   bufferDraft // of the services
	account   bool
	forwards  []forwardDraft
	socks5    *proxyDraft // nil is none
	httpProxy *proxyDraft
	names     namesDraft
	tcp       []sysctlDraft
	control   *controlDraft // nil is none
	settings  []settingDraft
}

type sysctlDraft struct{ name, value, where string }

type controlDraft struct {
	path, mode, group string
	others            bool
	where             func(key string) string
}

type nicDraft struct {
	name                  string
	address, host, routes []string
	mtu                   int64
	mtuSet                bool

	adopt, plain bool
	queues       int64
	spin         string // a duration, "never", or "" for the default

	// where a key of this NIC stands; "" is the NIC itself.
	where func(key string) string
}

type serviceDraft struct {
	name, addr, where string
}

// config checks the draft, in the order in which it was written.
func (d *draft) config() (*Config, error) {
	if len(d.nics) == 0 {
		return nil, configErrorf(d.where, "no NIC: add a section [nic.tap0] with address = [\"192.168.77.2/24\"]")
	}
	c := &Config{}
	taken := make(map[netip.Addr]string)
	for i := range d.nics {
		n, err := d.nics[i].config(taken)
		if err != nil {
			return nil, err
		}
		c.NICs = append(c.NICs, n)
	}
	used, err := d.checkServices(c)
	if err != nil {
		return nil, err
	}
	c.Services.Accounting = d.account
	if c.Names, err = d.names.config(); err != nil {
		return nil, err
	}
	if err := d.checkProxies(c, used); err != nil {
		return nil, err
	}
	for _, t := range d.tcp {
		if err := setSysctl(&c.TCP, t.name, t.value); err != nil {
			return nil, &ConfigError{t.where, err}
		}
	}
	if d.control != nil {
		if c.Control, err = d.control.config(); err != nil {
			return nil, err
		}
	}
	for i := range d.settings {
		if err := d.settings[i].apply(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// config checks one NIC. taken are the addresses of the NICs before it, ours
// and the kernel's.
func (d *nicDraft) config(taken map[netip.Addr]string) (n NICConfig, err error) {
	n = NICConfig{Name: d.name, MTU: defaultMTU, Adopt: d.adopt, Plain: d.plain}
	if d.adopt {
		n.MTU = 0 // what the administrator gave it
	}
	if d.name == "" {
		return n, configErrorf(d.where(""), "the NIC has no name: give the TAP's, such as tap0")
	}
	if err := (&tap.Config{Name: d.name}).Validate(); err != nil {
		return n, &ConfigError{d.where(""), err}
	}
	if len(d.address) == 0 {
		return n, configErrorf(d.where(""), "NIC %s has no address: add one, such as 192.168.77.2/24", d.name)
	}
	if n.Address, err = parsePrefixes(d.address, d.where("address"), taken); err != nil {
		return n, err
	}
	if n.Host, err = parsePrefixes(d.host, d.where("host"), taken); err != nil {
		return n, err
	}
	if d.mtuSet {
		if err := checkMTU(d.mtu, n.Address, n.Host); err != nil {
			return n, &ConfigError{d.where("mtu"), err}
		}
		n.MTU = int(d.mtu)
	}
	if err := d.device(&n); err != nil {
		return n, err
	}
	for _, text := range d.routes {
		r, err := parseRoute(text, n.Address)
		if err != nil {
			return n, &ConfigError{d.where("routes"), err}
		}
		n.Routes = append(n.Routes, r)
	}
	return n, nil
}

// device checks how the TAP is made, or taken over.
func (d *nicDraft) device(n *NICConfig) (err error) {
	// Not beyond what an int holds anywhere.
	if d.queues < 0 || d.queues > math.MaxInt16 {
		return configErrorf(d.where("queues"), "%d queues: choose 1 to 256", d.queues)
	}
	n.Queues = int(d.queues)
	if n.Spin, err = parseSpin(d.spin); err != nil {
		return &ConfigError{d.where("spin"), err}
	}
	for _, c := range []struct {
		key string
		cfg tap.Config
	}{
		{"queues", tap.Config{Queues: n.Queues}},
		{"spin", tap.Config{Spin: n.Spin}},
		{"plain", tap.Config{Name: n.Name, Adopt: n.Adopt, Plain: n.Plain}},
	} {
		if err := c.cfg.Validate(); err != nil {
			return &ConfigError{d.where(c.key), err}
		}
	}
	if n.Plain && n.Queues > 1 {
		return configErrorf(d.where("queues"), "%d queues: the plain driver has one", n.Queues)
	}
	return nil
}

func checkMTU(mtu int64, lists ...[]netip.Prefix) error {
	smallest, why := int64(tap.MinMTU), ""
	for _, list := range lists {
		for _, p := range list {
			if p.Addr().Is6() {
				smallest, why = tap.MinMTU6, " with IPv6 addresses"
			}
		}
	}
	if mtu < smallest || mtu > tap.MaxMTU {
		return fmt.Errorf("MTU %d is out of range: choose one from %d to %d%s", mtu, smallest, tap.MaxMTU, why)
	}
	return nil
}
