package engine

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// congestionControl is gVisor's interface of that name.
type congestionControl interface {
	HandleLossDetected()
	HandleRTOExpired()
	Update(packetsAcked int, rtt time.Duration, ackTime tcpip.MonotonicTime)
	PostRecovery()
}

// ccType is gVisor's own type, and ccOffset where a sender has it.
var ccType, ccOffset = interfaceAt[*recovery](senderType, "cc")

// interfaceAt finds a field that a T can be put in and that gives a
// congestionControl.
func interfaceAt[T congestionControl](base reflect.Type, path ...string) (reflect.Type, uintptr) {
	t, offset := walk(base, path)
	if t.Kind() != reflect.Interface || !reflect.TypeFor[T]().Implements(t) || !t.Implements(reflect.TypeFor[congestionControl]()) {
		panic(noField(base, path, fmt.Sprintf("that takes a %v, it is a %v", reflect.TypeFor[T](), t)))
	}
	return t, offset
}

// recovery stands between a sender and its congestion control, to mend what
// gVisor does after a retransmission timeout. Without it a connection whose
// link was down for two timeouts goes on with two segments per timeout, for as
// many as there were under way: 400 of them took 40 s.
//
//   - Every timeout, of the same segment too, takes what is outstanding for the
//     size of the flight, which is one segment from the second on. RFC 5681, 3.1
//     holds ssthresh then. (renoState.HandleRTOExpired, and cubicState's, which
//     also forgets the window it had.)
//   - With RACK the first acknowledgement after the timeout finds all that was
//     sent before lost, rightly, and begins a fast recovery amid the other
//     (sender.handleRcvdSegment). Its pipe counts as under way whatever SACK has
//     not reported lost (sender.SetPipe), which is everything, so that nothing
//     may be sent until the next timeout. So RACK pauses until all that was sent
//     before the timeout is acknowledged, and slow start sends it again.
//
// It can go when gVisor does both. All methods are called with the endpoint's
// lock held.
type recovery struct {
	congestionControl
	ep, snd unsafe.Pointer

	active bool         // between a timeout and what follows of it
	una    seqnum.Value // SND.UNA at the last timeout
	paused tcpip.TCPRecovery
}

// MendRecovery puts a [recovery] before the congestion control of ep, unless
// there is one. It reports false before the handshake is over, and does nothing
// then.
func MendRecovery(ep *tcp.Endpoint) bool {
	lock(ep)
	defer unlock(ep)
	return mendRecovery(ep, nil)
}

// ChooseCongestionControl is TCP_CONGESTION. On a connection gVisor makes a new
// algorithm, which throws a [recovery] out; the new one gets it back, amid a
// recovery too. Of one endpoint only one goroutine at a time may call it.
func ChooseCongestionControl(ep *tcp.Endpoint, name string) tcpip.Error {
	lock(ep)
	r, _ := ccOf(ep).(*recovery)
	unlock(ep)
	cc := tcpip.CongestionControlOption(name)
	if err := ep.SetSockOpt(&cc); err != nil {
		return err
	}
	if r != nil {
		lock(ep)
		defer unlock(ep)
		mendRecovery(ep, r)
	}
	return nil
}

// ccOf is the congestion control of ep, nil before the handshake is over.
func ccOf(ep *tcp.Endpoint) congestionControl {
	snd := *sndField.in(unsafe.Pointer(ep))
	if snd == nil {
		return nil
	}
	cc, _ := ccIn(snd).Interface().(congestionControl)
	return cc
}

// ccIn is where a sender has it.
func ccIn(snd unsafe.Pointer) reflect.Value {
	return reflect.NewAt(ccType, unsafe.Add(snd, ccOffset)).Elem()
}

// mendRecovery puts r, or a new one, where MendRecovery does.
func mendRecovery(ep *tcp.Endpoint, r *recovery) bool {
	cc := ccOf(ep)
	if cc == nil {
		return false
	}
	if _, there := cc.(*recovery); there {
		return true
	}
	p := unsafe.Pointer(ep)
	if r == nil {
		r = &recovery{ep: p, snd: *sndField.in(p)}
	}
	r.congestionControl = cc
	ccIn(r.snd).Set(reflect.ValueOf(r))
	return true
}

// HandleRTOExpired implements gVisor's congestionControl.
func (r *recovery) HandleRTOExpired() {
	s := senderField.in(r.snd)
	again := r.active && r.una == s.SndUna
	r.active, r.una = true, s.SndUna
	if again {
		s.SndCwnd = 1
	} else {
		r.congestionControl.HandleRTOExpired()
	}
	rack := recoveryField.in(r.ep)
	r.paused |= *rack & tcpip.TCPRACKLossDetection
	*rack &^= tcpip.TCPRACKLossDetection
}

// Update implements gVisor's congestionControl.
func (r *recovery) Update(packetsAcked int, rtt time.Duration, ackTime tcpip.MonotonicTime) {
	r.congestionControl.Update(packetsAcked, rtt, ackTime)
	r.over()
}

// PostRecovery implements gVisor's congestionControl.
func (r *recovery) PostRecovery() {
	r.congestionControl.PostRecovery()
	r.over()
}

// over ends what HandleRTOExpired began, once all that was sent before it is
// acknowledged.
func (r *recovery) over() {
	s := senderField.in(r.snd)
	if !r.active || !s.FastRecovery.Last.LessThan(s.SndUna) {
		return
	}
	r.active = false
	*recoveryField.in(r.ep) |= r.paused
	r.paused = 0
}
