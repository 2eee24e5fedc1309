package tap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// streamQueue reads and writes plain frames through an io.ReadWriteCloser
// that takes and gives one whole frame a call: what water has on the systems
// where nothing better is written. Each frame is copied once more than on
// Linux. How long a write may take is the system's affair here.
type streamQueue struct {
	dev      *device
	rwc      io.ReadWriteCloser
	counters counters

	// The frame being read has a byte to spare, so that one too large for
	// us is seen to be.
	rd, wr struct {
		mu    sync.Mutex
		frame [MaxFrame + 1]byte
	}
}

func newStreamQueue(dev *device, rwc io.ReadWriteCloser) *streamQueue {
	return &streamQueue{dev: dev, rwc: rwc}
}

// Read implements [Queue].
func (q *streamQueue) Read(bufs [][]byte) (int, Offload, error) {
	q.rd.mu.Lock()
	defer q.rd.mu.Unlock()
	room := min(length(bufs), MaxFrame)
	for {
		n, err := q.rwc.Read(q.rd.frame[:])
		switch {
		case err != nil:
			return 0, Offload{}, q.fail("read", err, &q.counters.rx)
		case n > room:
			q.counters.rx.drop(causeTooLarge)
		case n < EthernetHeaderLen:
			q.counters.rx.drop(causeTooShort)
		default:
			scatter(bufs, q.rd.frame[:n])
			q.counters.rx.pass(n)
			return n, Offload{}, nil
		}
	}
}

// Write implements [Queue].
func (q *streamQueue) Write(bufs [][]byte, off Offload) error {
	n := length(bufs)
	if bad := off.checkFrame(bufs, n, q.dev.MTU(), Offloads{}); bad != nil {
		q.counters.tx.drop(bad.cause)
		return opError(q.dev.Name(), "write", bad)
	}
	q.wr.mu.Lock()
	defer q.wr.mu.Unlock()
	gather(q.wr.frame[:n], bufs)
	if _, err := q.rwc.Write(q.wr.frame[:n]); err != nil {
		return q.fail("write", err, &q.counters.tx)
	}
	q.counters.tx.pass(n)
	return nil
}

// fail maps what went wrong to the errors that Queue promises. Nothing is
// known about the errors of all these systems, but that the end of the stream
// is the end of the interface.
func (q *streamQueue) fail(op string, err error, dir *traffic) error {
	switch {
	case q.dev.closed.Load():
		return opError(q.dev.Name(), op, net.ErrClosed)
	case errors.Is(err, io.EOF):
		return opError(q.dev.Name(), op, fmt.Errorf("%w: %w", ErrGone, err))
	}
	dir.drop(causeError)
	return opError(q.dev.Name(), op, err)
}
