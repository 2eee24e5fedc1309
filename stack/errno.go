package stack

import (
	"reflect"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// errnos is the one table from gVisor's errors to errnos: what connect(2),
// send(2) and their like report on Linux for the same event. Where gVisor's
// own Linux table differs, the comment says why.
var errnos = map[string]syscall.Errno{
	"ErrAborted":                      syscall.ECONNABORTED, // gVisor says EPIPE, which hides that the stack itself gave up
	"ErrAddressFamilyNotSupported":    syscall.EAFNOSUPPORT,
	"ErrAlreadyBound":                 syscall.EINVAL,
	"ErrAlreadyConnected":             syscall.EISCONN,
	"ErrAlreadyConnecting":            syscall.EALREADY,
	"ErrBadAddress":                   syscall.EFAULT,
	"ErrBadBuffer":                    syscall.EFAULT,
	"ErrBadLocalAddress":              syscall.EADDRNOTAVAIL,
	"ErrBroadcastDisabled":            syscall.EACCES,
	"ErrClosedForReceive":             syscall.ESHUTDOWN, // a reader reports it as io.EOF, never as an errno
	"ErrClosedForSend":                syscall.EPIPE,
	"ErrConnectStarted":               syscall.EINPROGRESS,
	"ErrConnectionAborted":            syscall.ECONNABORTED,
	"ErrConnectionRefused":            syscall.ECONNREFUSED,
	"ErrConnectionReset":              syscall.ECONNRESET,
	"ErrDestinationRequired":          syscall.EDESTADDRREQ,
	"ErrDuplicateAddress":             syscall.EEXIST,
	"ErrDuplicateNICID":               syscall.EEXIST,
	"ErrEndpointBusy":                 syscall.EBUSY,
	"ErrHostDown":                     syscall.EHOSTDOWN,
	"ErrHostUnreachable":              syscall.EHOSTUNREACH,
	"ErrInvalidEndpointState":         syscall.EINVAL,
	"ErrInvalidNICID":                 syscall.ENODEV,
	"ErrInvalidOptionValue":           syscall.EINVAL,
	"ErrInvalidPortRange":             syscall.EINVAL,
	"ErrMalformedHeader":              syscall.EINVAL,
	"ErrMessageTooLong":               syscall.EMSGSIZE,
	"ErrMissingRequiredFields":        syscall.EINVAL,
	"ErrMulticastInputCannotBeOutput": syscall.EINVAL,
	"ErrNetworkUnreachable":           syscall.ENETUNREACH,
	"ErrNoBufferSpace":                syscall.ENOBUFS,
	"ErrNoNet":                        syscall.ENETUNREACH, // ENONET does not exist off Linux
	"ErrNoPortAvailable":              syscall.EADDRNOTAVAIL,
	"ErrNoSuchFile":                   syscall.ENOENT,
	"ErrNotConnected":                 syscall.ENOTCONN,
	"ErrNotPermitted":                 syscall.EPERM,
	"ErrNotSupported":                 syscall.EOPNOTSUPP,
	"ErrPortInUse":                    syscall.EADDRINUSE,
	"ErrQueueSizeNotSupported":        syscall.ENOTTY,
	"ErrTimeout":                      syscall.ETIMEDOUT,
	"ErrUnknownDevice":                syscall.ENODEV,
	"ErrUnknownNICID":                 syscall.ENODEV,
	"ErrUnknownProtocol":              syscall.EPROTONOSUPPORT,
	"ErrUnknownProtocolOption":        syscall.ENOPROTOOPT,
	"ErrWouldBlock":                   syscall.EAGAIN,
}

// Errno is the errno that Linux reports for err, and 0 for nil. An error that
// this version of the table does not know is EPROTO; a test of this package
// sees to it that the pinned gVisor has none.
func Errno(err tcpip.Error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := errnos[reflect.TypeOf(err).Elem().Name()]; ok {
		return errno
	}
	return syscall.EPROTO
}
