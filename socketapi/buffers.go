package socketapi

import (
	"math"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// SendBuffer is one instant of a connection's send buffer: what the
// application has written and the peer has not acknowledged. All in payload
// bytes, and exact.
type SendBuffer struct {
	Size   int // capacity (SO_SNDBUF, not doubled)
	Queued int // written, not acknowledged (SIOCOUTQ)
	Unsent int // of these, not sent yet (SIOCOUTQNSD)
	Free   int // Size - Queued, not below 0

	// LowWater is the mark of TCP_NOTSENT_LOWAT: with that much unsent the
	// socket is not writable. 0 is no mark.
	LowWater int

	// HighWater is the largest Queued seen by any look so far.
	HighWater int

	// Window is what the peer lets us have unacknowledged: SND.WND.
	Window int
}

// ReceiveBuffer is one instant of a connection's receive buffer: what we have
// acknowledged and the application has not read. All in payload bytes, and
// exact.
type ReceiveBuffer struct {
	Size   int // what the peer may have sent and the application not read (SO_RCVBUF, not doubled)
	Queued int // acknowledged, not read (SIOCINQ)
	Free   int // Size - Queued, not below 0

	// LowWater is the mark of SO_RCVLOWAT: with less the socket is not
	// readable. 1 unless set.
	LowWater int

	// HighWater is the largest Queued seen by any look so far.
	HighWater int

	// Window is what the peer has been told and may still send: RCV.WND.
	Window int
}

// Buffers looks at both buffers at the same instant. It may be asked after
// Close: what was written before is still on its way. Both are zero for a
// socket that is not TCP.
func (so *Socket) Buffers() (SendBuffer, ReceiveBuffer) {
	if so == nil || so.tcp() == nil {
		return SendBuffer{}, ReceiveBuffer{}
	}
	ep := so.tcp()
	snd, rcv := buffersOf(ep)
	snd.LowWater, rcv.LowWater = int(so.notsentLowat.Load()), so.lowat(math.MaxInt)
	snd.HighWater = raise(&so.sndHigh, snd.Queued)
	rcv.HighWater = raise(&so.rcvHigh, rcv.Queued)
	return snd, rcv
}

// raise lifts a high-water mark to n and returns it.
func raise(mark *atomic.Int64, n int) int {
	for {
		old := mark.Load()
		if int64(n) <= old {
			return int(old)
		}
		if mark.CompareAndSwap(old, int64(n)) {
			return n
		}
	}
}

func buffersOf(ep *tcp.Endpoint) (SendBuffer, ReceiveBuffer) {
	st := readTCP(ep)
	o := ep.SocketOptions()
	snd := SendBuffer{Size: int(o.GetSendBufferSize()), Queued: st.sndQueued, Unsent: st.unsent(), Window: st.sndWnd}
	snd.Free = max(0, snd.Size-snd.Queued)
	rcv := ReceiveBuffer{Size: fromMemory(o.GetReceiveBufferSize()), Queued: st.rcvQueued, Window: st.rcvWnd}
	rcv.Free = max(0, rcv.Size-rcv.Queued)
	return snd, rcv
}

// gVisor counts a receive buffer in memory, bookkeeping of each segment
// included, and never grants the peer more than half of it
// (tcp.rcvAdvWndScale). So a buffer of n bytes is given twice the memory: the
// window is then n less what is unread (Endpoint.selectWindowLocked), unless
// segments are so small that their bookkeeping fills the other half first.
func fromMemory(n int64) int { return int(n >> 1) }
func toMemory(n int) int64   { return int64(n) << 1 }

// inq is what Recv would return at most (SIOCINQ).
func (so *Socket) inq() int { return readTCP(so.tcp()).rcvQueued }

func getSendSize(so *Socket) (int, error) {
	return int(so.ep.SocketOptions().GetSendBufferSize()), nil
}

func getReceiveSize(so *Socket) (int, error) {
	n := so.ep.SocketOptions().GetReceiveBufferSize()
	if so.kind == stream {
		return fromMemory(n), nil
	}
	return int(n), nil
}

// setSendSize clamps like Linux, where a negative size is a large one.
func setSendSize(so *Socket, n int) error {
	o := so.ep.SocketOptions()
	low, high := o.SendBufferLimits()
	if n < 0 {
		n = math.MaxInt
	}
	so.snd.resize(o, min(max(int64(n), low), high))
	return nil
}

func setReceiveSize(so *Socket, n int) error {
	o := so.ep.SocketOptions()
	low, high := o.ReceiveBufferLimits()
	if n < 0 {
		n = math.MaxInt / 4
	}
	size := int64(n)
	if so.kind == stream {
		size = toMemory(min(n, math.MaxInt/4))
	}
	so.flags.Or(uint32(flagReceiveFixed))
	o.SetReceiveBufferSize(min(max(size, low), high), true)
	return nil
}

// SetReceiveAutotune lets the receive buffer grow with the connection's rate,
// up to limit payload bytes, and no further than the stack allows
// (stack.TCPConfig.ReceiveBuffer); 0 is as far as that. It is how sockets begin
// if the stack autotunes. Setting SO_RCVBUF ends it for good: EINVAL then.
func (so *Socket) SetReceiveAutotune(limit int) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	switch {
	case so.kind != stream:
		return syscall.ENOPROTOOPT
	case limit < 0 || so.flagged(flagReceiveFixed):
		return syscall.EINVAL
	}
	so.autotuneMax.Store(int64(limit))
	return nil
}

// moderate is gVisor's autotuning: it counts what the application takes, and
// without this call the buffer never grows. It knows one limit for all sockets;
// the socket's own is kept here.
func (so *Socket) moderate(n int) {
	limit := so.autotuneMax.Load()
	if limit == 0 {
		so.ep.ModerateRecvBuf(n)
		return
	}
	o := so.ep.SocketOptions()
	if before := o.GetReceiveBufferSize(); before < toMemory(int(limit)) {
		so.ep.ModerateRecvBuf(n)
		if o.GetReceiveBufferSize() > toMemory(int(limit)) {
			o.SetReceiveBufferSize(max(before, toMemory(int(limit))), false)
		}
	}
}

func getRcvLowat(so *Socket) (int, error) { return so.lowat(math.MaxInt), nil }

// lowat is how much must be there for a reader who wants n bytes.
func (so *Socket) lowat(n int) int { return min(max(int(so.rcvLowat.Load()), 1), max(n, 1)) }

// setRcvLowat clamps like Linux (tcp_set_rcvlowat): never above what the
// buffer can hold, or the mark would never be reached.
func setRcvLowat(so *Socket, n int) error {
	size, _ := getReceiveSize(so)
	if !so.flagged(flagReceiveFixed) && so.kind == stream {
		// It may still grow.
		_, high := so.ep.SocketOptions().ReceiveBufferLimits()
		size = fromMemory(high)
	}
	if n < 0 {
		n = math.MaxInt
	}
	so.rcvLowat.Store(int32(min(max(n, 1), size)))
	return nil
}

func getNotsentLowat(so *Socket) (int, error) { return int(so.notsentLowat.Load()), nil }

func setNotsentLowat(so *Socket, n int) error {
	// Linux: unsigned, and the largest is no mark.
	so.notsentLowat.Store(int64(max(n, 0)))
	so.queue.Notify(eventSent)
	return nil
}
