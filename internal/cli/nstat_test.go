package cli

import (
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
)

// TestNstatClockJumps: rates are by an interval that is measured, whatever the
// clock said at its two ends.
func TestNstatClockJumps(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := &api.Stats{Time: now, Counters: []api.Counter{{Name: "TcpInSegs", Value: 10}}}
	for _, jump := range []time.Duration{-time.Hour, 0, time.Hour} {
		after := &api.Stats{Time: now.Add(jump), Counters: []api.Counter{{Name: "TcpInSegs", Value: 30}}}
		var out strings.Builder
		if err := (&Nstat{}).show(&out, before, after, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		if f := strings.Fields(out.String()); len(f) != 3 || f[1] != "20" || f[2] != "10.0" {
			t.Errorf("%v: %q", jump, &out)
		}
	}
}
