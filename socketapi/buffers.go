package socketapi

import (
	"math"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
)

// SendBuffer is one instant of a connection's send buffer: what the
// application has written and the peer has not acknowledged. All in payload
// bytes, and exact.
type SendBuffer struct {
	Size   int // capacity (SO_SNDBUF, not doubled); below Queued after it was made smaller than what is in it
	Queued int // written, not acknowledged (SIOCOUTQ)
	Unsent int // of these, not sent yet (SIOCOUTQNSD)
	Free   int // Size - Queued, 0 where that is negative

	// LowWater is the mark of TCP_NOTSENT_LOWAT: with that much unsent the
	// socket is not writable. 0 is no mark.
	LowWater int

	// HighWater is the largest Queued seen so far: by looks, and with
	// SetAccounting by every segment that arrives.
	HighWater int

	// AutotuneMax is how far Size may grow by itself; 0 is not at all.
	AutotuneMax int

	// Window is what the peer lets us have unacknowledged: SND.WND.
	Window int
}

// ReceiveBuffer is one instant of a connection's receive buffer: what we have
// acknowledged and the application has not read. All in payload bytes, and
// exact. While nobody reads, Queued reaches Size but for less than one segment:
// the peer does not send what the window has no room for. The exception are
// segments of fewer than 650 bytes, the memory that each costs besides: of p
// bytes each, 2*p/(p+650) of Size fit, and the peer finds out by what it has to
// send again.
type ReceiveBuffer struct {
	Size   int // what the peer may have sent and the application not read (SO_RCVBUF, not doubled); below Queued after it was made smaller
	Queued int // acknowledged, not read (SIOCINQ)
	Free   int // Size - Queued, 0 where that is negative

	// LowWater is the mark of SO_RCVLOWAT: with less the socket is not
	// readable. 1 unless set.
	LowWater int

	// HighWater is the largest Queued seen so far: by looks, and with
	// SetAccounting by every segment that arrives.
	HighWater int

	// AutotuneMax is how far Size may grow by itself; 0 is not at all.
	AutotuneMax int

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
	snd.AutotuneMax, rcv.AutotuneMax = so.sendMayGrow(), so.receiveMayGrow()
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
	st := engine.Read(ep)
	return buffersIn(&st, ep.SocketOptions())
}

func buffersIn(st *engine.State, o *tcpip.SocketOptions) (SendBuffer, ReceiveBuffer) {
	snd := SendBuffer{Size: int(o.GetSendBufferSize()), Queued: st.Snd.Queued, Unsent: st.Snd.Unsent, Window: st.Snd.Wnd}
	snd.Free = max(0, snd.Size-snd.Queued)
	rcv := ReceiveBuffer{Size: fromMemory(o.GetReceiveBufferSize()), Queued: st.Rcv.Queued, Window: st.Rcv.Wnd}
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
func (so *Socket) inq() int { return so.look().Rcv.Queued }

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
	so.flags.Or(uint32(flagSendFixed))
	o := so.ep.SocketOptions()
	low, high := o.SendBufferLimits()
	if n < 0 {
		n = math.MaxInt
	}
	so.resize(min(max(int64(n), low), high))
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
	size = min(max(size, low), high)
	o.SetReceiveBufferSize(size, true)
	if so.kind == stream {
		so.keepOutOfOrder(size)
	}
	so.queue.Notify(waiter.ReadableEvents) // a mark above what the buffer can hold is lower now
	return nil
}

// keepOutOfOrder makes a receive buffer that was just given size bytes of memory
// larger again if segments that wait for a lost one take more. Otherwise gVisor
// would drop the lost one too, each time it is sent again, because the memory is
// used up (segmentQueue.enqueue); Linux lets go of the others instead.
func (so *Socket) keepOutOfOrder(size int64) {
	for {
		pending := int64(so.look().Rcv.Pending)
		if pending <= size {
			return
		}
		size = pending
		so.ep.SocketOptions().SetReceiveBufferSize(size, true)
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
	so.queue.Notify(waiter.ReadableEvents) // whoever waits for a higher mark looks again
	return nil
}

func getNotsentLowat(so *Socket) (int, error) { return int(so.notsentLowat.Load()), nil }

func setNotsentLowat(so *Socket, n int) error {
	// Linux: unsigned, and the largest is no mark.
	so.notsentLowat.Store(int64(max(n, 0)))
	so.tell()
	return nil
}
