package socketapi

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/socketapi/internal/engine"
)

// pace keeps an account's looks from costing more than they tell: gVisor makes a
// copy of a connection's whole state for each segment that somebody watches (see
// [engine.Watch]). Guarded by the endpoint's lock.
type pace struct {
	since tcpip.MonotonicTime // when the first of calls was made
	calls int
	last  time.Duration // how long the last pause was; 0 since calls have come slowly
	timer tcpip.Timer   // ends the pause; nil before the first
}

// After burst calls within firstPause there is a pause, as long as that, and if
// that is so again at its end one twice as long, up to longestPause: the timer at
// the end of a pause, and the goroutine that the runtime switches to for it,
// cost more than the looks.
const (
	burst        = 4
	firstPause   = time.Millisecond
	longestPause = 8 * time.Millisecond
)

// handled counts a call, and pauses if they come fast. The caller has nothing
// but the account to call for.
func (p *pace) handled(so *Socket) {
	if p.calls++; p.calls < burst {
		return
	}
	clock := so.stack.Clock()
	now := clock.NowMonotonic()
	fast := now.Sub(p.since) < firstPause
	p.since, p.calls = now, 0
	if !fast {
		p.last = 0
		return
	}
	a := so.account.Load()
	if a == nil {
		return
	}
	a.Pause()
	engine.WatchLocked(so.tcp(), nil)
	p.last = min(max(2*p.last, firstPause), longestPause)
	if p.timer == nil {
		p.timer = clock.AfterFunc(p.last, so.resume)
	} else {
		p.timer.Reset(p.last)
	}
}

// resume ends a pause with a look. It runs on the clock's goroutine.
func (so *Socket) resume() {
	ep := so.tcp()
	engine.Lock(ep)
	defer engine.Unlock(ep)
	what := so.watched.Load()
	if what == 0 {
		return
	}
	so.pace.since, so.pace.calls = so.stack.Clock().NowMonotonic(), 0
	if a := so.account.Load(); a != nil {
		a.Resume()
		so.raiseHigh()
	}
	engine.WatchLocked(ep, so.handled)
}
