package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
)

// tapConfig is a NIC on a TAP between the addresses of pair, with services.
func tapConfig() *Config {
	return &Config{
		NICs: []NICConfig{{
			Name:    "tap0",
			Address: []netip.Prefix{ours4, ours6},
			Host:    []netip.Prefix{client4, client6},
			MTU:     1500,
		}},
		Services: allServices,
	}
}

// A daemonRun is a Run in a namespace.
type daemonRun struct {
	network // the kernel's side
	up      *Ready
	cancel  func() // ends it
	ended   chan error
	log     bytes.Buffer // to be read when it has ended
}

// startRun runs cfg in ns and waits until it is ready.
func startRun(t *testing.T, ns *netns.NS, cfg *Config) *daemonRun {
	t.Helper()
	r := &daemonRun{ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	t.Cleanup(cancel)
	ready := make(chan *Ready, 1)
	go func() {
		r.ended <- ns.Do(func() error {
			return Run(ctx, cfg, slog.New(slog.NewTextHandler(&r.log, nil)), func(r *Ready) { ready <- r })
		})
	}()
	select {
	case up := <-ready:
		r.up, r.network = up, network{ns.DialContext, up.Services}
	case err := <-r.ended:
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			netnstest.Skip(t, err)
		}
		t.Fatal(err)
	}
	return r
}

// interfaces are the names of those in ns.
func interfaces(t *testing.T, ns *netns.NS) string {
	t.Helper()
	var names []string
	err := ns.Do(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			names = append(names, l.Attrs().Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// files is the number of files that this process has open.
func files(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestRun asks every service from the kernel's own sockets, then ends the
// daemon with connections open.
func TestRun(t *testing.T) {
	ns := netnstest.Need(t)
	before := files(t)
	r := startRun(t, ns, tapConfig())
	t.Run("IPv4", func(t *testing.T) { checkServices(t, &r.network, ours4.Addr()) })
	t.Run("IPv6", func(t *testing.T) { checkServices(t, &r.network, ours6.Addr()) })

	conns := make(map[string]net.Conn)
	for _, name := range []string{"echo", "discard", "http"} {
		conns[name] = r.connect(t, "tcp", name, ours4.Addr())
	}
	chargen := r.connect(t, "tcp", "chargen", ours6.Addr())
	if _, err := io.ReadFull(chargen, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	r.cancel()
	for name, c := range conns {
		if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
			t.Errorf("%s: read %d bytes, %v; want EOF", name, len(got), err)
		}
		c.Close()
	}
	if _, err := io.Copy(io.Discard, chargen); err != nil {
		t.Errorf("chargen: %v, want EOF", err)
	}
	chargen.Close()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if strings.Contains(r.log.String(), "WARN") || strings.Contains(r.log.String(), "ERROR") {
		t.Errorf("it logged:\n%s", &r.log)
	}
	if got := interfaces(t, ns); got != "lo" {
		t.Errorf("interfaces left: %s", got)
	}
	if after := files(t); after != before {
		t.Errorf("%d files open before, %d after", before, after)
	}
}

func TestRunEndsWithItsDevice(t *testing.T) {
	ns := netnstest.Need(t)
	r := startRun(t, ns, tapConfig())
	c := r.connect(t, "tcp", "echo", ours4.Addr())
	defer c.Close()
	err := ns.Do(func() error {
		l, err := netlink.LinkByName("tap0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = <-r.ended
	var ce *ConfigError
	if !errors.Is(err, tap.ErrGone) || errors.As(err, &ce) {
		t.Errorf("Run: %v, want tap.ErrGone, and no ConfigError", err)
	}
	t.Log(err)
}

func TestRunTwoNICs(t *testing.T) {
	ns := netnstest.Need(t)
	cfg := tapConfig()
	second := NICConfig{
		Name:    "tap1",
		Address: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24")},
		Host:    []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")},
		MTU:     576,
	}
	cfg.NICs = append(cfg.NICs, second)
	r := startRun(t, ns, cfg)
	checkEcho(t, r.connect(t, "tcp", "echo", ours4.Addr()).(halfCloser))
	checkEcho(t, r.connect(t, "tcp", "echo", second.Address[0].Addr()).(halfCloser))
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRunReleases: whatever fails, what was made before is gone.
func TestRunReleases(t *testing.T) {
	ns := netnstest.Need(t)
	startRun(t, ns, tapConfig()).endNow(t) // or skip

	err := ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "taken"}})
	})
	if err != nil {
		t.Skip("no bridge here: ", err)
	}
	before := files(t)
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"name in use", func(c *Config) { c.NICs[0].Name = "taken" }, `nic taken: tap: interface taken exists already: choose another name`},
		{"name in use by the first", func(c *Config) {
			c.NICs = append(c.NICs, NICConfig{Name: "tap0", MTU: 1500, Address: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24")}})
		}, `nic tap0: tap: interface tap0 exists already`},
		{"port in use", func(c *Config) { c.Services = ServicesConfig{Echo: ":7", HTTP: ":7"} }, `http: TCP port of ":7" is in use: choose another`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := tapConfig()
			c.change(cfg)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := ns.Do(func() error { return Run(ctx, cfg, nil, func(*Ready) { cancel() }) })
			var ce *ConfigError
			if !errors.As(err, &ce) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if got := interfaces(t, ns); got != "lo taken" {
				t.Errorf("interfaces left: %s", got)
			}
		})
	}
	if after := files(t); after != before {
		t.Errorf("%d files open before, %d after", before, after)
	}
}

// endNow ends a run that a test has no more use for.
func (r *daemonRun) endNow(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

func TestReadyText(t *testing.T) {
	cfg, err := Load("../../testdata/tapstack.toml")
	if err != nil {
		t.Fatal(err)
	}
	r := &Ready{NICs: cfg.NICs, Services: []ServiceAddr{
		{"echo", &net.TCPAddr{IP: net.IPv6unspecified, Port: 7}},
		{"echo", &net.UDPAddr{IP: net.IPv6unspecified, Port: 7}},
		{"http", &net.TCPAddr{IP: net.ParseIP("fd00:77::2"), Port: 80}},
	}, Proxies: []ProxyAddr{
		{Section: "forward.web", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, Target: "web.example:80"},
		{Section: "forward.ssh", Stack: true, Addr: &net.TCPAddr{IP: net.IPv6unspecified, Port: 22}, Target: "127.0.0.1:22"},
		{Section: "socks5", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1080}},
		{Section: "http-proxy", Addr: &net.TCPAddr{IP: net.IPv6unspecified, Port: 3128}},
	}}
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	const want = `tapstack is up until you press Ctrl-C

NIC tap0        MTU 1500
  ours          192.168.77.2/24  fd00:77::2/64
  the kernel's  192.168.77.1/24  fd00:77::1/64
  route         0.0.0.0/0 via 192.168.77.1
  route         fd00:88::/64 via fd00:77::1
services
  echo  tcp [::]:7
  echo  udp [::]:7
  http  tcp [fd00:77::2]:80
forwards and proxies
  forward.web  tcp 127.0.0.1:8080 -> web.example:80
  forward.ssh  tcp [::]:22 in the stack -> 127.0.0.1:22
  socks5       tcp 127.0.0.1:1080
  http-proxy   tcp [::]:3128

try
  ping 192.168.77.2
  nc 192.168.77.2 7  # echo
  curl http://[fd00:77::2]/
  curl --proxy socks5h://127.0.0.1:1080 http://192.168.77.1/
  curl --proxy http://127.0.0.1:3128 http://192.168.77.1/
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
