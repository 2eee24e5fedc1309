package socketapi

import (
	"context"
	"net"
	"os"
	"syscall"
)

// opErr makes the outer ring, once, at the exported method. Absent addresses
// stay nil interfaces, as in package net.
func opErr(op, network string, source, addr net.Addr, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}

// dialTimeout is what an expired dial or wait reports: a timeout to whoever asks
// errors.Is for either of the two names that std has for it, or net.Error.
type dialTimeout struct{}

func (dialTimeout) Error() string   { return "i/o timeout" }
func (dialTimeout) Timeout() bool   { return true }
func (dialTimeout) Temporary() bool { return true }
func (dialTimeout) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// errInvalid is EINVAL for arguments that no call would have accepted.
func errInvalid(call string) error { return os.NewSyscallError(call, syscall.EINVAL) }

// needContext panics without a context, as net.Dialer's DialContext does: it is
// a mistake in the program, and a wait that nothing can end would hide it.
func needContext(ctx context.Context) {
	if ctx == nil {
		panic("nil context")
	}
}
