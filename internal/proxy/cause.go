package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Cause is why a connection was refused, or how it ended. There are no others
// than those below, so that it can be a metric's label.
type Cause string

// The causes of a refusal: nothing was relayed.
const (
	CauseLimit       Cause = "limit"       // Limits.Conns or Limits.Flows are reached
	CauseUntrusted   Cause = "untrusted"   // not one of Options.PROXYFrom
	CauseGarbage     Cause = "garbage"     // not the protocol that is spoken here
	CauseStalled     Cause = "stalled"     // no whole request within Limits.Handshake
	CauseGone        Cause = "gone"        // the client left before its request was whole
	CauseAuth        Cause = "auth"        // wrong user or password, or none
	CauseUnsupported Cause = "unsupported" // a command or address type there is not
	CauseName        Cause = "name"        // no address for the target's name
	CauseRefused     Cause = "refused"     // the target's: ECONNREFUSED
	CauseUnreachable Cause = "unreachable" // the target: EHOSTUNREACH, ENETUNREACH
	CauseTimeout     Cause = "timeout"     // the target, or its name's server, does not answer
	CauseExhausted   Cause = "exhausted"   // out of ports, descriptors (Network.Descriptors) or memory here
	CauseFailed      Cause = "failed"      // dialling failed otherwise
)

// The ends of what was relayed. Shutdown is a refusal too.
const (
	CauseClosed   Cause = "closed"   // both sides have sent a FIN and have everything
	CauseReset    Cause = "reset"    // one side was reset or timed out, and so the other
	CauseIdle     Cause = "idle"     // nothing moved for Limits.Idle or Limits.FlowIdle
	CauseEvicted  Cause = "evicted"  // a UDP flow that made room for another
	CauseShutdown Cause = "shutdown" // the service was
)

// refusal is an error with its cause.
type refusal struct {
	cause Cause
	err   error
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %v", r.cause, r.err) }
func (r *refusal) Unwrap() error { return r.err }

// refuse gives err a cause, unless it has one.
func refuse(cause Cause, err error) error {
	var r *refusal
	if err == nil || errors.As(err, &r) {
		return err
	}
	return &refusal{cause, err}
}

// causeOf is the cause of an error of this package's own making.
func causeOf(err error) Cause {
	var r *refusal
	if errors.As(err, &r) {
		return r.cause
	}
	return CauseFailed
}

// dialCause is why dialling failed.
func dialCause(err error) Cause {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return CauseUnreachable
	case errors.As(err, &dns) && dns.IsNotFound:
		return CauseName
	case errors.Is(err, context.Canceled):
		return CauseShutdown
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT),
		errors.As(err, &dns) && dns.IsTimeout:
		return CauseTimeout
	case errors.As(err, &dns):
		return CauseName
	case exhausted(err):
		return CauseExhausted
	}
	return CauseFailed
}

// exhausted says that it is this machine that has too little of something.
func exhausted(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// readCause is why a client's request could not be read.
func readCause(err error) Cause {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return CauseStalled
	case errors.Is(err, errGarbage):
		return CauseGarbage
	}
	return CauseGone // EOF in the middle, reset, closed
}

var errGarbage = errors.New("not understood")

func garbage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errGarbage}, args...)...)
}
