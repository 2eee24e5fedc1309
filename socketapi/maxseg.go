package socketapi

import (
	"math"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/socketapi/internal/engine"
)

// Linux's limits for TCP_MAXSEG (TCP_MIN_MSS, MAX_TCP_WINDOW), and what it reads
// without one before the handshake (TCP_MSS_DEFAULT).
const minMaxSeg, maxMaxSeg, defaultMaxSeg = 88, 32767, 536

// getMaxSeg is what was asked for before the handshake, and what it came to
// after: gVisor always says 536 then.
func getMaxSeg(so *Socket) (int, error) {
	so.boundSegments()
	if mss := so.look().Snd.MSS; mss > 0 {
		return mss, nil
	}
	if v := so.maxSeg.Load(); v != 0 {
		return int(v), nil
	}
	return defaultMaxSeg, nil
}

// setMaxSeg bounds what is announced, which gVisor does, and what is sent. On a
// connection it lowers at once what is sent, where Linux ignores it.
func setMaxSeg(so *Socket, v int) error {
	if v != 0 && (v < minMaxSeg || v > maxMaxSeg) {
		return syscall.EINVAL
	}
	announced := v
	if v == 0 {
		announced = math.MaxUint16 // gVisor has no way back, but no device has more
	}
	if err := so.ep.SetSockOptInt(tcpip.MaxSegOption, announced); err != nil {
		return so.errno(err)
	}
	so.maxSeg.Store(int32(v))
	so.boundSegments()
	so.snd.remeasure.Store(true)
	return nil
}

// boundSegments puts TCP_MAXSEG in force on what is sent, as soon as the
// handshake is over. Nothing tells when that is: whoever sends, or asks how large
// segments are, calls this first.
func (so *Socket) boundSegments() {
	if v := so.maxSeg.Load(); v != 0 && so.bounded.Load() != v && engine.BoundMSS(so.tcp(), int(v)) {
		so.bounded.Store(v)
	}
}
