//go:build race

package stack

// raceEnabled: the race detector makes sync.Pool forget, so gVisor allocates.
const raceEnabled = true
