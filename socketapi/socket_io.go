package socketapi

import (
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// receiver and sender are what a call of each direction works with, kept so
// that no call allocates.
type receiver struct {
	mu   sync.Mutex
	to   sink
	auto autotune
	late error // for the next receive: what came after the first datagrams of a RecvBatch
}

type sender struct {
	mu    sync.Mutex
	from  source
	to    tcpip.FullAddress
	batch *stack.Batch // of SendBatch, and from its first call on of all that is sent; nil before
	piece int          // how much of a stream is handed to gVisor at a time; 0 until the first send
	more  bool         // the last send had MsgMore

	// size is a send buffer size that waits for mu: see resize.
	size atomic.Int64
}

// resize sets the send buffer's size, or leaves that to whoever holds mu.
// gVisor drops bytes that it has taken from a reader when the buffer shrinks
// meanwhile (Endpoint.queueSegment), and a reader may take its time.
func (s *sender) resize(o *tcpip.SocketOptions, n int64) {
	s.size.Store(n)
	if s.mu.TryLock() {
		s.unlock(o)
	}
}

// unlock releases mu and does what waited for that.
func (s *sender) unlock(o *tcpip.SocketOptions) {
	if n := s.size.Swap(0); n != 0 {
		o.SetSendBufferSize(n, true)
	}
	s.mu.Unlock()
	// Whoever came after the Swap found mu held.
	if s.size.Load() != 0 && s.mu.TryLock() {
		s.unlock(o)
	}
}

// Recv takes received bytes, like recv(2): of a stream as many as there are and
// p holds; of a datagram the first, whose rest is lost if p is too short. It
// returns io.EOF after the peer's FIN.
//
// Errors: EAGAIN, ECONNREFUSED, ECONNRESET, ETIMEDOUT, ENOTCONN, EINVAL for
// flags there are not.
func (so *Socket) Recv(p []byte, flags MsgFlags) (int, error) {
	n, _, err := so.RecvFrom(p, flags)
	return n, err
}

// RecvFrom is Recv, and says who sent the datagram. For streams from is zero.
func (so *Socket) RecvFrom(p []byte, flags MsgFlags) (n int, from netip.AddrPort, err error) {
	if err := so.use(); err != nil {
		return 0, from, err
	}
	defer so.done()
	if so.kind == stream {
		n, err = so.recvStream(p, nil, flags)
		return n, from, err
	}
	res, n, err := so.recvDatagram(p, nil, flags)
	if err != nil {
		return 0, from, err
	}
	return n, addrPort(so.stack, res.RemoteAddr), nil
}

// RecvMsg fills m.Buffers, m.Addr, m.Control and m.Flags, like recvmsg(2).
func (so *Socket) RecvMsg(m *Message, flags MsgFlags) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind != stream {
		err := so.recvMsg(m, flags)
		return m.N, err
	}
	m.Flags, m.Control, m.N = 0, Control{}, 0
	n, err := so.recvStream(nil, m.Buffers, flags)
	if err != nil {
		return 0, err
	}
	if so.flagged(flagInq) {
		m.Control.Has, m.Control.Inq = ControlInq, so.inq()
	}
	m.N = n
	return n, nil
}

// recvMsg takes one datagram into m.
func (so *Socket) recvMsg(m *Message, flags MsgFlags) error {
	m.Flags, m.Control, m.N = 0, Control{}, 0
	res, n, err := so.recvDatagram(nil, m.Buffers, flags)
	if err != nil {
		return err
	}
	m.N = n
	m.Addr = addrPort(so.stack, res.RemoteAddr)
	if res.Total > total(m.Buffers) {
		m.Flags |= MsgTrunc
	}
	so.received(&m.Control, &res.ControlMessages)
	return nil
}

// recvStream is one tcp.Endpoint.Read.
func (so *Socket) recvStream(p []byte, rest [][]byte, flags MsgFlags) (int, error) {
	if flags&MsgOOB != 0 {
		return 0, syscall.EINVAL
	}
	size := len(p) + total(rest)
	if size == 0 {
		// Whether there is something is what recv(2) says of no bytes.
		_, err := so.recvStream(make([]byte, 1), nil, MsgPeek)
		if err == io.EOF { //nolint:errorlint // bare, from recvStream
			err = nil
		}
		return 0, err
	}
	so.rcv.mu.Lock()
	defer so.rcv.mu.Unlock()
	var dst io.Writer = &so.rcv.to
	if flags&MsgTrunc != 0 {
		d := discard(size)
		dst = &d
	} else {
		so.rcv.to = sink{p: p, rest: rest}
		defer func() { so.rcv.to = sink{} }()
	}
	res, err := so.ep.Read(dst, tcpip.ReadOptions{Peek: flags&MsgPeek != 0})
	if _, eof := err.(*tcpip.ErrClosedForReceive); eof && ended(so.stack) == nil {
		return 0, io.EOF
	}
	if err != nil {
		return 0, so.errno(err)
	}
	if flags&MsgPeek == 0 {
		so.moderate(res.Count)
		so.touch()
	}
	return res.Count, nil
}

// recvDatagram takes one message.
func (so *Socket) recvDatagram(p []byte, rest [][]byte, flags MsgFlags) (tcpip.ReadResult, int, error) {
	if flags&MsgOOB != 0 && so.kind == ping {
		return tcpip.ReadResult{}, 0, syscall.EOPNOTSUPP // UDP ignores it
	}
	so.rcv.mu.Lock()
	defer so.rcv.mu.Unlock()
	if err := so.rcv.late; err != nil {
		so.rcv.late = nil
		return tcpip.ReadResult{}, 0, err
	}
	so.rcv.to = sink{p: p, rest: rest, drop: true}
	defer func() { so.rcv.to = sink{} }()
	res, err := so.ep.Read(&so.rcv.to, tcpip.ReadOptions{Peek: flags&MsgPeek != 0, NeedRemoteAddr: true})
	if _, eof := err.(*tcpip.ErrClosedForReceive); eof && ended(so.stack) == nil {
		return res, 0, io.EOF
	}
	if err != nil {
		return res, 0, so.errno(err)
	}
	n := so.rcv.to.n
	if flags&MsgTrunc != 0 {
		n = res.Total
	}
	return res, n, nil
}

// Send appends to a stream's send buffer what there is room for, or sends one
// datagram to the address connected to, like send(2). A nil error means that
// the bytes are in the send buffer, not that the peer has acknowledged them. p
// is the caller's again when Send returns.
//
// With TCP_NOTSENT_LOWAT set, a stream takes no more than would leave that many
// bytes unsent.
//
// Errors: EAGAIN, EPIPE after Shutdown, ECONNRESET, ETIMEDOUT, ENOTCONN,
// EDESTADDRREQ, EMSGSIZE, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH.
func (so *Socket) Send(p []byte, flags MsgFlags) (int, error) {
	return so.SendTo(p, flags, netip.AddrPort{})
}

// SendTo is Send to an address, invalid for the one connected to. Streams
// ignore it.
func (so *Socket) SendTo(p []byte, flags MsgFlags, to netip.AddrPort) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind == stream {
		return so.sendStream(p, nil, flags)
	}
	return so.sendDatagram(p, nil, flags, to, tcpip.SendableControlMessages{})
}

// SendMsg sends m.Buffers as one datagram, or as the next bytes of a stream in
// one piece, like sendmsg(2).
func (so *Socket) SendMsg(m *Message, flags MsgFlags) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind == stream {
		return so.sendStream(nil, m.Buffers, flags)
	}
	control, err := so.sendable(&m.Control)
	if err != nil {
		return 0, err
	}
	return so.sendDatagram(nil, m.Buffers, flags, m.Addr, control)
}

// sendStream hands pieces to gVisor until all is taken or it takes no more.
func (so *Socket) sendStream(p []byte, rest [][]byte, flags MsgFlags) (int, error) {
	if flags&MsgOOB != 0 {
		return 0, syscall.EINVAL
	}
	so.snd.mu.Lock()
	defer so.snd.unlock(so.ep.SocketOptions())
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
			so.queue.Notify(eventSent)
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
	n, terr := so.ep.Write(&so.snd.from, tcpip.WriteOptions{})
	if terr != nil {
		return 0, so.errno(terr)
	}
	return int(n), nil
}

// pieceLimit is how much may be handed to gVisor now; EAGAIN if the low-water
// mark allows none. The caller holds snd.mu.
func (so *Socket) pieceLimit() (int, error) {
	if so.snd.piece == 0 {
		mss := so.look().Snd.MSS
		if mss == 0 {
			return 1, nil // not connected: let gVisor say so
		}
		so.snd.piece = pieceSize(mss)
	}
	switch room := so.roomBelowMark(); {
	case room == 0:
		return 0, syscall.EAGAIN
	case room > 0:
		return min(room, so.snd.piece), nil
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
// first that has not, unless the application has corked the socket itself.
func (so *Socket) cork(more bool) {
	if more && !so.snd.more && !so.ep.SocketOptions().GetCorkOption() {
		so.ep.SocketOptions().SetCorkOption(true)
		so.snd.more = true
	}
}

func (so *Socket) uncork(more bool) {
	if !more && so.snd.more {
		so.snd.more = false
		so.ep.SocketOptions().SetCorkOption(false)
	}
}

// sendDatagram sends one message.
func (so *Socket) sendDatagram(p []byte, rest [][]byte, flags MsgFlags, to netip.AddrPort, control tcpip.SendableControlMessages) (int, error) {
	if flags&MsgOOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	so.snd.mu.Lock()
	defer so.snd.unlock(so.ep.SocketOptions())
	return so.sendOne(p, rest, to, control)
}

// sendOne is sendDatagram for who holds snd.mu.
func (so *Socket) sendOne(p []byte, rest [][]byte, to netip.AddrPort, control tcpip.SendableControlMessages) (int, error) {
	defer so.snd.from.of(nil, nil, 0)
	opts := tcpip.WriteOptions{ControlMessages: control}
	if to.IsValid() {
		fa, err := so.address(to)
		if err != nil {
			return 0, err
		}
		so.snd.to = fa
		opts.To = &so.snd.to
	}
	size := len(p) + total(rest)
	so.snd.from.of(p, rest, size)
	if _, err := so.ep.Write(&so.snd.from, opts); err != nil {
		return 0, so.errno(err)
	}
	return size, nil
}

// received translates what gVisor received with a message.
func (so *Socket) received(c *Control, m *tcpip.ReceivableControlMessages) {
	if m.HasTTL {
		c.Has, c.TTL = c.Has|ControlTTL, m.TTL
	}
	if m.HasHopLimit {
		c.Has, c.TTL = c.Has|ControlTTL, m.HopLimit
	}
	if m.HasTOS {
		c.Has, c.TOS = c.Has|ControlTOS, m.TOS
	}
	if m.HasTClass {
		c.Has, c.TOS = c.Has|ControlTOS, uint8(m.TClass)
	}
	if m.HasIPPacketInfo {
		c.Has, c.NIC = c.Has|ControlPacketInfo, nicName(so.stack, m.PacketInfo.NIC)
		c.Dst, _ = netip.AddrFromSlice(m.PacketInfo.DestinationAddr.AsSlice())
		c.nicIndex = int32(m.PacketInfo.NIC)
	}
	if m.HasIPv6PacketInfo {
		c.Has, c.NIC = c.Has|ControlPacketInfo, nicName(so.stack, m.IPv6PacketInfo.NIC)
		c.Dst, _ = netip.AddrFromSlice(m.IPv6PacketInfo.Addr.AsSlice())
		c.nicIndex = int32(m.IPv6PacketInfo.NIC)
	}
	// gVisor stamps every datagram, asked or not.
	if m.HasTimestamp && so.flagged(flagTimestamp) {
		c.Has, c.Timestamp = c.Has|ControlTimestamp, m.Timestamp
	}
}

// sendable translates what is to be sent with a message. EINVAL for what can
// only be received, ENODEV for a NIC there is not.
func (so *Socket) sendable(c *Control) (out tcpip.SendableControlMessages, err error) {
	if c.Has&^(ControlTTL|ControlPacketInfo) != 0 || c.Has&ControlPacketInfo != 0 && !so.v6 {
		return out, syscall.EINVAL
	}
	if c.Has&ControlTTL != 0 {
		out.HasTTL, out.TTL = true, c.TTL
		out.HasHopLimit, out.HopLimit = so.v6, c.TTL
	}
	if c.Has&ControlPacketInfo != 0 {
		out.HasIPv6PacketInfo = true
		out.IPv6PacketInfo.NIC = tcpip.NICID(c.nicIndex)
		if c.Dst.IsValid() {
			out.IPv6PacketInfo.Addr = tcpip.AddrFrom16(c.Dst.As16())
		}
		if c.NIC != "" {
			id, ok := nicID(so.stack, c.NIC)
			if !ok {
				return out, syscall.ENODEV
			}
			out.IPv6PacketInfo.NIC = id
		}
	}
	return out, nil
}
