package socketapi

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// sysErr makes the inner two rings of an error: what a system call of that
// name would have reported.
func sysErr(call string, err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call, stack.Errno(err))
}

// opErr makes the outer ring, once, at the exported method. Absent addresses
// stay nil interfaces, as in package net.
func opErr(op, network string, source, addr net.Addr, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}

// dialTimeout is what an expired dial reports: a timeout to whoever asks
// errors.Is for either of the two names that std has for it, or net.Error.
type dialTimeout struct{}

func (dialTimeout) Error() string   { return "i/o timeout" }
func (dialTimeout) Timeout() bool   { return true }
func (dialTimeout) Temporary() bool { return true }
func (dialTimeout) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// ctxErr is why a dial ended with its context: cancelled, or out of time.
func ctxErr(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return dialTimeout{}
	}
	return ctx.Err()
}

// errInvalid is EINVAL for arguments that no call would have accepted.
func errInvalid(call string) error { return os.NewSyscallError(call, syscall.EINVAL) }
