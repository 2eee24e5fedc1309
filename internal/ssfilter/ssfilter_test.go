package ssfilter

import (
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMatch(t *testing.T) {
	local, remote := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("10.1.2.3:4000")
	for text, want := range map[string]bool{
		"": true, "sport = :80": true, "sport = :81": false, "dst 10.0.0.0/8 and not src 10.0.0.0/8": true,
		"( sport = :81 or dport >= 4000 )": true, "src 192.0.2.1:81": false, "state established": true,
	} {
		f, err := Parse(text)
		if err != nil || f.Match(local, remote) != want {
			t.Errorf("%s: %v, %v", text, !want, err)
		}
	}
	f, err := Parse("state established exclude time-wait")
	if err != nil || len(f.States) != 1 || f.States[0] != "ESTABLISHED" || !f.All() {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ filter, want string }{
		{"state foo", `there is no state "foo"`}, {"state", `there is no state ""`},
		{"sport", `"" is no port number`}, {"sport = http", `"http" is no port number`}, {"sport = 65536", "is no port number"},
		{"dst foo", `"foo" is no address`}, {"dst", `"" is no address`}, {"dst > 10.0.0.1", "an address is = or !="}, {"dst [::1", "is no address"},
		{"( sport = 1", "a parenthesis is not closed"}, {"sport = 1 )", `")": want "and"`}, {"sport = 1 or", "ends too early"},
		{"foo = 1", `"foo": want state`}, {strings.Repeat("( ", 60) + "sport = 1", "nested too deeply"},
	} {
		_, err := Parse(c.filter)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.filter, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("state established ( sport = :80 or not dst [fd00::1]:5 ) exclude x")
	f.Add("src 10.0.0.0/8:80&&dport>=1||!sport!=5")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		at := netip.MustParseAddrPort("[fd00::1]:80")
		if got := p.Match(at, netip.AddrPort{}); p.All() && !got {
			t.Errorf("%q is of everything, and refuses something", text)
		}
		p.Match(netip.AddrPort{}, at)
	})
}
