package socketapi

import (
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
)

// Events are what a socket can be ready for, by the names and values of
// poll(2).
type Events uint32

// The events. Who finds a stream's send buffer full is told of EventOut when half
// of it is free, as gVisor tells it, or with TCP_NOTSENT_LOWAT as soon as there is
// room and less than the mark is unsent; [TCPConn.WaitWritable] hears of any room.
// What a timer of TCP's sends (TCP_CORK's 200 ms) is noticed with the next segment
// from the peer.
const (
	EventIn    Events = 0x1    // Recv or Accept has something to say: bytes up to the low-water mark, a connection, the end, an error
	EventOut   Events = 0x4    // Send takes something, and less is unsent than TCP_NOTSENT_LOWAT; Connect is over
	EventErr   Events = 0x8    // an error is pending
	EventHup   Events = 0x10   // neither direction will carry anything any more
	EventRdHup Events = 0x2000 // the peer has sent its FIN, or reading was shut down

	// EventAcked is ours alone: everything that was written is acknowledged.
	EventAcked Events = 1 << 16
)

// String is the set, such as "IN|OUT".
func (ev Events) String() string {
	var names []string
	for _, e := range []struct {
		bit  Events
		name string
	}{{EventIn, "IN"}, {EventOut, "OUT"}, {EventErr, "ERR"}, {EventHup, "HUP"}, {EventRdHup, "RDHUP"}, {EventAcked, "ACKED"}} {
		if ev&e.bit != 0 {
			names = append(names, e.name)
		}
	}
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, "|")
}

// Events of our own, with bits that no event of gVisor's has. The first three
// come only from sockets that are watched (watchSent).
const (
	eventSent     waiter.EventMask = 1 << 40 // unsent or unacknowledged bytes became fewer
	eventRoom     waiter.EventMask = 1 << 41 // who found no room below TCP_NOTSENT_LOWAT finds some now
	eventAcked    waiter.EventMask = 1 << 42 // who found unacknowledged bytes finds none now
	eventDeadline waiter.EventMask = 1 << 43 // a deadline has passed

	// readyEvents change what Ready says; progressEvents are all that may end a
	// wait for a buffer.
	readyEvents    = waiter.AllEvents | eventRoom | eventAcked
	progressEvents = readyEvents | eventSent
)

// Ready is what the socket is ready for now, like poll(2) without waiting. A
// closed socket, and every socket of a stack that has ended, is ready for
// everything: the next call tells why.
func (so *Socket) Ready() Events {
	const over = EventIn | EventOut | EventHup
	if so.use() != nil {
		return over
	}
	defer so.done()
	if ended(so.stack) != nil {
		return over | EventErr
	}
	if ep := so.tcp(); ep != nil {
		return so.readyStream(ep)
	}
	var ev Events
	r := so.ep.Readiness(waiter.AllEvents)
	if r&waiter.ReadableEvents != 0 {
		ev |= EventIn
	}
	if r&waiter.WritableEvents != 0 {
		ev |= EventOut
	}
	if r&waiter.EventErr != 0 {
		ev |= EventErr
	}
	if so.rcv.late.Load() != 0 {
		ev |= EventIn | EventErr
	}
	shut := tcpip.ShutdownFlags(so.shut.Load())
	if shut&tcpip.ShutdownRead != 0 {
		ev |= EventIn | EventRdHup
	}
	if shut == tcpip.ShutdownRead|tcpip.ShutdownWrite {
		ev |= EventHup
	}
	return ev
}

// readyStream is tcp_poll of Linux for gVisor's states.
func (so *Socket) readyStream(ep *tcp.Endpoint) Events {
	switch ep.EndpointState() {
	case tcp.StateInitial, tcp.StateBound:
		return EventOut | EventHup
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return 0
	case tcp.StateListen:
		if ep.Readiness(waiter.ReadableEvents)&waiter.ReadableEvents != 0 {
			return EventIn
		}
		return 0
	case tcp.StateError:
		if so.lastErrno.Load() != 0 {
			return EventIn | EventOut | EventHup | EventRdHup // somebody was told
		}
		return EventIn | EventOut | EventErr | EventHup | EventRdHup
	case tcp.StateClose:
		st := engine.Read(ep)
		switch {
		case resetAfterFIN(&st):
			return EventIn | EventOut | EventErr | EventHup | EventRdHup
		case !st.Snd.FinSent: // the stack has ended
			return EventIn | EventOut | EventHup | EventRdHup
		}
		return EventIn | EventOut | EventHup | EventRdHup | EventAcked
	case tcp.StateTimeWait:
		return EventIn | EventOut | EventHup | EventRdHup | EventAcked
	default:
		return so.readyOpen(ep)
	}
}

// readyOpen is readyStream for a connection that both ends still have.
func (so *Socket) readyOpen(ep *tcp.Endpoint) Events {
	var ev Events
	r := ep.Readiness(waiter.ReadableEvents | waiter.WritableEvents)
	st, room := so.lookForRoom(ep, true)
	if st.State == tcp.StateClose || st.State == tcp.StateError {
		return so.readyStream(ep) // meanwhile: its buffer is empty for another reason
	}
	if so.blocked.Load() {
		so.stuck() // for a Socket without waiting
	}
	if st.Rcv.Closed {
		ev |= EventIn | EventRdHup
	} else if r&waiter.ReadableEvents != 0 && so.reached(&st, so.lowat(maxInt)) {
		ev |= EventIn
	}
	if room > 0 || room < 0 && r&waiter.WritableEvents != 0 {
		ev |= EventOut
	}
	if st.Rcv.Closed && !sndOpen(&st) {
		ev |= EventHup
	}
	if st.Snd.Queued == 0 {
		ev |= EventAcked
	}
	return ev
}

const maxInt = int(^uint(0) >> 1)

// reached reports whether a reader's mark is: there are that many bytes, or no
// more will come before something is read. That is so when the window has no
// room for a segment, and when small segments have filled the buffer's memory
// with their bookkeeping: gVisor then drops what comes, with the window still
// open (segmentQueue.enqueue, receiver.getSendParams).
func (so *Socket) reached(st *engine.State, mark int) bool {
	r := &st.Rcv
	if r.Queued >= mark {
		return true
	}
	full := so.ep.SocketOptions().GetReceiveBufferSize()-int64(r.Memory) < int64(tcp.SegOverheadSize)
	return r.Queued > 0 && (r.Closed || r.Wnd < max(r.AdvMSS, 1) || full)
}
