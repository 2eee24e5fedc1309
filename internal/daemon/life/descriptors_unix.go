//go:build unix

package life

import "syscall"

// openFiles is RLIMIT_NOFILE, the soft limit, which package os has raised to
// the hard one.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1 << 10 // what it is where nobody has set it
	}
	return int(min(l.Cur, 1<<30))
}
