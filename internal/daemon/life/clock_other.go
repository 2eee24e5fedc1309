//go:build !linux

package life

// monotonic is not known: there is no service manager that asks.
func monotonic() int64 { return 0 }
