package socketapi

import (
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
)

// awaited says what somebody has looked for in the send buffer and not found.
// Guarded by the endpoint's lock: it is set together with the look, so that what
// changes afterwards is told, and told once.
type awaited struct{ room, acked bool }

// lookForRoom is a look at the connection with roomBelowMark. Who finds no room,
// or with acked bytes that are not acknowledged, is told of eventRoom or
// eventAcked when that has changed, if the socket is watched.
func (so *Socket) lookForRoom(ep *tcp.Endpoint, acked bool) (engine.State, int) {
	if so.notsentLowat.Load() != 0 {
		so.watchSent() // before the look, so that nothing is missed
	}
	engine.Lock(ep)
	defer engine.Unlock(ep)
	st := engine.ReadLocked(ep)
	room := so.roomBelowMark(&st)
	so.awaited.room = so.awaited.room || room == 0
	so.awaited.acked = so.awaited.acked || acked && st.Snd.Queued > 0
	return st, room
}

// roomBelowMark is how many more bytes TCP_NOTSENT_LOWAT lets in, none into a
// full buffer, and -1 where the mark has no say: there is none, or Send has an
// error.
func (so *Socket) roomBelowMark(st *engine.State) int {
	mark := int(so.notsentLowat.Load())
	switch {
	case mark == 0 || !sndOpen(st):
		return -1
	case int64(st.Snd.Queued) >= so.ep.SocketOptions().GetSendBufferSize():
		return 0
	default:
		return max(0, mark-st.Snd.Unsent)
	}
}

// progress is what there is to tell of the send buffer, from which bytes were
// sent or acknowledged. The caller holds the endpoint's lock.
func (so *Socket) progress() waiter.EventMask {
	tell := eventSent
	if !so.awaited.room && !so.awaited.acked {
		return tell
	}
	st := engine.ReadLocked(so.tcp())
	if so.awaited.room && so.roomBelowMark(&st) != 0 {
		so.awaited.room = false
		tell |= eventRoom
	}
	if so.awaited.acked && st.Snd.Queued == 0 {
		so.awaited.acked = false
		tell |= eventAcked
	}
	return tell
}

// tell tells of progress that was made by a call.
func (so *Socket) tell() {
	ep := so.tcp()
	engine.Lock(ep)
	mask := so.progress()
	engine.Unlock(ep)
	so.queue.Notify(mask)
}
