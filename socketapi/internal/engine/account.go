package engine

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/holdup"
)

// Account keeps book of what holds a connection up, from [NewAccount] on. It is
// driven by events: each looks at the connection, and charges the time since
// the event before to what was found then. The events are
//
//	a segment was handled       Handled, in the function given to Watch
//	a Write or Read returned    Touch
//	a writer waits, or no more  WriterWaits
//	somebody asks               Holdup
//	the connection is gone      NotifyEvent, called by the waiter queue
//
// and none of the first three between Pause and Resume: the time between is
// charged half to what was found before, half to what is found after.
//
// What a timer sends is no event (see [Watch]); it is noticed with the answer.
// Everything is computed from what is found, not from what callers report: an
// event too few blurs a boundary and unbalances nothing.
//
// Methods are safe for concurrent use. All but the device's time is guarded by
// the endpoint's lock, so that sender and receiver are seen at one instant.
type Account struct {
	ep    *tcp.Endpoint
	queue *waiter.Queue
	entry waiter.Entry
	clock tcpip.Clock

	unregister sync.Once

	gone   atomic.Pointer[tcpip.MonotonicTime] // when NotifyEvent was called
	device atomic.Int64                        // ns that DeviceWaited was told and step has not charged

	waiting atomic.Bool // a writer waits for room
	paused  atomic.Bool // set with ep's lock held

	last    tcpip.MonotonicTime // of the last event
	seen    sample              // what the last event found
	stopped bool

	h     holdup.Report // what is counted; report adds the rest
	times [holdup.NumLimits]time.Duration
	// How much was in each buffer, summed over time, in byte nanoseconds.
	// A float64 is exact to 1 part in 10^15; a uint64 would overflow within
	// hours.
	unsent, unacked, unread float64
	base                    sample // what NewAccount found
}

// sample is what an event found and what has held since.
type sample struct {
	limit        holdup.Limit
	synchronized bool // the handshake is over; without it the rest is zero
	busy         bool

	unsent, inFlight, unread int
	una, nxt, rcv            uint32 // positions in the streams: no FIN counted

	peerClosed, closed bool   // a zero window: the peer's, ours
	zeroWindows        uint64 // segments of ours that advertised one
	sent               tcpip.MonotonicTime

	rtt                     time.Duration
	retransmits, fast, rtos uint64
}

// NewAccount begins to keep book of ep, which notifies q, on the stack's clock.
// Until Stop the Account is registered with q and is ep's packet owner (see
// DeviceWaited). ep may be in any state: time before the handshake is over is
// [holdup.OtherLimited].
func NewAccount(ep *tcp.Endpoint, q *waiter.Queue, clock tcpip.Clock) *Account {
	a := &Account{ep: ep, queue: q, clock: clock}
	a.entry.Init(a, waiter.EventHUp)
	q.EventRegister(&a.entry)
	lock(ep)
	defer unlock(ep)
	ep.SetOwner(a)
	a.last = clock.NowMonotonic()
	var st State
	st.read(ep)
	a.base = a.look(&st)
	a.seen = a.base
	if a.seen.peerClosed {
		a.h.PeerZeroWindow.Count++
	}
	if a.seen.closed {
		a.h.ZeroWindow.Count++
	}
	return a
}

// AccountOf is the account that ep keeps, nil if it keeps none.
func AccountOf(ep *tcp.Endpoint) *Account {
	lock(ep)
	defer unlock(ep)
	a, _ := (*ownerField.in(unsafe.Pointer(ep))).(*Account)
	return a
}

// Handled is the event after each handled segment. The caller holds ep's lock:
// this is for the function given to [Watch].
func (a *Account) Handled() { a.step() }

// Pause has the account look at nothing until Resume, but for whoever asks. The
// caller holds ep's lock; Handled meanwhile is somebody who asks.
func (a *Account) Pause() { a.paused.Store(true) }

// Resume ends a pause, with an event. The caller holds ep's lock.
func (a *Account) Resume() {
	a.step()
	a.paused.Store(false)
}

// Touch is the event after a Write, Read, CloseWrite or Close of ours. It takes
// ep's lock, but not in a pause.
func (a *Account) Touch() {
	if a.paused.Load() {
		return
	}
	lock(a.ep)
	a.step()
	unlock(a.ep)
}

// WriterWaits tells that a writer begins to wait for room in the send buffer,
// or waits no longer. It takes ep's lock, but not in a pause. Of several writers
// the last word counts.
func (a *Account) WriterWaits(waits bool) {
	a.waiting.Store(waits) // step charges to what seen has
	a.Touch()
}

// DeviceWaited tells that a packet of this connection has kept its writer in
// the device for d: that much of the time until the next event is
// [holdup.DeviceLimited] instead of what it would be. It takes no lock. Whoever
// writes the packet finds the Account as stack.PacketBuffer.Owner.
func (a *Account) DeviceWaited(d time.Duration) {
	if d > 0 {
		a.device.Add(int64(d))
	}
}

// NotifyEvent implements waiter.EventListener: the connection is gone. Nobody
// has to look for that to be noticed in time: gVisor handles a reset after the
// function given to Watch has run, and a timeout without. A socket that is
// closed here, and one that could not connect, notify too: those are not gone.
func (a *Account) NotifyEvent(waiter.EventMask) {
	if a.gone.Load() == nil && over(a.ep.EndpointState()) {
		now := a.clock.NowMonotonic()
		a.gone.CompareAndSwap(nil, &now)
	}
}

// KUID implements tcpip.PacketOwner, which gVisor asks for a user where its
// packet filter has a rule about users. We have neither.
func (*Account) KUID() uint32 { return 0 }

// KGID implements tcpip.PacketOwner.
func (*Account) KGID() uint32 { return 0 }

// Stop closes the book: later events change nothing. Whoever called Watch takes
// the Account out of that function too. It may be called more than once.
func (a *Account) Stop() {
	a.unregister.Do(func() { a.queue.EventUnregister(&a.entry) })
	lock(a.ep)
	defer unlock(a.ep)
	a.step()
	a.stopped = true
	a.ep.SetOwner(nil)
}

// Holdup is the book up to now.
func (a *Account) Holdup() holdup.Report {
	lock(a.ep)
	defer unlock(a.ep)
	a.step()
	return a.report()
}

// step is one event, with ep's lock held.
func (a *Account) step() {
	if a.stopped {
		return
	}
	now := a.clock.NowMonotonic()
	var st State
	st.read(a.ep)
	ended := over(st.State)
	if gone := a.gone.Load(); ended && gone != nil && !gone.Before(a.last) {
		now = *gone // and not when somebody looks
	}
	dt := now.Sub(a.last)
	found := a.look(&st)
	if a.paused.Load() && !ended {
		a.charge(&a.seen, dt/2)
		a.charge(&found, dt-dt/2)
	} else {
		a.charge(&a.seen, dt)
	}
	a.zeroWindows(dt, &found)
	a.last = now
	if ended {
		// The buffers have been dropped, which is no progress, and nothing
		// moves any more.
		a.stopped = true
		return
	}
	if !a.seen.synchronized {
		// The streams begin here, with what is in the buffers.
		a.seen.una, a.seen.nxt = found.una, found.una
		a.seen.rcv, a.seen.unread = found.rcv-uint32(found.unread), 0
	}
	a.h.Sent += uint64(found.nxt - a.seen.nxt)
	a.h.Acked += uint64(found.una - a.seen.una)
	a.h.Received += uint64(found.rcv - a.seen.rcv)
	a.h.Read += uint64((found.rcv - uint32(found.unread)) - (a.seen.rcv - uint32(a.seen.unread)))
	a.seen = found
}

// over: the connection has nothing more to do in either direction.
func over(s tcp.EndpointState) bool {
	return s == tcp.StateClose || s == tcp.StateError || s == tcp.StateTimeWait
}

// charge books dt to what has held for so long.
func (a *Account) charge(held *sample, dt time.Duration) {
	// What the device took beyond dt was beside it: a packet that waited for
	// its neighbour is written by somebody else. It stays for the next.
	device := min(time.Duration(a.device.Load()), dt)
	a.device.Add(-int64(device))
	a.times[holdup.DeviceLimited] += device
	a.times[held.limit] += dt - device
	a.h.Watched += dt
	if held.busy {
		a.h.Busy += dt
	}
	a.unsent += float64(held.unsent) * float64(dt)
	a.unacked += float64(held.inFlight) * float64(dt)
	a.unread += float64(held.unread) * float64(dt)
}

// zeroWindows keeps the episodes of both windows, dt after the last event.
//
// The peer's changes with a segment of its, which is an event. Ours changes
// with a segment we send: the acknowledgement that closes it leaves after the
// last segment of a batch was handled, the update that opens it from within a
// Read. So an episode may begin and end between two events; that a zero window
// was sent at all is counted by gVisor, and when the last segment was sent is
// known. The beginning is taken to be the last event.
func (a *Account) zeroWindows(dt time.Duration, found *sample) {
	was := &a.seen
	if was.peerClosed {
		a.h.PeerZeroWindow.Time += dt
	} else if found.peerClosed {
		a.h.PeerZeroWindow.Count++
	}

	sentOne := found.zeroWindows != was.zeroWindows
	lastSent := min(max(0, found.sent.Sub(a.last)), dt) // after the last event
	switch {
	case was.closed && found.closed:
		a.h.ZeroWindow.Time += dt
	case was.closed:
		a.h.ZeroWindow.Time += lastSent
	case found.closed:
		a.h.ZeroWindow.Count++
		a.h.ZeroWindow.Time += dt
	case sentOne:
		a.h.ZeroWindow.Count++
		a.h.ZeroWindow.Time += lastSent
	}
}

// look takes down what of st matters here.
func (a *Account) look(st *State) sample {
	s, r := &st.Snd, &st.Rcv
	found := sample{
		limit:       a.limit(st),
		retransmits: st.Retransmits, fast: st.FastRetransmits, rtos: st.Timeouts,
		zeroWindows: st.ZeroWindowsSent,
	}
	if !st.Synchronized {
		return found
	}
	found.synchronized, found.busy = true, s.Queued > 0
	found.unsent, found.inFlight, found.unread = s.Unsent, s.InFlight, r.Queued
	found.una, found.rcv = s.Una, r.Nxt
	if s.FinAcked {
		found.una--
	}
	if r.Fin {
		found.rcv--
	}
	found.nxt = found.una + uint32(s.InFlight)
	found.peerClosed = s.Wnd == 0 && !s.FinAcked
	found.closed = r.Advertised == 0 && !r.Closed
	found.sent, found.rtt = s.Last, s.RTT
	return found
}

// limit is what holds the sender up. Of the two windows the congestion window
// comes first, as in Linux's tcp_write_xmit.
func (a *Account) limit(st *State) holdup.Limit {
	s := &st.Snd
	switch {
	case !st.Synchronized:
		return holdup.OtherLimited
	case s.Unsent == 0 && a.waiting.Load():
		return holdup.SndbufLimited
	case s.Unsent == 0:
		return holdup.AppLimited
	case s.Outstanding >= s.Cwnd:
		return holdup.CwndLimited
	// The first segment may be cut to the window; while one is under way the
	// next leaves only if all of it, or a full one, fits
	// (sender.maybeSendSegment).
	case s.Wnd == 0, s.InFlight > 0 && s.Wnd-s.InFlight < min(s.Unsent, s.MSS):
		return holdup.RwndLimited
	default:
		return holdup.OtherLimited
	}
}

// report is the book with what is computed from it.
func (a *Account) report() holdup.Report {
	h := a.h
	h.AppLimited, h.SndbufLimited = a.times[holdup.AppLimited], a.times[holdup.SndbufLimited]
	h.CwndLimited, h.RwndLimited = a.times[holdup.CwndLimited], a.times[holdup.RwndLimited]
	h.DeviceLimited, h.OtherLimited = a.times[holdup.DeviceLimited], a.times[holdup.OtherLimited]
	h.UnsentWait = mean(a.unsent, h.Sent, a.seen.unsent)
	h.UnackedWait = mean(a.unacked, h.Acked, a.seen.inFlight)
	h.UnreadWait = mean(a.unread, h.Read, a.seen.unread)
	h.Retransmits = a.seen.retransmits - a.base.retransmits
	h.FastRetransmits = a.seen.fast - a.base.fast
	h.Timeouts = a.seen.rtos - a.base.rtos
	h.RTT = a.seen.rtt
	return h
}

// mean is Little's law: the time that a byte spends in a buffer is the buffer's
// mean occupancy over the rate. Bytes still inside count with the time they
// have spent so far; without them a buffer that nobody empties would have no
// mean at all.
func mean(byteNanoseconds float64, left uint64, inside int) time.Duration {
	bytes := float64(left) + float64(inside)
	if bytes == 0 {
		return 0
	}
	return time.Duration(byteNanoseconds / bytes)
}
