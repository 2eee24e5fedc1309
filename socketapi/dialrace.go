package socketapi

import (
	"context"
	"math"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// attempts are what one dial tries, address after address (RFC 8305, as package
// net does it).
type attempts struct {
	d       *Dialer
	kind    kind
	family  family
	network string
	local   netip.AddrPort
}

// endKey is where a dial's context has its end on the stack's clock, which is
// not necessarily the one that context.Context.Deadline is about.
type endKey struct{}

// oneByOne tries one address after the other. Where time is bounded each gets
// an equal share of what is left, but two seconds at least if there are that
// many.
func (a *attempts) oneByOne(ctx context.Context, remotes []netip.AddrPort) (net.Conn, error) {
	var first error
	for i, remote := range remotes {
		share, cancel := a.share(ctx, len(remotes)-i)
		c, err := a.one(share, remote)
		cancel()
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// share is ctx for the next of n addresses.
func (a *attempts) share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	const least = 2 * time.Second
	end, ours := ctx.Value(endKey{}).(tcpip.MonotonicTime)
	at, theirs := ctx.Deadline()
	if n == 1 || !ours && !theirs {
		return ctx, func() {}
	}
	left := time.Duration(math.MaxInt64)
	if ours {
		left = end.Sub(a.d.Stack.Clock().NowMonotonic())
	}
	if theirs { // by the clock of its own
		left = min(left, time.Until(at))
	}
	part := left / time.Duration(n)
	if part < least {
		part = min(least, left)
	}
	return a.d.within(ctx, part)
}

// race tries the addresses of the first one's family, and those of the other
// family beside them when FallbackDelay is over, or at once when the first
// family has failed. What comes second is closed.
func (a *attempts) race(ctx context.Context, remotes []netip.AddrPort) (net.Conn, error) {
	var primaries, fallbacks []netip.AddrPort
	for _, r := range remotes {
		if r.Addr().Is4() == remotes[0].Addr().Is4() {
			primaries = append(primaries, r)
		} else {
			fallbacks = append(fallbacks, r)
		}
	}
	if len(fallbacks) == 0 {
		return a.oneByOne(ctx, primaries)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		c       net.Conn
		err     error
		primary bool
	}
	results := make(chan outcome)
	done := make(chan struct{})
	defer close(done)
	start := func(remotes []netip.AddrPort, primary bool) {
		c, err := a.oneByOne(ctx, remotes)
		select {
		case results <- outcome{c, err, primary}:
		case <-done:
			if c != nil {
				_ = c.Close()
			}
		}
	}
	go start(primaries, true)
	late := make(chan struct{}, 1)
	timer := a.d.Stack.Clock().AfterFunc(a.fallbackDelay(), func() { late <- struct{}{} })
	defer timer.Stop()
	var primaryErr, fallbackErr error
	started := false
	for primaryErr == nil || fallbackErr == nil {
		select {
		case <-late:
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			if r.primary {
				primaryErr = r.err
			} else {
				fallbackErr = r.err
			}
		}
		if !started {
			started = true
			go start(fallbacks, false)
		}
	}
	return nil, primaryErr
}

// fallbackDelay is RFC 6555's, which package net has.
func (a *attempts) fallbackDelay() time.Duration {
	return orDefault(a.d.FallbackDelay, 300*time.Millisecond)
}
