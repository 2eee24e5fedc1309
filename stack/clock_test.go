package stack

import (
	"testing"
	"time"
)

func TestFloor(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		-1:                     -1,
		0:                      0,
		1:                      minTimeout,
		minTimeout:             minTimeout,
		200 * time.Millisecond: 200 * time.Millisecond,
	} {
		if got := floor(in); got != want {
			t.Errorf("floor(%v) = %v, want %v", in, got, want)
		}
	}
}
