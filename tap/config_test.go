package tap

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	hosts := func(s ...string) (ps []netip.Prefix) {
		for _, s := range s {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return ps
	}
	for _, c := range []struct {
		cfg Config
		say string // "" when the configuration is good
	}{
		{Config{}, ""},
		{Config{Name: "exactly-15-byte"}, ""},
		{Config{Name: "exactly-16-bytes"}, "at most 15"},
		{Config{Name: "a b"}, `contains ' '`},
		{Config{Name: "a/b"}, `contains '/'`},
		{Config{Name: "tap%d"}, `contains '%'`},
		{Config{Name: "täp"}, `contains 'ä'`},
		{Config{Name: ".."}, "reserved"},
		{Config{Name: "all"}, "reserved"},
		{Config{Name: "default"}, "reserved"},
		{Config{TxQueueLen: maxTxQueueLen}, ""},
		{Config{TxQueueLen: maxTxQueueLen + 1}, "at most 524288"},
		{Config{Spin: 100 * time.Millisecond}, ""},
		{Config{Spin: time.Hour}, "at most 100ms"},
		{Config{MTU: 68}, ""},
		{Config{MTU: 67}, "from 68 to 65521"},
		{Config{MTU: -1}, "from 68 to 65521"},
		{Config{MTU: 65521}, ""},
		{Config{MTU: 65522}, "from 68 to 65521"},
		{Config{MTU: 1279, Host: hosts("10.0.0.1/24")}, ""},
		{Config{MTU: 1279, Host: hosts("10.0.0.1/24", "fd00::1/64")}, "from 1280 to 65521 with IPv6"},
		{Config{MTU: 1280, Host: hosts("fd00::1/64")}, ""},
		{Config{Host: hosts("10.0.0.1/24", "10.0.0.1/16")}, "given twice"},
		{Config{Host: hosts("0.0.0.0/0")}, "unspecified"},
		{Config{Host: hosts("::/0")}, "unspecified"},
		{Config{Host: hosts("224.0.0.1/4")}, "a group's"},
		{Config{Host: hosts("ff02::1/64")}, "a group's"},
		{Config{Host: hosts("255.255.255.255/32")}, "a group's"},
		{Config{Host: []netip.Prefix{{}}}, "not set"},
		{Config{Host: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 120)}}, "write it as IPv4"},
		{Config{HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, ""},
		{Config{HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0}}, "give 6"},
		{Config{HardwareAddr: net.HardwareAddr{1, 0, 0, 0, 0, 1}}, "a group's"},
		{Config{HardwareAddr: net.HardwareAddr{0, 0, 0, 0, 0, 0}}, "all zeros"},
	} {
		err := c.cfg.Validate()
		switch {
		case c.say == "" && err != nil:
			t.Errorf("%+v: %v", c.cfg, err)
		case c.say != "" && (err == nil || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%+v: %v, want one line with %q", c.cfg, err, c.say)
		}
	}
}
