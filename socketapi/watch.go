package socketapi

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/holdup"
	"tapstack/socketapi/internal/engine"
)

// look is one instant of a stream's connection.
func (so *Socket) look() engine.State { return engine.Read(so.tcp()) }

// open reports whether the connection is one that both ends still have.
func open(st *engine.State) bool {
	switch st.State {
	case tcp.StateClose, tcp.StateError, tcp.StateTimeWait:
		return false
	default:
		return st.Synchronized
	}
}

// sndOpen reports whether the connection takes more to send.
func sndOpen(st *engine.State) bool { return open(st) && !st.Snd.Closed }

// resetAfterFIN reports whether a reset came in CLOSE-WAIT, until somebody was
// told. Like Linux gVisor then calls the connection closed, and EPIPE is the
// error (Endpoint.handleReset), but its state says nothing of it.
func resetAfterFIN(st *engine.State) bool {
	return st.State == tcp.StateClose && st.HardError != nil
}

// watched is what is called after each segment of a connection that somebody
// looks at closely: it costs about a microsecond each.
const (
	watchSent    = 1 << iota // tell of eventSent
	watchAccount             // keep the account
	watchWindow              // keep the receive window from a dead end

	// watchProgress are what waits for the peer's acknowledgements, which an
	// engine.OpenRemainder keeps from being refused.
	watchProgress = watchSent | watchWindow
)

// watchSent makes the socket tell of eventSent from now on: that bytes were
// sent, or acknowledged. gVisor itself tells writers only when half of the send
// buffer is free.
func (so *Socket) watchSent() { so.watch(watchSent) }

// watch switches something on that needs a call after each segment.
func (so *Socket) watch(what uint32) {
	if so.watched.Load()&what != 0 {
		return
	}
	ep := so.tcp()
	engine.Lock(ep)
	defer engine.Unlock(ep)
	so.watched.Or(what)
	if what&watchProgress != 0 {
		engine.OpenRemainderLocked(ep)
	}
	engine.WatchLocked(ep, so.handled)
}

// unwatch switches it off.
func (so *Socket) unwatch(what uint32) {
	ep := so.tcp()
	engine.Lock(ep)
	defer engine.Unlock(ep)
	if so.watched.And(^what) == what {
		engine.WatchLocked(ep, nil)
	}
}

// handled runs after each segment, with the endpoint's lock held.
func (so *Socket) handled() {
	if a := so.account.Load(); a != nil {
		a.Handled()
		so.raiseHigh()
	}
	what := so.watched.Load()
	if what&watchProgress != 0 {
		engine.OpenRemainderLocked(so.tcp())
	}
	if what&watchSent != 0 {
		so.queue.Notify(so.progress())
	}
	if what == watchAccount {
		so.pace.handled(so)
	}
}

// raiseHigh keeps the high water of both buffers. The caller holds the
// endpoint's lock.
func (so *Socket) raiseHigh() {
	st := engine.ReadLocked(so.tcp())
	raise(&so.sndHigh, st.Snd.Queued)
	raise(&so.rcvHigh, st.Rcv.Queued)
}

// stuck is called when a send finds no room. While its application waits for
// that it may not read, and if the receive window then runs out at a remainder
// that the scale cannot express, gVisor takes no more acknowledgements either:
// see engine.OpenRemainder. Connections on which nothing was ever received have
// no such end before them, and are not watched until something is.
func (so *Socket) stuck() {
	if so.watched.Load()&watchProgress != 0 {
		return
	}
	so.blocked.Store(true) // before the look, so that what comes afterwards is noticed
	if so.everRead.Load() || so.look().Rcv.Queued > 0 {
		so.blocked.Store(false)
		so.watch(watchWindow)
	}
}

// unblocked reports whether the first bytes have come for a sender that was
// stuck: it looks again. It takes no lock.
func (so *Socket) unblocked(mask waiter.EventMask) bool {
	return mask&waiter.ReadableEvents != 0 && so.blocked.Load()
}

// SetAccounting switches on or off that the connection keeps book of what holds
// it up: see [Socket.Holdup]. It is off until asked for. Set on a listener it
// holds on the sockets that it accepts. Switching it on again begins anew.
//
// It looks after every Read and Write, and after every segment received, which
// costs about a microsecond; but when 4 segments have come within a millisecond,
// after nothing in the next, and while they go on coming so fast in up to eight.
// All counts of bytes and segments are exact; the time of such a pause is charged
// half to what was found before it and half to what is found after, and zero
// windows that are shorter may be counted as one.
//
// Errors: ENOPROTOOPT for what is no stream; net.ErrClosed.
func (so *Socket) SetAccounting(on bool) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	ep := so.tcp()
	if ep == nil {
		return syscall.ENOPROTOOPT
	}
	so.mu.Lock()
	defer so.mu.Unlock()
	var fresh *engine.Account
	if on && ep.EndpointState() != tcp.StateListen {
		fresh = engine.NewAccount(ep, so.queue, so.stack.Clock())
	}
	if old := so.account.Swap(fresh); old != nil {
		old.Stop()
	}
	if on {
		so.flags.Or(uint32(flagAccount))
	} else {
		so.flags.And(^uint32(flagAccount))
	}
	if fresh != nil {
		so.watch(watchAccount)
	} else {
		so.unwatch(watchAccount)
	}
	return nil
}

// touch tells the account that the application has read or written.
func (so *Socket) touch() {
	if a := so.account.Load(); a != nil {
		a.Touch()
	}
}

// writerWaits tells the account that a writer waits for room, or has it.
func (so *Socket) writerWaits(waits bool) {
	if a := so.account.Load(); a != nil {
		a.WriterWaits(waits)
	}
}

// Holdup is what has held the connection up since SetAccounting; ok is false
// without that. It may be asked after Close.
func (so *Socket) Holdup() (h holdup.Report, ok bool) {
	if so == nil {
		return h, false
	}
	a := so.account.Load()
	if a == nil {
		return holdup.Report{}, false
	}
	return a.Holdup(), true
}

// SetAccounting switches accounting on or off: see [Socket.SetAccounting].
// Errors: ENOPROTOOPT for what is no stream; net.ErrClosed.
func (c *TCPConn) SetAccounting(on bool) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", inCall("setsockopt", c.so.SetAccounting(on)))
}

// Holdup is what has held the connection up since SetAccounting; ok is false
// without that. It may be asked after Close.
func (c *TCPConn) Holdup() (h holdup.Report, ok bool) {
	if !c.valid() {
		return h, false
	}
	return c.so.Holdup()
}
