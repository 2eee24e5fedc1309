package socketapi

import (
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// receiver is what a receive works with, kept so that none allocates.
type receiver struct {
	mu   sync.Mutex
	to   sink
	auto autotune

	// late is an errno for the next receive, or SO_ERROR: what came after the
	// first datagrams of a RecvBatch. 0 is none.
	late atomic.Uint32
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
// Errors: as [Socket.Recv].
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

// RecvMsg fills m.Buffers, m.Addr, m.Control and m.Flags, like recvmsg(2). It
// returns the length, with MsgTrunc of a datagram also of what m.Buffers have
// no room for. Errors: as [Socket.Recv].
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
		so.tookBytes()
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
	if errno := so.rcv.late.Swap(0); errno != 0 {
		return tcpip.ReadResult{}, 0, syscall.Errno(errno)
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

// tookBytes remembers that the application has received something. It writes
// only once: readers and writers share the line.
func (so *Socket) tookBytes() {
	if !so.everRead.Load() {
		so.everRead.Store(true)
	}
}
