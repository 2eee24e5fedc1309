package stack

import (
	"encoding/binary"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// gVisor acknowledges what has come before the application has been told of
// it, so that the answer to a request, or the FIN that answers a FIN, is always
// preceded by a frame of its own that says nothing but ACK. A frame costs as
// much as a system call and the kernel's whole receive path, on our thread: for
// a small request that is a third of everything.
//
// So a pure ACK waits here while the reader that brought its cause still has
// something to do, and leaves with the answer if that comes meanwhile. It is
// delayed in the sense of RFC 9293, 3.8.6.3 (RFC 1122, 4.2.3.2), but without a
// timer: until the reader finds no more frames after everybody who was ready to
// run has had a turn, which is microseconds, and never across a sleep.
//
// What must not wait, does not: ACKs that do not advance (duplicates, which
// count; window updates; keepalive), that acknowledge more than a full segment
// (at least every second must be acknowledged), or that carry SACK.

const (
	// ackSlots is how many flows an ackHold knows, one for each hash value. A
	// flow that lost its slot to another has its next ACK sent at once.
	ackSlotBits = 8
	ackSlots    = 1 << ackSlotBits

	// ackFrames is how many frames a busy reader delivers before it lets held
	// ACKs go.
	ackFrames = 64

	// ackFrameMax is the longest frame that is held, in bytes: Ethernet, IPv6
	// without extensions, TCP with its timestamps (RFC 7323).
	ackFrameMax = header.EthernetMinimumSize + header.IPv6MinimumSize + ackTCPMax
	ackTCPMax   = header.TCPMinimumSize + 12
)

// ackHold holds back pure ACKs of one queue. It belongs to the queue's reader
// and to everybody who writes to the queue.
type ackHold struct {
	queue tap.Queue

	// The reader's own.
	reading bool // mirrors busy
	frames  int  // delivered since the last flush

	mu     sync.Mutex
	busy   bool // the reader will flush
	held   int  // slots with a frame
	joined uint64
	failed uint64    // releases that the device refused
	out    [1][]byte // for release, which shall not allocate
	slots  [ackSlots]ackSlot
}

// ackSlot is what is known of one flow.
type ackSlot struct {
	flow flow
	ack  uint32 // the highest acknowledgement number sent, or held
	n    int    // length of frame; 0 if none is held
	off  tap.Offload

	frame [ackFrameMax]byte
}

// flow is a TCP connection as its outgoing packets show it.
type flow struct {
	local, remote         tcpip.Address
	localPort, remotePort uint16
}

// newAckHold is nil for a queue that does not say when its reader is idle.
func newAckHold(q tap.Queue) *ackHold {
	idler, ok := q.(tap.Idler)
	if !ok {
		return nil
	}
	h := &ackHold{queue: q}
	if !idler.OnIdle(h.idle) {
		return nil
	}
	return h
}

// received is told of every frame that the reader delivers, before it does.
func (h *ackHold) received() {
	if h.reading {
		if h.frames++; h.frames < ackFrames {
			return
		}
	}
	h.reading, h.frames = true, 0
	h.mu.Lock()
	h.flush()
	h.busy = true
	h.mu.Unlock()
}

// idle is the end of a reader's business: nothing waits any longer.
func (h *ackHold) idle() {
	if !h.reading {
		return
	}
	h.reading = false
	h.mu.Lock()
	h.flush()
	h.busy = false
	h.mu.Unlock()
}

// flush sends everything held. It is called with the lock held, so that no
// later frame of a flow overtakes its ACK.
func (h *ackHold) flush() {
	for i := 0; h.held > 0; i++ {
		if s := &h.slots[i]; s.n > 0 {
			h.release(s)
		}
	}
}

// release sends what s holds. An ACK that the device does not take is lost, as
// it may be on any network.
func (h *ackHold) release(s *ackSlot) {
	h.out[0] = s.frame[:s.n]
	s.n = 0
	h.held--
	if h.queue.Write(h.out[:], s.off) != nil {
		h.failed++
	}
}

// drop forgets what s holds: another frame says the same.
func (h *ackHold) drop(s *ackSlot) {
	s.n = 0
	h.held--
	h.joined++
}

// lost is how many ACKs were forgotten so far, because another frame said the
// same, and how many the device refused.
func (h *ackHold) lost() (joined, failed uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.joined, h.failed
}

// take looks at an outgoing packet, whose frame is the concatenation of bufs.
// It reports whether it has kept a copy, to be sent later or never; otherwise
// the caller sends the frame, and what it makes superfluous is forgotten.
func (h *ackHold) take(pkt *netstack.PacketBuffer, bufs [][]byte, off tap.Offload, mtu int) bool {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return false
	}
	tcp := header.TCP(pkt.TransportHeader().Slice())
	if len(tcp) < header.TCPMinimumSize {
		return false
	}
	f := flow{localPort: tcp.SourcePort(), remotePort: tcp.DestinationPort()}
	// Not pkt.Network(), which allocates.
	switch ip := pkt.NetworkHeader().Slice(); pkt.NetworkProtocolNumber {
	case header.IPv4ProtocolNumber:
		f.local, f.remote = header.IPv4(ip).SourceAddress(), header.IPv4(ip).DestinationAddress()
	case header.IPv6ProtocolNumber:
		f.local, f.remote = header.IPv6(ip).SourceAddress(), header.IPv6(ip).DestinationAddress()
	default:
		return false
	}
	ack, flags := tcp.AckNumber(), tcp.Flags()
	pure := flags == header.TCPFlagAck && pkt.Data().Size() == 0

	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.slots[f.slot()]
	if s.flow != f || flags&header.TCPFlagAck == 0 {
		if s.n > 0 {
			h.release(s)
		}
		s.flow, s.ack = f, ack
		if flags&header.TCPFlagAck == 0 {
			s.flow = flow{} // there is no number to go by
		}
		return false
	}
	ahead := int32(ack - s.ack) // of what was acknowledged before
	s.ack += uint32(max(ahead, 0))
	if s.n > 0 {
		// One that waits is replaced by what says as much and more, and
		// goes first otherwise. It is never replaced by one that waits too.
		if ahead < 0 || ahead == 0 && pure {
			h.release(s)
		} else {
			h.drop(s)
		}
		return false
	}
	if !pure || !h.busy || ahead <= 0 || int(ahead) > mtu || len(tcp) > ackTCPMax {
		return false
	}
	return h.keep(s, bufs, off)
}

func (h *ackHold) keep(s *ackSlot, bufs [][]byte, off tap.Offload) bool {
	n := 0
	for _, b := range bufs {
		if n+len(b) > len(s.frame) {
			return false
		}
		n += copy(s.frame[n:], b)
	}
	s.n, s.off = n, off
	h.held++
	return true
}

// slot spreads flows over the slots. Which flows meet in one is of no
// consequence to anybody but their own ACKs' delay.
func (f *flow) slot() uint32 {
	a := f.remote.AsSlice()
	sum := binary.BigEndian.Uint32(a[len(a)-4:])
	sum = (sum ^ uint32(f.remotePort)<<16 ^ uint32(f.localPort)) * 2654435761 // Knuth's multiplicative hash
	return sum >> (32 - ackSlotBits)
}

// acksLost is the sum of all queues.
func (l *link) acksLost() (joined, failed uint64) {
	for _, h := range l.acks {
		if h != nil {
			j, f := h.lost()
			joined, failed = joined+j, failed+f
		}
	}
	return joined, failed
}
