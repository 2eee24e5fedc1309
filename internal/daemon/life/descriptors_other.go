//go:build !unix

package life

// openFiles is as good as no limit.
func openFiles() int { return 1 << 30 }
