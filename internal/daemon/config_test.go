package daemon

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
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

var badFiles = []struct{ name, file, want string }{
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

	{"forward is no section", nic("[[forward]]"), `f:3: "forward" has to be a section: [forward]`},
	{"forward without a name", nic("[forward]", "listen = ':1'"), `f:4: "listen" has to be a section: [forward.listen]`},
	{"forward's name", nic("[forward.'a b']"), `f:3: forward "a b": name it by`},
	{"unknown forward key", nic("[forward.web]", "lisen = ':1'"), `f:4: unknown key "lisen" in [forward.web]: did you mean "listen"?`},
	{"dotted unknown key", nic("[forward.web]", "lisen.x = ':1'"), `f:4: unknown key "lisen" in [forward.web]: did you mean "listen"?`},
	{"forward without listen", nic("[forward.web]"), `f:3: forward.web: no "listen"`},
	{"forward without to", nic("[forward.web]", "listen = ':1'"), `f:3: forward.web: no "to"`},
	{"forward protocol", forward("protocol = 'sctp'"), `f:6: protocol "sctp": want "tcp" or "udp"`},
	{"forward from", forward("from = 'kernel'"), `f:6: from "kernel": want "host"`},
	{"forward listen is a number", nic("[forward.web]", "listen = 80"), `f:4: listen: want a string`},
	{"forward listens nowhere", nic("[forward.web]", "listen = '127.0.0.1'"), `f:4: forward.web: "127.0.0.1" is not an address with a port`},
	{"forward listens at a stranger's", forward("from = 'stack'"), `f:4: forward.web: 127.0.0.1 is none of our addresses`},
	{"forward to nothing", nic("[forward.web]", "listen = ':1'", "to = 'x'"), `f:5: to: "x" is not an address with a port`},
	{"forward to port 0", nic("[forward.web]", "listen = ':1'", "to = '10.0.0.1:0'"), `f:5: to: "0" is not a port number from 1`},
	{"forward to everywhere", nic("[forward.web]", "listen = ':1'", "to = ':80'"), `f:5: to: ":80" is everywhere and nowhere`},
	{"forward to loopback", nic("[forward.web]", "listen = ':1'", "to = '127.0.0.1:80'"), `f:5: to: 127.0.0.1 is the machine's own`},
	{"forward to an unknown name", nic("[forward.web]", "listen = ':1'", "to = 'db:80'"), `f:5: to: the name "db" cannot be looked up in the stack's network: add it to [hosts], or servers to [dns]`},
	{"forward to no address", nic("[forward.web]", "listen = ':1'", "to = '10.0.0.256:80'"), `f:5: to: "10.0.0.256" is neither an address nor a name`},
	{"forward to IPv4 as IPv6", nic("[forward.web]", "listen = ':1'", "to = '[::ffff:10.0.0.1]:80'"), `f:5: to: address ::ffff:10.0.0.1 is IPv4 written as IPv6`},
	{"forwards at one port", forward("[forward.two]", "listen = ':8080'", "to = '10.0.0.1:80'"), `f:7: forward.two: TCP port 8080 is in use by forward.web`},
	{"forward at a service's port", nic("[services]", "echo = ':7'", "[forward.web]", "from = 'stack'", "listen = ':7'", "to = '127.0.0.1:80'"), `f:7: forward.web: TCP port 7 is in use by echo`},
	{"forward of UDP at a service's port", nic("[services]", "echo = ':7'", "[forward.web]", "from = 'stack'", "protocol = 'udp'", "listen = ':7'", "to = '127.0.0.1:80'"), `f:8: forward.web: UDP port 7 is in use by echo`},
	{"forward's PROXY version", forward("proxy-protocol = 'v3'"), `f:6: proxy-protocol "v3": want "v1" or "v2"`},
	{"PROXY over UDP", forward("protocol = 'udp'", "proxy-protocol = 'v1'"), `f:7: proxy-protocol: it is for TCP`},
	{"connections over UDP", forward("protocol = 'udp'", "max-connections = 5"), `f:7: max-connections: it is for TCP`},
	{"clients over TCP", forward("max-clients = 5"), `f:6: max-clients: it is for UDP`},
	{"PROXY from nobody", forward("accept-proxy-protocol = []"), `f:6: accept-proxy-protocol: name who may send it`},
	{"PROXY from nonsense", forward("accept-proxy-protocol = ['x']"), `f:6: accept-proxy-protocol: "x" is neither`},
	{"PROXY from everybody", forward("accept-proxy-protocol = true"), `f:6: accept-proxy-protocol: want a list of prefixes`},
	{"forward's buffer", forward("rcvbuf = 10"), `f:6: rcvbuf: 10 bytes: choose 1024 to`},
	{"forward's other buffer", forward("sndbuf = 10000000000"), `f:6: sndbuf: 10000000000 bytes: choose`},
	{"forward's connections", forward("max-connections = -1"), `f:6: max-connections: -1: choose`},
	{"forward's time", forward("idle-timeout = '1'"), `f:6: idle-timeout: "1": write a time`},
	{"forward's long time", forward("dial-timeout = '1000h'"), `f:6: dial-timeout: "1000h": write a time`},
	{"UDP for ever", forward("protocol = 'udp'", "idle-timeout = 'never'"), `f:7: idle-timeout: "never": write a time`},

	{"socks5 is no section", nic("[[socks5]]"), `f:3: "socks5" has to be a section`},
	{"unknown socks5 key", nic("[socks5]", "user = 'x'"), `f:4: unknown key "user" in [socks5]: did you mean "users"?`},
	{"socks5 without listen", nic("[socks5]"), `f:3: socks5: no "listen"`},
	{"socks5 for everybody", nic("[socks5]", "listen = ':1080'"), `f:4: socks5: ":1080" lets everybody in who reaches it: listen at 127.0.0.1, add users, or say open = true`},
	{"socks5 for nobody", nic("[socks5]", "listen = '127.0.0.1:1080'", "users = {}"), `f:5: users: there are none`},
	{"socks5 without a password", nic("[socks5]", "listen = ':1080'", "users = { ann = '' }"), `f:5: users: user and password have 1 to 255 bytes`},
	{"socks5 with a list of users", nic("[socks5]", "listen = ':1080'", "users = ['ann']"), `f:5: users: want a table of passwords`},
	{"unknown http-proxy key", nic("[http-proxy]", "proxy-protocol = 'v1'"), `f:4: unknown key "proxy-protocol" in [http-proxy]`},
	{"http-proxy user with a colon", nic("[http-proxy]", "listen = ':1080'", "[http-proxy.users]", "'a:b' = 'x'"), `f:5: users: "a:b" has a colon`},
	{"proxies at one port", nic("[socks5]", "listen = '127.0.0.1:1080'", "[http-proxy]", "listen = '127.0.0.1:1080'"), `f:6: http-proxy: TCP port 1080 is in use by socks5`},

	{"unknown dns key", nic("[dns]", "server = []"), `f:4: unknown key "server" in [dns]: did you mean "servers"?`},
	{"dns by name", nic("[dns]", "servers = ['ns.example']"), `f:4: servers: "ns.example" is no server's address`},
	{"dns on loopback", nic("[dns]", "servers = ['127.0.0.53']"), `f:4: servers: 127.0.0.53 is the machine's own`},
	{"dns is text", nic("[dns]", "servers = '10.0.0.1'"), `f:4: servers: want a list of strings`},
	{"host without quotes", nic("[hosts]", "db.example = '10.0.0.1'"), `f:4: "db.example" has dots: write the whole name in quotes`},
	{"host's address", nic("[hosts]", "db = 'x'"), `f:4: db: "x" is no address`},
	{"host without address", nic("[hosts]", "db = []"), `f:4: db: no address`},
	{"host is a number", nic("[hosts]", "db = 5"), `f:4: db: want an address in quotes, or a list of them`},
	{"host's name", nic("[hosts]", "'a b' = '10.0.0.1'"), `f:4: "a b" is no host's name`},
	{"host in another case", nic("[hosts]", "db = '10.0.0.1'", "DB = '10.0.0.1'"), `is there twice, in another case`},

	{"files without http", nic("[services]", "http-root = '/'"), `f:4: http-root: there is no http service`},
	{"files at a relative path", nic("[services]", "http = ':80'", "http-root = 'x'"), `f:5: http-root "x": want an absolute path`},
	{"files nowhere", nic("[services]", "http = ':80'", "http-root = '/nosuch'"), `f:5: http-root: stat /nosuch: no such file`},
	{"files of a file", nic("[services]", "http = ':80'", "http-root = '/dev/null'"), `f:5: http-root "/dev/null": want a directory`},
	{"services' buffer", nic("[services]", "rcvbuf = 1"), `f:4: rcvbuf: 1 bytes: choose`},
	{"services' buffer is text", nic("[services]", "sndbuf = '1'"), `f:4: sndbuf: want a number of bytes`},
}

// forward is a file with a forward that is good, and the given lines from line 6
// on.
func forward(lines ...string) string {
	return nic(append([]string{"[forward.web]", "listen = '127.0.0.1:8080'", "to = '10.0.0.1:80'"}, lines...)...)
}

func TestBadFiles(t *testing.T) {
	for _, c := range badFiles {
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
	for _, c := range badFiles {
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
