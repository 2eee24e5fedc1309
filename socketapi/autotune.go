package socketapi

import (
	"math"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// autotune is what the socket's own autotuning has measured. Guarded by
// receiver.mu.
type autotune struct {
	since  tcpip.MonotonicTime // when this round trip began
	copied int                 // what the application took since then
	before int                 // and in the round trip for which the buffer last grew
}

// AutotuneOff as a limit keeps a buffer at the size it has.
const AutotuneOff = -1

// SetReceiveAutotune lets the receive buffer grow with the connection's rate,
// up to limit payload bytes, and no further than the stack allows
// (stack.TCPConfig.ReceiveBuffer); 0 is as far as that, below 0 (AutotuneOff) not
// at all. A buffer that is larger already stays as it is. Sockets of a stack
// that autotunes begin with 0, others with AutotuneOff. What the window can
// express is settled in the handshake; before it is the time to call this.
//
// Errors: EINVAL once SO_RCVBUF was set, which ends autotuning for good;
// ENOPROTOOPT for sockets that are not TCP.
func (so *Socket) SetReceiveAutotune(limit int) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	switch {
	case so.kind != stream:
		return syscall.ENOPROTOOPT
	case so.flagged(flagReceiveFixed):
		return syscall.EINVAL
	}
	_, most := so.stack.LargestBuffers()
	if limit == 0 && so.autotuneMax.Load() != 0 {
		limit = most // growing has ended gVisor's own, or it never began
	}
	so.autotuneMax.Store(int64(max(min(limit, most), AutotuneOff)))
	return nil
}

// receiveMayGrow is ReceiveBuffer.AutotuneMax.
func (so *Socket) receiveMayGrow() int {
	_, most := so.stack.LargestBuffers()
	return mayGrow(so.autotuneMax.Load(), most, so.flagged(flagReceiveFixed))
}

// mayGrow is how far a buffer may grow: limit is the socket's own, most the
// stack's.
func mayGrow(limit int64, most int, fixed bool) int {
	switch {
	case fixed, limit < 0:
		return 0
	case limit == 0:
		return most
	default:
		return int(limit)
	}
}

// moderate lets the receive buffer follow what the application takes: n bytes
// now. The caller holds rcv.mu.
//
// gVisor's autotuning knows one limit for all sockets and advertises what it has
// grown to at once, so a socket with a limit has its own, by the same rule,
// dynamic right-sizing: twice what was taken in a round trip, and more while
// that rises.
func (so *Socket) moderate(n int) {
	limit := int(so.autotuneMax.Load())
	if limit == 0 {
		so.ep.ModerateRecvBuf(n)
	}
	if limit <= 0 {
		return
	}
	o := so.ep.SocketOptions()
	size := fromMemory(o.GetReceiveBufferSize())
	if so.flagged(flagReceiveFixed) || size >= limit {
		return
	}
	at, now := &so.rcv.auto, so.stack.Clock().NowMonotonic()
	at.copied += n
	rcv := so.look().Rcv
	if at.since == (tcpip.MonotonicTime{}) {
		at.since, at.before = now, initialSegments*max(rcv.AdvMSS, 1)
		return
	}
	if rcv.RTT == 0 || now.Sub(at.since) < rcv.RTT {
		return
	}
	if at.copied > at.before {
		want := float64(2*at.copied + 16*rcv.AdvMSS)
		want += 2 * want * float64(at.copied-at.before) / float64(at.before)
		at.before = at.copied
		if grown := int(math.Min(want, float64(limit))); grown > size {
			// With notify it tells the peer, if that waits for a window.
			o.SetReceiveBufferSize(toMemory(grown), true)
		}
	}
	at.since, at.copied = now, 0
}

// initialSegments is the initial congestion window (RFC 6928), which the peer
// sends in the first round trip however fast the application reads.
const initialSegments = 10
