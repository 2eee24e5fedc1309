package socketapi_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// link is a device that does something to the frames its stack writes: holds
// them back until let go, loses some, swaps some with the next one.
type link struct {
	tap.Device
	queues []tap.Queue

	mu         sync.Mutex
	seen       func(frame []byte, off tap.Offload) // told of every frame, may be nil
	held       bool
	frames     []heldFrame
	rnd        *rand.Rand // nil loses and swaps nothing
	loss, swap float64
	swapped    *heldFrame
}

type heldFrame struct {
	q    tap.Queue
	data []byte
	off  tap.Offload
}

type linkQueue struct {
	tap.Queue
	l *link
}

func newLink(dev tap.Device) *link {
	l := &link{Device: dev}
	for _, q := range dev.Queues() {
		l.queues = append(l.queues, linkQueue{q, l})
	}
	return l
}

// Queues implements tap.Device.
func (l *link) Queues() []tap.Queue { return l.queues }

// Write implements tap.Queue. What is held, lost or swapped counts as written.
func (q linkQueue) Write(bufs [][]byte, off tap.Offload) error {
	l := q.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen != nil {
		l.seen(bytes.Join(bufs, nil), off)
	}
	if l.held {
		l.frames = append(l.frames, heldFrame{q.Queue, bytes.Join(bufs, nil), off})
		return nil
	}
	if l.rnd != nil {
		switch p := l.rnd.Float64(); {
		case p < l.loss:
			return nil
		case p < l.loss+l.swap && l.swapped == nil:
			l.swapped = &heldFrame{q.Queue, bytes.Join(bufs, nil), off}
			return nil
		}
	}
	err := q.Queue.Write(bufs, off)
	if f := l.swapped; f != nil {
		l.swapped = nil
		_ = f.q.Write([][]byte{f.data}, f.off)
	}
	return err
}

// look has see called with every frame that is written from now on, whatever
// then happens to it.
func (l *link) look(see func(frame []byte, off tap.Offload)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = see
}

// hold keeps back what is written from now on.
func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// letGo writes what was held back, in order, and holds nothing any more.
func (l *link) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	l.pass(len(l.frames))
}

// letPass writes the first n frames that are held back.
func (l *link) letPass(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass(n)
}

func (l *link) pass(n int) {
	for _, f := range l.frames[:n] {
		_ = f.q.Write([][]byte{f.data}, f.off)
	}
	l.frames = l.frames[n:]
}

// holding is how many frames are kept back.
func (l *link) holding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.frames)
}

// disturb makes the link lose and swap, from a seed; 0 and 0 ends it.
func (l *link) disturb(seed uint64, loss, swap float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rnd, l.loss, l.swap = rand.New(rand.NewPCG(seed, 1)), loss, swap
}

// linked is pair with a link before each stack: la has what a writes.
func linked(t testing.TB, pipe *tap.PipeConfig, cfg *stack.Config) (a, b *stack.Stack, la, lb *link) {
	t.Helper()
	da, db := tap.Pipe(pipe)
	la, lb = newLink(da), newLink(db)
	prefixes := [][]netip.Prefix{{a4, a6}, {b4, b6}}
	if la.MTU() < tap.MinMTU6 {
		prefixes = [][]netip.Prefix{{a4}, {b4}}
	}
	return host(t, la, cfg, prefixes[0]...), host(t, lb, cfg, prefixes[1]...), la, lb
}

// connectWith is connect with both sockets prepared before the handshake.
func connectWith(t testing.TB, a, b *stack.Stack, addr netip.Addr, client, server func(*socketapi.Socket) error) (c, s *socketapi.TCPConn) {
	t.Helper()
	hook := func(fn func(*socketapi.Socket) error) func(string, string, *socketapi.Socket) error {
		if fn == nil {
			return nil
		}
		return func(_, _ string, so *socketapi.Socket) error { return fn(so) }
	}
	lc := socketapi.ListenConfig{Stack: b, Control: hook(server)}
	l, err := lc.ListenTCP(within(t), "tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := socketapi.Dialer{Stack: a, Control: hook(client)}
	conn, err := d.DialContext(within(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = s.Close() })
	return conn.(*socketapi.TCPConn), s
}

// options sets options, for connectWith.
func options(pairs map[socketapi.Option]int) func(*socketapi.Socket) error {
	return func(so *socketapi.Socket) error {
		for o, v := range pairs {
			if err := so.SetOption(o, v); err != nil {
				return err
			}
		}
		return nil
	}
}
