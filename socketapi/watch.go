package socketapi

import (
	"reflect"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

var probeField, _ = reflect.TypeFor[tcp.Endpoint]().FieldByName("probe")

// watchSent makes the socket tell of eventSent.
func (so *Socket) watchSent() {
	if so.flagged(flagWatched) {
		return
	}
	ep := so.tcp()
	ep.LockUser()
	defer ep.UnlockUser()
	switch ep.EndpointState() {
	case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck:
	default:
		return
	}
	q := so.queue
	*(*tcp.TCPProbeFunc)(unsafe.Pointer(uintptr(unsafe.Pointer(ep)) + probeField.Offset)) = func(*tcp.TCPEndpointState) { q.Notify(eventSent) }
	so.flags.Or(uint32(flagWatched))
}
