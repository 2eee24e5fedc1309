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
	timer tcpip.Timer // ends the pause; nil before the first
}

// After burst calls within a pause's time there is a pause.
const (
	burst     = 4
	pauseTime = time.Millisecond
)

// handled counts a call, and pauses if they come fast. The caller has nothing
// but the account to call for.
func (p *pace) handled(so *Socket) {
	if p.calls++; p.calls < burst {
		return
	}
	clock := so.stack.Clock()
	now := clock.NowMonotonic()
	fast := now.Sub(p.since) < pauseTime
	p.since, p.calls = now, 0
	if !fast {
		return
	}
	engine.WatchLocked(so.tcp(), nil)
	if p.timer == nil {
		p.timer = clock.AfterFunc(pauseTime, so.resume)
	} else {
		p.timer.Reset(pauseTime)
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
	if what == watchAccount {
		so.handled()
	}
	engine.WatchLocked(ep, so.handled)
}
