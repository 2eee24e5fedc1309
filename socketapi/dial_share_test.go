package socketapi_test

import (
	"context"
	"math"
	"testing"
	"time"

	"tapstack/socketapi"
)

// TestDialShares: of several addresses each gets its share of the time until the
// earliest of what ends a dial.
func TestDialShares(t *testing.T) {
	a, _ := pair(t, nil)
	now := a.Clock().Now()
	for _, tc := range []struct {
		name  string
		ctx   time.Duration // 0: without a deadline
		d     socketapi.Dialer
		n     int
		share time.Duration // 0: all there is
	}{
		{"nothing ends it", 0, socketapi.Dialer{}, 2, 0},
		{"one address", time.Hour, socketapi.Dialer{Timeout: time.Hour}, 1, time.Hour},
		{"the timeout", 0, socketapi.Dialer{Timeout: time.Hour}, 2, 30 * time.Minute},
		{"the deadline", 0, socketapi.Dialer{Deadline: now.Add(time.Hour)}, 4, 15 * time.Minute},
		{"the context", time.Hour, socketapi.Dialer{}, 2, 30 * time.Minute},
		{"the context before the timeout", time.Hour, socketapi.Dialer{Timeout: 9 * time.Hour}, 2, 30 * time.Minute},
		{"the timeout before the context", 9 * time.Hour, socketapi.Dialer{Timeout: time.Hour}, 2, 30 * time.Minute},
		{"the far future", 0, socketapi.Dialer{Timeout: math.MaxInt64}, 2, math.MaxInt64 / 2},
		{"two seconds at least", 0, socketapi.Dialer{Timeout: 3 * time.Second}, 3, 2 * time.Second},
	} {
		ctx := t.Context()
		if tc.ctx != 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, tc.ctx)
			defer cancel()
		}
		tc.d.Stack = a
		got := socketapi.DialShare(ctx, &tc.d, tc.n)
		if off := (got - tc.share).Abs(); off > tc.share/10 || (got == 0) != (tc.share == 0) {
			t.Errorf("%s: %v and not %v", tc.name, got, tc.share)
		}
	}
}
