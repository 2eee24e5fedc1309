package drill

import (
	"sync"
	"sync/atomic"
	"time"

	"tapstack/tap"
)

// line is a stack's connection to the script.
type line interface {
	// inject hands a frame to the stack and returns when it is delivered.
	inject(data []byte) error
	// take returns what the stack has sent since the last take.
	take() []frame
	// settle waits until the stack reads.
	settle()
	// end lets go of the script's side.
	end()
}

// RealTime has scripts run on the machine's clock, over devices as programs
// use them. See Config.RealTime.
type RealTime struct {
	// Open makes a wire for a script: near is the stack's end, of which one
	// queue is used, and far the other end, where what near writes is read and
	// the other way round. The script closes both. nil is tap.Pipe.
	//
	// far may hand over frames with offloads: they are summed and cut as on
	// their way onto a wire. It is never given one.
	Open func(mtu int) (near, far tap.Device, err error)
}

func openPipe(mtu int) (near, far tap.Device, err error) {
	near, far = tap.Pipe(&tap.PipeConfig{MTU: mtu})
	return near, far, nil
}

// live is a line over two devices.
type live struct {
	near   *counted
	far    tap.Device
	pace   pace
	reader sync.WaitGroup

	injected uint64

	mu   sync.Mutex // guards what follows
	sent []frame
}

// newLive begins to read from far.
func newLive(near, far tap.Device, p pace) *live {
	l := &live{near: count(near), far: far, pace: p}
	l.reader.Go(l.read)
	return l
}

// read collects what the stack sends until the device is closed.
func (l *live) read() {
	buf := make([]byte, tap.MaxFrame)
	for {
		n, off, err := l.far.Queues()[0].Read([][]byte{buf})
		if err != nil {
			return
		}
		now := l.pace.Now()
		l.mu.Lock()
		for _, piece := range cut(buf[:n], off) {
			l.sent = append(l.sent, frame{now, piece})
		}
		l.mu.Unlock()
		l.pace.wake()
	}
}

// lost is how long a frame may take from one end to the other.
const lost = 200 * time.Millisecond

func (l *live) inject(data []byte) error {
	if err := l.far.Queues()[0].Write([][]byte{data}, tap.Offload{}); err != nil {
		return err
	}
	l.injected++
	timeout := time.NewTimer(lost)
	defer timeout.Stop()
	for {
		n := l.near.delivered.Load()
		if n >= l.injected {
			return nil
		}
		select {
		case <-l.near.asked:
		case <-timeout.C:
			l.injected = n // it does not come any more
			return nil
		}
	}
}

func (l *live) take() []frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.sent
	l.sent = nil
	return out
}

func (*live) settle() {}

func (l *live) end() {
	_ = l.far.Close()
	l.reader.Wait()
}

// counted is a device that tells how many frames its reader is through with:
// the frame before is delivered when the next one is asked for.
type counted struct {
	tap.Device
	queues    []tap.Queue
	delivered atomic.Uint64
	asked     chan struct{}
}

func count(d tap.Device) *counted {
	c := &counted{Device: d, asked: make(chan struct{}, 1)}
	c.queues = []tap.Queue{&countedQueue{Queue: d.Queues()[0], dev: c}}
	return c
}

// Queues is the one queue that scripts use.
func (c *counted) Queues() []tap.Queue { return c.queues }

// Unwrap is for the questions that package tap asks of devices.
func (c *counted) Unwrap() tap.Device { return c.Device }

type countedQueue struct {
	tap.Queue
	dev  *counted
	read uint64 // the reader's own
}

// Read implements tap.Queue.
func (q *countedQueue) Read(bufs [][]byte) (int, tap.Offload, error) {
	q.dev.delivered.Store(q.read)
	select {
	case q.dev.asked <- struct{}{}:
	default:
	}
	n, off, err := q.Queue.Read(bufs)
	if err == nil {
		q.read++
	}
	return n, off, err
}

// OnIdle implements tap.Idler, where the device does.
func (q *countedQueue) OnIdle(f func()) bool {
	i, ok := q.Queue.(tap.Idler)
	return ok && i.OnIdle(f)
}
