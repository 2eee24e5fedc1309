package socketapi

import "syscall"

// SetSendAutotune lets the send buffer grow with the congestion window, to twice
// as much as that lets be in flight, up to limit bytes, and no further than the
// stack allows (stack.TCPConfig.SendBuffer); 0 is as far as that, below 0
// (AutotuneOff) not at all. A buffer that is larger already stays as it is.
// Sockets of a stack that autotunes begin with 0, others with AutotuneOff. It may
// be called at any time, and on a listener for what it accepts.
//
// Errors: EINVAL once SO_SNDBUF was set, which ends autotuning for good;
// ENOPROTOOPT for sockets that are not TCP.
func (so *Socket) SetSendAutotune(limit int) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	switch {
	case so.kind != stream:
		return syscall.ENOPROTOOPT
	case so.flagged(flagSendFixed):
		return syscall.EINVAL
	}
	most, _ := so.stack.LargestBuffers()
	if limit == 0 && so.sendTuneMax.Load() != 0 {
		limit = most // ours has ended gVisor's own
	}
	so.tuneSend(min(limit, most))
	return nil
}

// tuneSend puts a limit in force. gVisor's autotuning knows one limit for all
// sockets, so a socket with another, or none, has its own: see growSend.
func (so *Socket) tuneSend(limit int) {
	so.sendTuneMax.Store(int64(max(limit, AutotuneOff)))
	if limit != 0 {
		o := so.ep.SocketOptions()
		o.SetSendBufferSize(o.GetSendBufferSize(), true) // which ends gVisor's
	}
}

// sendMayGrow is SendBuffer.AutotuneMax.
func (so *Socket) sendMayGrow() int {
	most, _ := so.stack.LargestBuffers()
	return mayGrow(so.sendTuneMax.Load(), most, so.flagged(flagSendFixed))
}

// growSend makes a send buffer that was found full larger, by gVisor's rule
// (Endpoint.computeTCPSendBufferSize) and within the socket's own limit. It
// reports whether there is room now. The caller holds snd.mu.
func (so *Socket) growSend() bool {
	limit := so.sendTuneMax.Load()
	if limit <= 0 || so.flagged(flagSendFixed) {
		return false
	}
	o := so.ep.SocketOptions()
	size, snd := o.GetSendBufferSize(), so.look().Snd
	if int64(snd.Queued) < size {
		return false
	}
	grown := min(int64(2*max(snd.Cwnd, initialSegments)*snd.MSS), limit)
	if grown <= size {
		return false
	}
	o.SetSendBufferSize(grown, false)
	return int64(snd.Queued) < grown
}
