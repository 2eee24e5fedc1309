// Package rawlink has both ends of a TAP in one program: the device, for a
// stack, and a packet socket on the same interface, for whoever plays the rest
// of the network. Every frame passes the kernel on its way, as it does when a
// daemon's TAP is attached to something:
//
//	stack <-> tap.Device <-> kernel's interface <-> packet socket <-> caller
//
// The interface has no addresses and speaks no IPv6, so the kernel sends
// nothing of its own and answers nothing. The package starts no goroutine.
package rawlink

import (
	"tapstack/internal/netns"
	"tapstack/tap"
)

// Open makes a TAP, named by the kernel, in the calling thread's network
// namespace, brings it up, and returns it as near, and as far the other side:
// what is written to one is read from the other. Both are the caller's to
// close; the interface goes with near.
//
// near has every offload that the kernel gives. far hands over frames with the
// offloads that the stack has left open, and takes whole frames up to the MTU.
//
// It needs CAP_NET_ADMIN and CAP_NET_RAW. Off Linux the error is
// errors.ErrUnsupported.
func Open(mtu int) (near, far tap.Device, err error) { return open(mtu) }

// In is Open for a namespace that is not the calling thread's. It may be
// called concurrently.
func In(ns *netns.NS) func(mtu int) (near, far tap.Device, err error) {
	return func(mtu int) (near, far tap.Device, err error) {
		err = ns.Do(func() error {
			near, far, err = open(mtu)
			return err
		})
		return near, far, err
	}
}
