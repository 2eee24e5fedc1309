package socketapi

import (
	"syscall"

	"tapstack/stack"
)

// batchMax is how many messages one call sends or receives, as with Linux
// (UIO_MAXIOV): nobody else sends meanwhile.
const batchMax = 1024

// SendBatch sends a datagram for each of msgs, like sendmmsg(2), at most 1,024,
// and returns how many were sent. The error is that of the first; one of a later
// datagram ends the batch and shows when the caller goes on from there, unless
// it was a pending one (ECONNREFUSED), which nobody then sees.
//
// Consecutive datagrams that go to the same address and are equally long, but
// for the last, leave as one frame for the device to cut, if it can (USO), and
// cost a fraction of the time. All else is as with SendMsg, but for a full
// device: what it does not take of a frame made so is counted by the stack (see
// stack.NICStats.DropMerged) and not reported, even where IP_RECVERR asks for it.
//
// The buffers are the caller's again when SendBatch returns. Nothing is
// allocated for a batch.
//
// Errors: EOPNOTSUPP for a stream; as [Socket.Send].
func (so *Socket) SendBatch(msgs []Message, flags MsgFlags) (int, error) {
	n, err := so.sendBatch(msgs, flags)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// sendBatch is SendBatch with the error that ended it, whenever that came.
func (so *Socket) sendBatch(msgs []Message, flags MsgFlags) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind == stream || flags&MsgOOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	so.snd.mu.Lock()
	defer so.sendUnlock()
	b := so.snd.batch
	if b == nil {
		b = new(stack.Batch)
		so.snd.batch = b
		so.ep.SetOwner(b)
	}
	b.Begin()
	defer b.End()
	for i := range msgs[:min(len(msgs), batchMax)] {
		if err := so.sendNext(b, &msgs[i]); err != nil {
			return i, err
		}
	}
	return min(len(msgs), batchMax), nil
}

// sendNext sends one message of a batch.
func (so *Socket) sendNext(b *stack.Batch, m *Message) error {
	with, err := so.sendable(&m.Control, m.Addr)
	if err != nil {
		return err
	}
	b.Next(total(m.Buffers))
	_, err = so.sendOne(nil, m.Buffers, m.Addr, with)
	//nolint:errorlint // a Socket's errnos are bare
	if err == syscall.EAGAIN && b.Flush() {
		// The send buffer was full of what waited for this one.
		_, err = so.sendOne(nil, m.Buffers, m.Addr, with)
	}
	return err
}

// RecvBatch receives a datagram into each of msgs as long as there are any, like
// recvmmsg(2), at most 1,024, and returns how many it has filled: each as
// RecvMsg does, with its length in N. The error is that of the first; one that
// comes later is the next receive's, or SO_ERROR's, and the socket is ready for it.
//
// Errors: EAGAIN if there is none, EOPNOTSUPP for a stream; as [Socket.Recv].
func (so *Socket) RecvBatch(msgs []Message, flags MsgFlags) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind == stream {
		return 0, syscall.EOPNOTSUPP
	}
	msgs = msgs[:min(len(msgs), batchMax)]
	for i := range msgs {
		err := so.recvMsg(&msgs[i], flags)
		switch {
		case err == nil:
			if flags&MsgPeek != 0 {
				return i + 1, nil // the next would be the same
			}
			continue
		case i == 0:
			return 0, err
		case err != syscall.EAGAIN: //nolint:errorlint // a Socket's errnos are bare
			// What is no errno, such as the end of the socket, is told again.
			so.rcv.late.Store(uint32(errnoOf(err)))
		}
		return i, nil
	}
	return len(msgs), nil
}

// WriteBatch sends a datagram for each of msgs, to its Addr or, where that is
// not valid, to the connected address, and returns how many were sent. If that
// is not all of them the error is that of the next. It waits for room in the
// send buffer as often as needed.
//
// Datagrams that are alike leave many to a frame where the device can cut them:
// see [Socket.SendBatch]. Errors: as [UDPConn.Write] and [UDPConn.WriteTo].
func (c *UDPConn) WriteBatch(msgs []Message) (int, error) {
	if c == nil || !c.valid() {
		return 0, errNil
	}
	if err := c.so.use(); err != nil {
		return 0, c.writeErr(c.remote, err)
	}
	defer c.so.done()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	n, fit := 0, 0
	for fit < len(msgs) && c.refuses(msgs[fit].Addr) == nil {
		fit++
	}
	for n < fit {
		err := c.attempt(&c.wr, "sendmmsg", func() error {
			sent, err := c.so.sendBatch(msgs[n:fit], 0)
			n += sent
			return err
		})
		if err != nil {
			return n, c.writeErr(msgs[n].Addr, err)
		}
	}
	if n < len(msgs) {
		return n, c.writeErr(msgs[n].Addr, c.refuses(msgs[n].Addr))
	}
	return n, nil
}

// ReadBatch waits for a datagram and receives it, and those behind it that are
// there already, one into each of msgs: see [Socket.RecvBatch]. It returns how
// many. Errors: as [UDPConn.Read].
func (c *UDPConn) ReadBatch(msgs []Message) (n int, err error) {
	if c == nil || !c.valid() {
		return 0, errNil
	}
	if err := c.so.use(); err != nil {
		return 0, c.opErr("read", nil, err)
	}
	defer c.so.done()
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	err = c.attempt(&c.rd, "recvmmsg", func() (err error) {
		n, err = c.so.RecvBatch(msgs, 0)
		return err
	})
	return n, c.opErr("read", nil, err)
}
