package daemon

import (
	"net/netip"
	"strings"
	"testing"
)

// TestReadyTellsOfMetrics: where they are, if they are anywhere.
func TestReadyTellsOfMetrics(t *testing.T) {
	r := Ready{NICs: []NICConfig{{Name: "tap0", Address: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}}}}
	for at, want := range map[netip.AddrPort]bool{{}: false, netip.MustParseAddrPort("127.0.0.1:9477"): true} {
		var out strings.Builder
		r.Metrics = at
		if err := r.Print(&out); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "http://127.0.0.1:9477/metrics"); got != want {
			t.Errorf("%v:\n%s", at, &out)
		}
	}
}
