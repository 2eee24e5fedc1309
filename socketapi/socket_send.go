package socketapi

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
)

// sender is what a send works with, kept so that none allocates.
type sender struct {
	mu    sync.Mutex
	from  source
	to    tcpip.FullAddress
	batch *stack.Batch // of SendBatch, and from its first call on of all that is sent; nil before
	mss   int          // of the stream when it began
	piece int          // how much of a stream is handed to gVisor at a time; 0 until the first send

	// remeasure: mss is another now. It may be set without mu.
	remeasure atomic.Bool

	// more: TCP_CORK is on because of MsgMore, and not because the application
	// has set it. Written with mu held.
	more atomic.Bool

	// size is a send buffer size that waits for mu: see resize.
	size atomic.Int64
}

// resize sets the send buffer's size, or leaves that to whoever holds snd.mu.
// gVisor drops bytes that it has taken from a reader when the buffer shrinks
// meanwhile (Endpoint.queueSegment), and a reader may take its time.
func (so *Socket) resize(n int64) {
	so.snd.size.Store(n)
	if so.snd.mu.TryLock() {
		so.sendUnlock()
	}
}

// sendUnlock releases snd.mu and does what waited for that.
func (so *Socket) sendUnlock() {
	n := so.snd.size.Swap(0)
	if n != 0 {
		so.ep.SocketOptions().SetSendBufferSize(n, true)
	}
	so.snd.mu.Unlock()
	if n != 0 {
		// gVisor tells writers of a larger buffer only if much of it is free.
		so.queue.Notify(waiter.WritableEvents)
	}
	// Whoever came after the Swap found mu held.
	if so.snd.size.Load() != 0 && so.snd.mu.TryLock() {
		so.sendUnlock()
	}
}

// Send appends to a stream's send buffer what there is room for, or sends one
// datagram to the address connected to, like send(2). A nil error means that
// the bytes are in the send buffer, not that the peer has acknowledged them. p
// is the caller's again when Send returns.
//
// With TCP_NOTSENT_LOWAT set, a stream takes whole segments while less than that
// many bytes are unsent.
//
// Errors: EAGAIN, EPIPE after Shutdown, ECONNRESET, ETIMEDOUT, ENOTCONN,
// EDESTADDRREQ, EMSGSIZE, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH.
func (so *Socket) Send(p []byte, flags MsgFlags) (int, error) {
	return so.SendTo(p, flags, netip.AddrPort{})
}

// SendTo is Send to an address, invalid for the one connected to. Streams
// ignore it. Errors: as [Socket.Send]; EAFNOSUPPORT for an IPv6 address on a
// socket of IPv4, ENETUNREACH for an IPv4 one on a socket of IPv6 alone, EINVAL
// for port 0.
func (so *Socket) SendTo(p []byte, flags MsgFlags, to netip.AddrPort) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind == stream {
		return so.sendStream(p, nil, flags)
	}
	return so.sendDatagram(p, nil, flags, to, extras{})
}

// SendMsg sends m.Buffers as one datagram, or as the next bytes of a stream in
// one piece, like sendmsg(2). m and its buffers are the caller's again when it
// returns. Errors: as [Socket.SendTo]; EINVAL for a field of m.Control that can
// only be received, for an IPv6 source that is not ours and a TTL of 0 over
// IPv4; ENETUNREACH for an IPv4 source that is not ours, EADDRNOTAVAIL for one
// of ours that is neither bound to nor the route's; ENODEV for a NIC there is
// not.
func (so *Socket) SendMsg(m *Message, flags MsgFlags) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind == stream {
		return so.sendStream(nil, m.Buffers, flags)
	}
	with, err := so.sendable(&m.Control, m.Addr)
	if err != nil {
		return 0, err
	}
	return so.sendDatagram(nil, m.Buffers, flags, m.Addr, with)
}

// sendStream hands pieces to gVisor until all is taken or it takes no more.
func (so *Socket) sendStream(p []byte, rest [][]byte, flags MsgFlags) (int, error) {
	if flags&MsgOOB != 0 {
		return 0, syscall.EINVAL
	}
	so.snd.mu.Lock()
	defer so.sendUnlock()
	defer so.snd.from.of(nil, nil, 0)
	size, done := len(p)+total(rest), 0
	if so.watched.Load()&watchSent != 0 {
		defer so.tellSent(so.look().Snd.Unsent)
	}
	so.cork(flags&MsgMore != 0)
	defer so.uncork(flags&MsgMore != 0)
	if size == 0 {
		return 0, so.sendNothing()
	}
	for done < size {
		n, err := so.sendPiece(p, rest, size-done)
		if err != nil {
			if done > 0 {
				return done, nil
			}
			if err == syscall.EAGAIN { //nolint:errorlint // a Socket's errnos are bare
				so.stuck()
			}
			return 0, err
		}
		done += n
		p, rest = skip(p, rest, n)
		so.touch()
	}
	return done, nil
}

// sendNothing tells whether bytes could be sent, which is what send(2) says of
// none: a full buffer has room for them.
func (so *Socket) sendNothing() error {
	so.snd.from.of(nil, nil, 0)
	_, err := so.ep.Write(&so.snd.from, tcpip.WriteOptions{})
	if _, full := err.(*tcpip.ErrWouldBlock); full {
		if st := so.look(); sndOpen(&st) {
			return nil
		}
	}
	return so.errno(err)
}

// tellSent tells of eventSent if a send took along what Nagle's algorithm or
// MsgMore had held back: there were before bytes unsent.
func (so *Socket) tellSent(before int) {
	if before > 0 {
		if so.look().Snd.Unsent < before {
			so.tell()
		}
	}
}

// sendPiece hands over at most left bytes, as one of gVisor's segments.
func (so *Socket) sendPiece(p []byte, rest [][]byte, left int) (int, error) {
	limit, err := so.pieceLimit()
	if err != nil {
		return 0, err
	}
	// From the start of what is left each time: gVisor may read more of it than
	// it then accepts.
	so.snd.from.of(p, rest, min(left, limit))
	n, terr := so.give(&so.snd.from)
	if terr != nil {
		return 0, so.errno(terr)
	}
	return int(n), nil
}

// give hands src to gVisor, which reads nothing of it without room. The caller
// holds snd.mu.
func (so *Socket) give(src tcpip.Payloader) (int64, tcpip.Error) {
	n, err := so.ep.Write(src, tcpip.WriteOptions{})
	if _, full := err.(*tcpip.ErrWouldBlock); full && so.growSend() {
		n, err = so.ep.Write(src, tcpip.WriteOptions{})
	}
	return n, err
}

// pieceLimit is how much may be handed to gVisor now; EAGAIN if the low-water
// mark allows none. The caller holds snd.mu.
func (so *Socket) pieceLimit() (int, error) {
	if so.snd.piece == 0 || so.snd.remeasure.Load() {
		so.snd.remeasure.Store(false)
		// The first send is the first call after the handshake.
		so.boundSegments()
		engine.MendRecovery(so.tcp())
		mss := so.look().Snd.MSS
		if mss == 0 {
			return 1, nil // not connected: let gVisor say so
		}
		so.snd.mss, so.snd.piece = mss, pieceSize(mss)
	}
	if so.notsentLowat.Load() == 0 {
		return so.snd.piece, nil
	}
	_, room := so.lookForRoom(so.tcp(), false)
	if room == 0 && so.growSend() {
		_, room = so.lookForRoom(so.tcp(), false)
	}
	switch {
	case room == 0:
		return 0, syscall.EAGAIN
	case room > 0:
		// Whole segments: the mark is for when to write, not for how small
		// segments are to be.
		return min((room+so.snd.mss-1)/so.snd.mss*so.snd.mss, so.snd.piece), nil
	default:
		return so.snd.piece, nil
	}
}

// pieceSize is how much of a stream is handed to gVisor at a time: whole
// segments, as many as fit a device's largest frame. gVisor keeps what it is
// handed as one piece, cuts it where a frame is full and never joins the end of
// one piece with the beginning of the next: 256 KiB at once leave as four large
// frames and a runt. (The limit is its maxPayloadSize for host GSO: 64 KiB less
// the largest headers.)
func pieceSize(mss int) int {
	const largest = 65_000
	return max(1, largest/mss) * mss
}

// cork and uncork are MSG_MORE: TCP_CORK around the sends that have it and the
// first that has not, unless the application has corked the socket itself. The
// caller holds snd.mu.
func (so *Socket) cork(more bool) {
	if more && !so.ep.SocketOptions().GetCorkOption() {
		so.ep.SocketOptions().SetCorkOption(true)
		so.snd.more.Store(true)
	}
}

func (so *Socket) uncork(more bool) {
	if !more && so.snd.more.Load() {
		so.snd.more.Store(false)
		so.ep.SocketOptions().SetCorkOption(false)
	}
}

func getCork(so *Socket) (int, error) {
	return b2i(so.ep.SocketOptions().GetCorkOption() && !so.snd.more.Load()), nil
}

// setCork takes over from MsgMore: what that has held back leaves with 0, as in
// Linux, and stays with 1.
func setCork(so *Socket, v int) error {
	so.snd.mu.Lock()
	defer so.sendUnlock()
	so.snd.more.Store(false)
	so.ep.SocketOptions().SetCorkOption(v != 0)
	return nil
}

// sendDatagram sends one message.
func (so *Socket) sendDatagram(p []byte, rest [][]byte, flags MsgFlags, to netip.AddrPort, with extras) (int, error) {
	if flags&MsgOOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	so.snd.mu.Lock()
	defer so.sendUnlock()
	return so.sendOne(p, rest, to, with)
}

// sendOne is sendDatagram for who holds snd.mu.
func (so *Socket) sendOne(p []byte, rest [][]byte, to netip.AddrPort, with extras) (int, error) {
	defer so.snd.from.of(nil, nil, 0)
	opts := tcpip.WriteOptions{ControlMessages: with.control}
	if to.IsValid() {
		fa, err := so.address(to)
		if err != nil {
			return 0, err
		}
		if fa.NIC == 0 {
			fa.NIC = with.nic
		}
		if fa.NIC == 0 && with.control.IPv6PacketInfo.NIC == 0 && needsNoRoute(to.Addr()) {
			fa.NIC = so.ifOfGroups(fa)
		}
		so.snd.to = fa
		opts.To = &so.snd.to
	}
	size := len(p) + total(rest)
	so.snd.from.of(p, rest, size)
	if with.hasTOS {
		defer so.tos(with.tos)()
	}
	_, err := so.ep.Write(&so.snd.from, opts)
	switch err.(type) {
	case nil:
		return size, nil
	case *tcpip.ErrInvalidEndpointState:
		if !to.IsValid() && (so.kind == datagram || so.isEcho(p, rest)) && ended(so.stack) == nil {
			// A connected socket keeps its route though its NIC was set down
			// (stack.Route.WritePacket). The socket itself is open.
			return 0, syscall.ENETUNREACH
		}
	case *tcpip.ErrBadLocalAddress:
		if with.control.HasIPv6PacketInfo {
			return 0, syscall.EINVAL // Linux's word for it (ip6_datagram_send_ctl)
		}
	}
	return 0, so.errno(err)
}

// isEcho reports whether p and rest are an echo request, which is all that a ping
// socket sends.
func (so *Socket) isEcho(p []byte, rest [][]byte) bool {
	var head [2]byte
	src := source{p: p, rest: rest, left: min(total(rest)+len(p), len(head))}
	_, _ = src.Read(head[:])
	return len(p)+total(rest) >= echoHeader && head[0] == echoRequest(so.v6) && head[1] == 0
}
