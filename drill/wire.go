package drill

import (
	"net"
	"sync"
	"time"

	"tapstack/tap"
)

// wire is the device under a script's stack, with the script at its other end.
// It never holds a frame: inject returns when the stack's reader is through
// with the one it was given, and what the stack sends is recorded at once.
type wire struct {
	name string
	mtu  int
	pace pace

	frames chan []byte   // to the reader
	asks   chan struct{} // the reader wants the next frame
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards what follows
	sent  []frame
	stats tap.Stats
}

// frame is what the stack sent, and when.
type frame struct {
	at   time.Time
	data []byte
}

var (
	_ tap.Device = (*wire)(nil)
	_ tap.Queue  = (*wire)(nil)
	_ line       = (*wire)(nil)
)

func newWire(name string, mtu int, p pace) *wire {
	return &wire{
		name: name, mtu: mtu, pace: p,
		frames: make(chan []byte), asks: make(chan struct{}), closed: make(chan struct{}),
	}
}

// settle waits until the reader asks for a frame. It is called once when the
// stack has the device, and by inject.
func (w *wire) settle() {
	select {
	case <-w.asks:
	case <-w.closed:
	}
}

// inject hands a frame to the stack and returns when it has been delivered.
// What the stack gives to others then, [stack.Stack.Quiesce] waits for.
func (w *wire) inject(data []byte) error {
	select {
	case w.frames <- data:
		w.settle()
		return nil
	case <-w.closed:
		return net.ErrClosed
	}
}

// end implements line: the stack closes its device.
func (*wire) end() {}

// take returns what was sent since the last take.
func (w *wire) take() []frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.sent
	w.sent = nil
	return out
}

// Read implements tap.Queue.
func (w *wire) Read(bufs [][]byte) (int, tap.Offload, error) {
	select {
	case w.asks <- struct{}{}:
	case <-w.closed:
		return 0, tap.Offload{}, net.ErrClosed
	}
	select {
	case data := <-w.frames:
		n := 0
		for _, b := range bufs {
			n += copy(b, data[n:])
		}
		w.mu.Lock()
		w.stats.RxFrames++
		w.stats.RxBytes += uint64(n)
		w.mu.Unlock()
		return n, tap.Offload{}, nil
	case <-w.closed:
		return 0, tap.Offload{}, net.ErrClosed
	}
}

// Write implements tap.Queue.
func (w *wire) Write(bufs [][]byte, off tap.Offload) error {
	var data []byte
	for _, b := range bufs {
		data = append(data, b...)
	}
	if err := off.Check(len(data), w.mtu, tap.Offloads{}); err != nil {
		return err
	}
	defer w.pace.wake()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, frame{w.pace.Now(), data})
	w.stats.TxFrames++
	w.stats.TxBytes += uint64(len(data))
	return nil
}

// Name implements tap.Device.
func (w *wire) Name() string { return w.name }

// MTU implements tap.Device.
func (w *wire) MTU() int { return w.mtu }

// Queues implements tap.Device.
func (w *wire) Queues() []tap.Queue { return []tap.Queue{w} }

// Offloads implements tap.Device: none, so that every frame is one packet.
func (*wire) Offloads() tap.Offloads { return tap.Offloads{} }

// Stats implements tap.Device.
func (w *wire) Stats() tap.Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// Close implements tap.Device.
func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}
