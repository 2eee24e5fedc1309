package daemon

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/names"
	"tapstack/internal/proxy"
	"tapstack/stack"
)

func TestExampleFile(t *testing.T) {
	got, err := Load("../../testdata/tapstack.toml")
	if err != nil {
		t.Fatal(err)
	}
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	want := &Config{
		NICs: []NICConfig{{
			Name:    "tap0",
			Address: []netip.Prefix{p("192.168.77.2/24"), p("fd00:77::2/64")},
			Host:    []netip.Prefix{p("192.168.77.1/24"), p("fd00:77::1/64")},
			MTU:     1500,
			Queues:  1,
			Spin:    100 * time.Microsecond,
			Routes: []stack.Route{
				{Dst: p("0.0.0.0/0"), Via: a("192.168.77.1")},
				{Dst: p("fd00:88::/64"), Via: a("fd00:77::1")},
			},
		}},
		Services: ServicesConfig{Echo: ":7", Discard: ":9", Chargen: ":19", Daytime: ":13", HTTP: ":80", Accounting: true},
		Forwards: []ForwardConfig{
			{
				Name: "web", Listen: "127.0.0.1:8080", To: "web.example:80", SendPROXY: proxy.PROXYv2,
				ProxyCommon: ProxyCommon{
					Buffers: BufferSizes{Receive: 1 << 20, Send: 1 << 20},
					Limits:  proxy.Limits{Conns: 1000, Dial: 15 * time.Second, Idle: time.Hour},
				},
			},
			{
				Name: "dns", UDP: true, Listen: "127.0.0.1:15353", To: "192.168.77.1:53",
				ProxyCommon: ProxyCommon{Limits: proxy.Limits{Flows: 1000, FlowIdle: 2 * time.Minute}},
			},
			{
				Name: "ssh", Stack: true, Listen: "192.168.77.2:22", To: "127.0.0.1:22",
				ProxyCommon: ProxyCommon{PROXYFrom: []netip.Prefix{p("192.168.77.1/32")}},
			},
		},
		SOCKS5: ProxyConfig{
			Listen:      "127.0.0.1:1080",
			ProxyCommon: ProxyCommon{Limits: proxy.Limits{Conns: 1000, Flows: 100, Idle: -1}},
		},
		HTTPProxy: ProxyConfig{Listen: "127.0.0.1:3128", Users: map[string]string{"ann": "change me"}},
		Names: names.Config{
			Servers: []netip.AddrPort{netip.MustParseAddrPort("192.168.77.1:53"), netip.MustParseAddrPort("[fd00:77::1]:5353")},
			Hosts:   map[string][]netip.Addr{"web.example": {a("192.168.77.10"), a("fd00:77::10")}, "gateway": {a("192.168.77.1")}},
		},
		TCP: stack.TCPConfig{
			CongestionControl: "cubic",
			ReceiveBuffer:     stack.BufferRange{Min: 4096, Default: 524288, Max: 4194304},
			SendBuffer:        stack.BufferRange{Min: 4096, Default: 1048576, Max: 4194304},
			FinWait2:          60 * time.Second, MinRTO: 200 * time.Millisecond, MaxRTO: 120 * time.Second,
		},
		Control: ControlConfig{Path: DefaultSocket, Mode: 0o666, GID: 0, Others: true},
		Process: ProcessConfig{Drain: 5 * time.Second},
		Log:     LogConfig{Format: "text"},
		Metrics: MetricsConfig{Listen: netip.MustParseAddrPort("127.0.0.1:9477")},
		File:    "../../testdata/tapstack.toml",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNICsInTheOrderOfTheFile(t *testing.T) {
	cfg, err := Parse("f", []byte(`
[nic.z]
address = ["10.0.1.1/24"]
[nic.a]
address = ["10.0.2.1/24"]
mtu = 576
[nic.m]
address = ["10.0.3.1/24"]`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range cfg.NICs {
		got = append(got, n.Name)
	}
	if s := strings.Join(got, ""); s != "zam" {
		t.Errorf("order %s, want zam", s)
	}
	if cfg.NICs[0].MTU != 1500 || cfg.NICs[1].MTU != 576 {
		t.Errorf("MTUs %d and %d, want the default and 576", cfg.NICs[0].MTU, cfg.NICs[1].MTU)
	}
}

func TestFlagsSayTheSameAsAFile(t *testing.T) {
	f := Flags{
		NIC: "tap0", MTU: 1500,
		Queues:   1,
		Spin:     "100us",
		Address:  []string{"192.168.77.2/24", "fd00:77::2/64"},
		Host:     []string{"192.168.77.1/24", "fd00:77::1/64"},
		Routes:   []string{"default via 192.168.77.1", "fd00:88::/64 via fd00:77::1"},
		Services: ServicesConfig{Echo: ":7", Discard: ":9", Chargen: ":19", Daytime: ":13", HTTP: ":80"},
		SOCKS5:   "127.0.0.1:1080", HTTPProxy: "127.0.0.1:3128",
	}
	got, err := f.Config()
	if err != nil {
		t.Fatal(err)
	}
	want, err := Load("../../testdata/tapstack.toml")
	if err != nil {
		t.Fatal(err)
	}
	// Flags do not say all that a file can.
	want.TCP, want.Control, want.File, want.Services.Accounting = stack.TCPConfig{}, ControlConfig{}, "", false
	want.Forwards, want.Names, want.SOCKS5 = nil, names.Config{}, ProxyConfig{Listen: "127.0.0.1:1080"}
	want.HTTPProxy.Users = nil
	want.Process, want.Log, want.Metrics = ProcessConfig{}, LogConfig{}, MetricsConfig{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("flags %+v\nfile  %+v", got, want)
	}
}

// nic is a file whose line 1 is good and whose rest is the given lines.
func nic(lines ...string) string {
	return "[nic.tap0]\naddress = [\"10.0.0.2/24\"]\n" + strings.Join(lines, "\n")
}

// badFile is a configuration that is refused, and how.
type badFile struct{ name, file, want string }

var badFiles = []badFile{
	{"empty", "", `f: no NIC: add a section`},
	{"no NIC", "[services]\necho = ':7'", `f: no NIC: add a section`},
	{"no TOML", "[nic.tap0]\nhello", `f:2: unexpected EOF; expected key separator`},
	{"key twice", nic("mtu = 1500", "mtu = 1500"), `f:4: Key 'nic.tap0.mtu' has already been defined`},
	{"section twice", nic("[nic.tap0]"), `f:3: Key 'nic.tap0' has already been defined`},
	{"not UTF-8", nic("# \xff"), `f:3: invalid UTF-8 byte`},
	{"long line", nic("", "host = ["+strings.Repeat(" ", 1<<10), "]"), `f:4: the line is longer than 512 bytes: break it`},
	{"UTF-16", "\xff\xfe[\x00n\x00", `f:1: `},

	{"unknown section", nic("[service]"), `f:3: unknown key "service": did you mean "services"?`},
	{"unknown key at the top", "mtu = 1500\n" + nic(), `f:1: unknown key "mtu": known are nic, services, forward, socks5`},
	{"unknown NIC key", nic("adddress = []"), `f:3: unknown key "adddress" in [nic.tap0]: did you mean "address"?`},
	{"the case of a key", nic("MTU = 1500"), `f:3: unknown key "MTU" in [nic.tap0]: did you mean "mtu"?`},
	{"unlike any key", nic("colour = 1"), `f:3: unknown key "colour" in [nic.tap0]: known are address, host, mtu, routes, adopt, queues, plain, spin`},
	{"unknown service", nic("", "[services]", "htpp = ':80'"), `f:5: unknown key "htpp" in [services]: did you mean "http"?`},
	{"the first of two", nic("hots = []", "mut = 1"), `f:3: unknown key "hots"`},
	{"odd key", nic(`"a\nb" = 1`), `f:3: unknown key "a\nb" in [nic.tap0]`},

	{"NIC is no section", "nic = 5", `f:1: "nic" has to be a section: [nic]`},
	{"NIC without a name", "[nic]\nmtu = 5", `f:2: "mtu" has to be a section: [nic.mtu]`},
	{"empty NIC name", "[nic.\"\"]", `f:1: the NIC has no name`},
	{"long NIC name", "\n[nic.abcdefghijklmnop]", `f:2: interface name "abcdefghijklmnop" has 16 bytes`},
	{"NIC name with a slash", "[nic.'a/b']", `f:1: interface name "a/b" contains '/'`},
	{"services are no section", nic() + "[[services]]", `f:3: "services" has to be a section`},

	{"no address", "\n[nic.tap0]\nmtu = 1500", `f:2: NIC tap0 has no address: add one`},
	{"address is a string", "[nic.tap0]\naddress = '10.0.0.2/24'", `f:2: address: want a list of strings`},
	{"address is a number", "[nic.tap0]\naddress = [5]", `f:2: address: want a list of strings`},
	{"malformed address", "[nic.tap0]\naddress = ['10.0.0.256/24']", `f:2: "10.0.0.256/24" is not an address with a prefix length`},
	{"no prefix length", "[nic.tap0]\naddress = ['10.0.0.2']", `f:2: address 10.0.0.2 lacks its prefix length: write it as 10.0.0.2/24`},
	{"no IPv6 prefix length", nic("host = ['fd00::1']"), `f:3: address fd00::1 lacks its prefix length: write it as fd00::1/64`},
	{"group's address", nic("host = ['224.0.0.1/24']"), `f:3: address 224.0.0.1/24 is not a host's`},
	{"IPv4 as IPv6", nic("host = ['::ffff:10.0.0.1/120']"), `f:3: address ::ffff:10.0.0.1/120 is IPv4 written as IPv6: write it as 10.0.0.1`},
	{"address twice", "[nic.tap0]\naddress = ['10.0.0.2/24', '10.0.0.2/16']", `f:2: address 10.0.0.2 is given twice: leave one out`},
	{"address at both ends", nic("host = ['10.0.0.2/24']"), `f:3: address 10.0.0.2 is given twice, first at f:2: leave one out`},
	{"address on two NICs", nic("[nic.tap1]", "address = ['10.0.0.2/24']"), `f:4: address 10.0.0.2 is given twice, first at f:2`},

	{"small MTU", nic("mtu = 67"), `f:3: MTU 67 is out of range: choose one from 68 to 65521`},
	{"no MTU", nic("mtu = 0"), `f:3: MTU 0 is out of range`},
	{"negative MTU", nic("mtu = -1"), `f:3: MTU -1 is out of range`},
	{"large MTU", nic("mtu = 65522"), `f:3: MTU 65522 is out of range`},
	{"huge MTU", nic("mtu = 9223372036854775807"), `f:3: MTU 9223372036854775807 is out of range`},
	{"small MTU for IPv6", nic("mtu = 1279", "host = ['fd00::1/64']"), `f:3: MTU 1279 is out of range: choose one from 1280 to 65521 with IPv6`},
	{"MTU is text", nic("mtu = '1500'"), `f:3: mtu: want a number of bytes`},

	{"adopt is text", nic("adopt = 'yes'"), `f:3: adopt: want true or false`},
	{"plain is a number", nic("plain = 1"), `f:3: plain: want true or false`},
	{"queues are text", nic("queues = 'two'"), `f:3: queues: want a number`},
	{"negative queues", nic("queues = -1"), `f:3: -1 queues: choose 1 to 256`},
	{"many queues", nic("queues = 257"), `f:3: 257 queues: choose 1 to 256`},
	{"huge queues", nic("queues = 9223372036854775807"), `f:3: 9223372036854775807 queues: choose 1 to 256`},
	{"plain queues", nic("plain = true", "queues = 2"), `f:4: 2 queues: the plain driver has one`},
	{"plain and adopted", nic("plain = true", "adopt = true"), `f:3: adopt: the plain driver cannot`},
	{"spin is a number", nic("spin = 5"), `f:3: spin: want a string`},
	{"spin is no time", nic("spin = 'often'"), `f:3: spin: "often": write a time such as "100us", or "never"`},
	{"negative spin", nic("spin = '-1s'"), `f:3: spin: "-1s": write a time`},
	{"long spin", nic("spin = '1h'"), `f:3: spinning for 1h0m0s: choose at most 100ms`},
	{"small MTU of an adopted TAP", nic("adopt = true", "mtu = 67"), `f:4: MTU 67 is out of range`},
	{"control is no section", nic() + "[[control]]", `f:3: "control" has to be a section`},
	{"unknown control key", nic("[control]", "pth = '/x'"), `f:4: unknown key "pth" in [control]: did you mean "path"?`},
	{"control path is a number", nic("[control]", "path = 5"), `f:4: path: want a path in quotes`},
	{"control path is relative", nic("[control]", "path = 'x'"), `f:4: path "x": want an absolute one`},
	{"control mode", nic("[control]", "mode = '0888'"), `f:4: mode "0888": want permissions in octal`},
	{"control group", nic("[control]", "group = 'nosuchgroup'"), `f:4: there is no group "nosuchgroup": make it`},
	{"control others", nic("[control]", "readonly-for-others = 1"), `f:4: readonly-for-others: want true or false`},
	{"unknown sysctl", nic("[tcp]", "'net.ipv4.tcp_rmen' = 5"), `f:4: unknown key "net.ipv4.tcp_rmen" in [tcp]: did you mean "net.ipv4.tcp_rmem"?`},
	{"sysctl without quotes", nic("[tcp]", "net.ipv4.tcp_sack = 5"), `f:4: unknown key "net" in [tcp]: write the whole name in quotes`},
	{"sysctl of the wrong type", nic("[tcp]", "'net.ipv4.tcp_sack' = {}"), `f:4: net.ipv4.tcp_sack: want a number`},
	{"sysctl out of range", nic("[tcp]", "'net.ipv4.tcp_sack' = 2"), `f:4: net.ipv4.tcp_sack = "2": want 0 or 1`},
	{"sysctl buffers", nic("[tcp]", "'net.ipv4.tcp_rmem' = [4096, 100, 200]"), `f:4: net.ipv4.tcp_rmem = "4096 100 200": want three numbers`},
	{"sysctl algorithm", nic("[tcp]", "'net.ipv4.tcp_congestion_control' = 'bbr'"), `want cubic or reno`},
	{"accounting", nic("[services]", "accounting = 'yes'"), `f:4: accounting: want true or false`},

	{"route without via", nic("routes = ['10.1.0.0/16']"), `f:3: route "10.1.0.0/16": write it as`},
	{"route to nothing", nic("routes = ['x via 10.0.0.1']"), `f:3: route "x via 10.0.0.1": "x" is not a prefix`},
	{"route via nothing", nic("routes = ['default via x']"), `f:3: route "default via x": "x" is not an address`},
	{"route of two families", nic("routes = ['::/0 via 10.0.0.1']"), `mixes IPv4 and IPv6`},
	{"route with host bits", nic("routes = ['10.1.0.1/16 via 10.0.0.1']"), `f:3: route "10.1.0.1/16 via 10.0.0.1": 10.1.0.1/16 has bits beyond its prefix: write 10.1.0.0/16`},
	{"route via a stranger", nic("routes = ['default via 10.9.0.1']"), `10.9.0.1 is on no network of this NIC`},

	{"service without port", nic("[services]", "echo = '10.0.0.2'"), `f:4: echo: "10.0.0.2" is not an address with a port`},
	{"service port too large", nic("[services]", "echo = ':65536'"), `f:4: echo: port 65536 is out of range: choose one from 0 to 65535`},
	{"negative service port", nic("[services]", "echo = ':-1'"), `f:4: echo: "-1" is not a port number`},
	{"service port by name", nic("[services]", "http = ':http'"), `f:4: http: "http" is not a port number`},
	{"service by host name", nic("[services]", "http = 'localhost:80'"), `f:4: http: "localhost" is not an IP address`},
	{"service elsewhere", nic("[services]", "http = '10.0.0.3:80'"), `f:4: http: 10.0.0.3 is none of our addresses`},
	{"service is a number", nic("[services]", "http = 80"), `f:4: http: want a string`},
	{"port in use", nic("[services]", "echo = ':7'", "http = '10.0.0.2:7'"), `f:5: http: TCP port 7 is in use by echo: choose another`},
}

func TestBadFiles(t *testing.T) {
	for _, c := range slices.Concat(badFiles, badProxyFiles) {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f", []byte(c.file))
			checkConfigError(t, err, c.want)
		})
	}
}

// checkConfigError demands a ConfigError of one line that begins with, or
// contains, want.
func checkConfigError(t *testing.T, err error, want string) {
	t.Helper()
	var ce *ConfigError
	if !errors.As(err, &ce) {
		t.Fatalf("got %v, want a ConfigError", err)
	}
	got := err.Error()
	if strings.ContainsAny(got, "\n\r") {
		t.Errorf("more than a line: %q", got)
	}
	if strings.HasPrefix(want, "f:") && !strings.HasPrefix(got, want) || !strings.Contains(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBadFlags(t *testing.T) {
	good := func() *Flags { return &Flags{NIC: "tap0", Address: []string{"10.0.0.2/24"}, MTU: 1500} }
	for _, c := range []struct {
		name   string
		change func(*Flags)
		want   string
	}{
		{"nothing", func(f *Flags) { *f = Flags{} }, `--nic: no NIC: give a file by -c, or flags`},
		{"name", func(f *Flags) { f.NIC = "a b" }, `--nic: interface name "a b" contains`},
		{"no address", func(f *Flags) { f.Address = nil }, `--address: NIC tap0 has no address`},
		{"address", func(f *Flags) { f.Address = []string{"x"} }, `--address: "x" is not an address`},
		{"host", func(f *Flags) { f.Host = []string{"10.0.0.2/24"} }, `--host: address 10.0.0.2 is given twice, first at --address`},
		{"MTU", func(f *Flags) { f.MTU = 0 }, `--mtu: MTU 0 is out of range`},
		{"queues", func(f *Flags) { f.Queues = 257 }, `--queues: 257 queues`},
		{"plain", func(f *Flags) { f.Plain, f.Adopt = true, true }, `--plain: adopt: the plain driver cannot`},
		{"spin", func(f *Flags) { f.Spin = "x" }, `--spin: spin: "x"`},
		{"route", func(f *Flags) { f.Routes = []string{"x"} }, `--route: route "x"`},
		{"service", func(f *Flags) { f.Services.HTTP = "80" }, `--http: http: "80" is not an address with a port`},
		{"files", func(f *Flags) { f.Services.Root = "/" }, `--http-root: http-root: there is no http`},
		{"socks5", func(f *Flags) { f.SOCKS5 = ":1080" }, `--socks5: socks5: ":1080" lets everybody in`},
		{"http-proxy", func(f *Flags) { f.HTTPProxy = "x" }, `--http-proxy: http-proxy: "x" is not`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			c.change(f)
			_, err := f.Config()
			checkConfigError(t, err, c.want)
		})
	}
	if _, err := good().Config(); err != nil {
		t.Errorf("the flags that were good: %v", err)
	}
}

// TestDeviceSettings: the same from a file and from flags.
func TestDeviceSettings(t *testing.T) {
	fromFile, err := Parse("f", []byte("[nic.tap0]\naddress = ['10.0.0.2/24']\nadopt = true\nqueues = 2\nspin = 'never'"))
	if err != nil {
		t.Fatal(err)
	}
	fromFlags, err := (&Flags{NIC: "tap0", Address: []string{"10.0.0.2/24"}, Adopt: true, Queues: 2, Spin: "never"}).Config()
	if err != nil {
		t.Fatal(err)
	}
	want := NICConfig{Name: "tap0", Address: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, Adopt: true, Queues: 2, Spin: -1}
	for name, got := range map[string]*Config{"file": fromFile, "flags": fromFlags} {
		if !reflect.DeepEqual(got.NICs[0], want) {
			t.Errorf("%s: %+v, want %+v", name, got.NICs[0], want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Run("no file", func(t *testing.T) {
		_, err := Load(filepath.Join(dir, "none"))
		checkConfigError(t, err, "none: no such file")
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v is not os.ErrNotExist", err)
		}
	})
	t.Run("directory", func(t *testing.T) {
		_, err := Load(dir)
		checkConfigError(t, err, dir)
	})
	t.Run("10 MB", func(t *testing.T) {
		path := filepath.Join(dir, "big")
		if err := os.WriteFile(path, bytes.Repeat([]byte("#"), 10<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		checkConfigError(t, err, path+": the file is larger than 1048576 bytes")
	})
}

func FuzzConfig(f *testing.F) {
	for _, c := range slices.Concat(badFiles, badProxyFiles) {
		f.Add([]byte(c.file))
	}
	example, err := os.ReadFile("../../testdata/tapstack.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		if err == nil {
			if len(cfg.NICs) == 0 || len(cfg.NICs[0].Address) == 0 || cfg.NICs[0].MTU == 0 && !cfg.NICs[0].Adopt {
				t.Errorf("accepted, but incomplete: %+v", cfg)
			}
			return
		}
		checkConfigError(t, err, "f")
	})
}
