package engine

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Watch has fn called each time ep has handled a received segment. A later call
// replaces fn; nil takes it away. When Watch returns, the previous function
// neither runs nor will.
//
// fn runs at the end of Endpoint.handleSegmentLocked, that is after SND.UNA has
// moved, after what the segment made room for has been sent, after data has
// entered the receive buffer, after a FIN or RST has changed the state; but
// before the acknowledgement of what was received, which follows a batch of
// segments. It runs on a TCP processor of gVisor's with ep's lock held: it must
// not block, and must call no method of ep or of this package that takes the
// lock. [ReadLocked] and [Account.Handled] are made for it, and
// waiter.Queue.Notify may be called, as gVisor itself does there.
//
// Not told: what calls of our own change (Write, Read, Shutdown), what a timer
// sends (an RTO, a tail loss probe, Nagle's and the cork's end), and a
// connection's end by a timer, of which the waiter queue is told. Whatever a
// timer sent is answered, and the answer is.
//
// ep may be in any state, before Connect too: gVisor handles segments this way
// only after the handshake, when all that its copy of the state is made from
// exists, and keeps those parts for good. A listener hands fn to none of its
// children.
//
// A watched endpoint pays for every segment: gVisor makes a copy of its state,
// 768 bytes on the heap and SACK blocks besides, which with the collector's
// share is 0.5 to 1 us. One not watched pays nothing. tcp.NewProtocolProbe uses
// the same field; Watch replaces that too.
func Watch(ep *tcp.Endpoint, fn func()) {
	lock(ep)
	defer unlock(ep)
	WatchLocked(ep, fn)
}

// WatchLocked is Watch for whoever holds ep's lock, such as fn itself.
func WatchLocked(ep *tcp.Endpoint, fn func()) {
	probe := probeField.in(unsafe.Pointer(ep))
	if fn == nil {
		*probe = nil
		return
	}
	*probe = func(*tcp.TCPEndpointState) { fn() }
}

// Watched reports whether a function is called after each segment.
func Watched(ep *tcp.Endpoint) bool {
	lock(ep)
	defer unlock(ep)
	return *probeField.in(unsafe.Pointer(ep)) != nil
}
