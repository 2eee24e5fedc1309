package life

import "golang.org/x/sys/unix"

// monotonic is CLOCK_MONOTONIC in microseconds, the manager's clock too.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano() / 1000
}
