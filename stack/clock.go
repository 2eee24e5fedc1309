package stack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// minTimeout is the shortest time a timer of the stack runs for, unless it is
// to fire at once. Linux puts the same floor under TCP's timers: two ticks of
// its clock (TCP_TIMEOUT_MIN), which is 20 ms where a tick is 10.
//
// Without it gVisor's tail loss probe (RFC 8985, 7.2: twice the smoothed RTT)
// is due after some 50 us on a TAP. Whenever the other side is not scheduled
// for that long, it sends a segment again that was never lost. Seen on two
// busy cores, per 500 MB sent: 3 to 8 of them; with a floor of 4 ms 0 to 4,
// with 10 ms 0 or 1, with 20 ms none. The price is paid on links with an RTT
// below 10 ms: what is lost there at the end of a burst is found 20 ms later,
// where the retransmission timer would take 200.
const minTimeout = 20 * time.Millisecond

// coarseClock is the machine's clock with minTimeout under its timers.
type coarseClock struct{ tcpip.Clock }

func (c coarseClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return coarseTimer{c.Clock.AfterFunc(floor(d), f)}
}

type coarseTimer struct{ tcpip.Timer }

func (t coarseTimer) Reset(d time.Duration) { t.Timer.Reset(floor(d)) }

// floor leaves alone what is due now: the first ARP request is sent by a timer
// of no duration.
func floor(d time.Duration) time.Duration {
	if d <= 0 {
		return d
	}
	return max(d, minTimeout)
}
