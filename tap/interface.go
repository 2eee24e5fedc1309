package tap

import (
	"errors"
	"net"
)

// Interface is the operating system's end of a device at one instant.
type Interface struct {
	Name         string
	Up           bool
	MTU          int // IP MTU in bytes
	HardwareAddr net.HardwareAddr
	TxQueueLen   int // frames the system keeps for us before it drops

	// What the system itself has dropped, from its point of view: Tx is
	// toward us. TxDropped are frames that found our queue full.
	RxDropped, TxDropped, RxErrors, TxErrors uint64
}

// errNoInterface: a pipe, or a system that is not asked.
var errNoInterface = errors.New("no interface of the operating system behind this device")

// InterfaceOf asks the operating system about its end of d, or of the device
// that d is wrapped around.
func InterfaceOf(d Device) (Interface, error) {
	if v, ok := find[interface{ Interface() (Interface, error) }](d); ok {
		return v.Interface()
	}
	return Interface{}, errNoInterface
}

// Watch calls fn, on the caller's goroutine, with the state of the operating
// system's end of d: the present one, and another whenever the system reports a
// change (up, down, MTU, name). Of several changes while fn runs it gets the
// last. Device.MTU and Device.Name give the new ones before fn is called, and
// only while somebody watches. Any number of goroutines may watch a device, as a stack does.
//
// It returns when d is closed or gone or can be seen no more, and at once where
// there is nothing to watch.
func Watch(d Device, fn func(Interface)) {
	if v, ok := find[interface{ Watch(func(Interface)) }](d); ok {
		v.Watch(fn)
	}
}

// find looks for T in d and in what d is wrapped around.
func find[T any](d Device) (found T, ok bool) {
	for d != nil {
		if v, ok := d.(T); ok {
			return v, true
		}
		w, wraps := d.(interface{ Unwrap() Device })
		if !wraps {
			break
		}
		d = w.Unwrap()
	}
	return found, false
}
