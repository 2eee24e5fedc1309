package socketapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
)

// poll is p.Poll with room for everything.
func poll(t *testing.T, p *socketapi.Poller) []socketapi.Event {
	t.Helper()
	events := make([]socketapi.Event, 16)
	n, err := p.Poll(events)
	if err != nil {
		t.Fatal(err)
	}
	return events[:n]
}

// waitFor waits until one event with the given bits has come.
func waitFor(t *testing.T, p *socketapi.Poller, want socketapi.Events) socketapi.Event {
	t.Helper()
	events := make([]socketapi.Event, 1)
	for {
		if _, err := p.Wait(within(t), events); err != nil {
			t.Fatalf("waiting for %v: %v", want, err)
		}
		if events[0].Events&want == want {
			return events[0]
		}
	}
}

// arrives waits until n bytes are queued at r, and everything that this
// notified has happened.
func arrives(t *testing.T, r *socketapi.TCPConn, n int) {
	t.Helper()
	if err := r.WaitReadable(within(t), n); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, w *socketapi.TCPConn, n int) {
	t.Helper()
	if _, err := w.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, r io.Reader, n int) {
	t.Helper()
	if got, err := r.Read(make([]byte, n)); got != n || err != nil {
		t.Fatalf("read %d of %d: %v", got, n, err)
	}
}

// TestPollerModes is what a ready socket does in each mode.
func TestPollerModes(t *testing.T) {
	a, b := pair(t, fixed())
	for _, c := range []struct {
		name string
		mode socketapi.Mode
		// How often the socket is reported by: two polls after bytes came, two
		// after more came, two after Modify, two after all was read.
		want [4]int
	}{
		{"level", socketapi.LevelTriggered, [4]int{2, 2, 2, 0}},
		{"edge", socketapi.EdgeTriggered, [4]int{1, 1, 1, 0}},
		{"one-shot", socketapi.OneShot, [4]int{1, 0, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := connect(t, a, b, b4.Addr())
			p := socketapi.NewPoller()
			defer p.Close()
			if err := p.Add(r, socketapi.EventIn, c.mode, c.name); err != nil {
				t.Fatal(err)
			}
			if got := poll(t, p); len(got) != 0 {
				t.Fatalf("nothing has happened: %+v", got)
			}
			var got [4]int
			for i, step := range []func(){
				func() { write(t, w, 10); arrives(t, r, 10) },
				func() { write(t, w, 10); arrives(t, r, 20) },
				func() {
					if err := p.Modify(r, socketapi.EventIn, c.mode, c.name); err != nil {
						t.Fatal(err)
					}
				},
				func() { read(t, r, 20) },
			} {
				step()
				for range 2 {
					for _, ev := range poll(t, p) {
						got[i]++
						if ev.Socket != r.Socket() || ev.Data != c.name || ev.Events != socketapi.EventIn {
							t.Errorf("step %d: %+v", i, ev)
						}
					}
				}
			}
			if got != c.want {
				t.Errorf("reported %v times, want %v", got, c.want)
			}
		})
	}
}

// TestPollerMembers is Add, Modify and Remove, and their errors.
func TestPollerMembers(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	p := socketapi.NewPoller()
	in, level := socketapi.EventIn, socketapi.LevelTriggered
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	is("Modify of a stranger", p.Modify(r, in, level, nil), syscall.ENOENT)
	is("Remove of a stranger", p.Remove(r), syscall.ENOENT)
	is("Add", p.Add(r, in, level, nil), nil)
	is("Add again", p.Add(r.Socket(), in, level, nil), syscall.EEXIST)
	is("Add of nothing", p.Add((*socketapi.TCPConn)(nil), in, level, nil), syscall.EINVAL)
	write(t, w, 1)
	arrives(t, r, 1)
	is("Add in no mode", p.Add(w, in, socketapi.OneShot+1, nil), syscall.EINVAL)
	is("Modify to no mode", p.Modify(r, in, socketapi.OneShot+1, nil), syscall.EINVAL)
	is("Modify", p.Modify(r, socketapi.EventRdHup, level, nil), nil)
	if got := poll(t, p); len(got) != 0 {
		t.Errorf("asked for RDHUP: %+v", got)
	}
	is("Modify", p.Modify(r, in|socketapi.EventOut, level, "data"), nil)
	if got := poll(t, p); len(got) != 1 || got[0].Events != in|socketapi.EventOut || got[0].Data != "data" {
		t.Errorf("after Modify: %+v", got)
	}
	if p.Len() != 1 {
		t.Errorf("%d members", p.Len())
	}
	is("Remove", p.Remove(r), nil)
	write(t, w, 1)
	arrives(t, r, 2)
	if got := poll(t, p); len(got) != 0 || p.Len() != 0 {
		t.Errorf("after Remove: %+v, %d members", got, p.Len())
	}
	is("Add after Remove", p.Add(r, in, level, nil), nil)
	if got := poll(t, p); len(got) != 1 {
		t.Errorf("ready already: %+v", got)
	}
	_, err := p.Wait(within(t), nil)
	is("Wait without room", err, syscall.EINVAL)
	// Two pollers may have the same socket.
	q := socketapi.NewPoller()
	is("Add to another", q.Add(r, in, level, nil), nil)
	if got := poll(t, q); len(got) != 1 {
		t.Errorf("the other poller: %+v", got)
	}
	is("Close", q.Close(), nil)
	is("Close", p.Close(), nil)
	is("Close again", p.Close(), net.ErrClosed)
	is("Add after Close", p.Add(w, in, level, nil), net.ErrClosed)
	_, err = p.Poll(make([]socketapi.Event, 1))
	is("Poll after Close", err, net.ErrClosed)
	is("the socket lives", p.Remove(r), syscall.ENOENT)
	_ = w.Close()
	is("Add of a closed socket", socketapi.NewPoller().Add(w, in, level, nil), net.ErrClosed)
}

// TestPollerWithoutTheClosed: a socket that is closed has left the poller when
// Close returns, also if nobody polls.
func TestPollerWithoutTheClosed(t *testing.T) {
	a, b := pair(t, fixed())
	p := socketapi.NewPoller()
	defer p.Close()
	for name, gone := range map[string]func(*socketapi.TCPConn) error{
		"Len":    func(*socketapi.TCPConn) error { return nil },
		"Modify": func(c *socketapi.TCPConn) error { return p.Modify(c, socketapi.EventIn, socketapi.OneShot, nil) },
		"Remove": func(c *socketapi.TCPConn) error { return p.Remove(c) },
	} {
		c, other := connect(t, a, b, b4.Addr())
		for _, x := range []*socketapi.TCPConn{c, other} {
			if err := p.Add(x, socketapi.EventIn, socketapi.LevelTriggered, nil); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close()
		if err := gone(c); name != "Len" && !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%s of a closed socket: %v", name, err)
		}
		if n := p.Len(); n != 1 {
			t.Errorf("%s: %d members", name, n)
		}
		_ = other.Close()
		if n := p.Len(); n != 0 {
			t.Errorf("%s: %d members", name, n)
		}
	}
}

// TestPollerEnds: a Wait ends by context, by the poller's Close, and not by a
// socket that is closed, which leaves the poller.
func TestPollerEnds(t *testing.T) {
	a, b := pair(t, fixed())
	_, r := connect(t, a, b, b4.Addr())
	p := socketapi.NewPoller()
	if err := p.Add(r, socketapi.EventIn, socketapi.LevelTriggered, nil); err != nil {
		t.Fatal(err)
	}
	wait := func(ctx context.Context) error { _, err := p.Wait(ctx, make([]socketapi.Event, 1)); return err }
	ctx, cancel := context.WithCancel(context.Background())
	out := waitAside(func() error { return wait(ctx) })
	cancel()
	if err := endedWith(t, "Wait", out); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	waits := make([]<-chan error, 3)
	for i := range waits {
		waits[i] = waitAside(func() error { return wait(context.Background()) })
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the closed socket has left", func() bool { return p.Len() == 0 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range waits {
		if err := endedWith(t, "Wait", w); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Wait of a closed poller: %v", err)
		}
	}
}

// TestPollerReports is each event in the state that makes it.
func TestPollerReports(t *testing.T) {
	a, b, _, lb := linked(t, nil, fixed())
	all := socketapi.EventIn | socketapi.EventOut | socketapi.EventRdHup | socketapi.EventAcked
	add := func(x socketapi.Pollable, want socketapi.Events) *socketapi.Poller {
		t.Helper()
		p := socketapi.NewPoller()
		t.Cleanup(func() { _ = p.Close() })
		if err := p.Add(x, want, socketapi.EdgeTriggered, nil); err != nil {
			t.Fatal(err)
		}
		return p
	}
	l, err := socketapi.Listen(b, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pl := add(l, all)
	so, err := socketapi.NewSocket(a, "tcp4")
	if err != nil {
		t.Fatal(err)
	}
	defer so.Close()
	pc := add(so, socketapi.EventOut)
	if got := poll(t, pc); len(got) != 1 || got[0].Events != socketapi.EventOut|socketapi.EventHup {
		t.Errorf("a new socket: %+v", got)
	}
	if err := so.Connect(netip.AddrPortFrom(b4.Addr(), 80)); !errors.Is(err, syscall.EINPROGRESS) {
		t.Fatal(err)
	}
	waitFor(t, pc, socketapi.EventOut) // connected
	waitFor(t, pl, socketapi.EventIn)  // to be accepted
	r, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pr := add(r, all)
	waitFor(t, pr, socketapi.EventOut|socketapi.EventAcked)
	lb.hold()
	write(t, r, 10)
	if got := r.Socket().Ready(); got != socketapi.EventOut {
		t.Errorf("written and unacknowledged: %v", got)
	}
	lb.letGo()
	waitFor(t, pr, socketapi.EventAcked)
	if err := so.Shutdown(socketapi.ShutWR); err != nil {
		t.Fatal(err)
	}
	waitFor(t, pr, socketapi.EventIn|socketapi.EventRdHup)
	if err := r.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, pr, socketapi.EventHup)

	w, r := connect(t, a, b, b6.Addr())
	p := add(w, 0)
	if got := poll(t, p); len(got) != 0 {
		t.Errorf("asked for nothing: %+v", got)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, socketapi.EventErr|socketapi.EventHup)

	u, err := socketapi.ListenUDP(b, "udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	pu := add(u, all)
	if ev := waitFor(t, pu, socketapi.EventOut); ev.Events != socketapi.EventOut {
		t.Errorf("UDP: %v", ev.Events)
	}
}

// TestPollerOneShotError: one-shot reports an error once too, also when asked
// for nothing else.
func TestPollerOneShotError(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(w, 0, socketapi.OneShot, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, socketapi.EventErr)
	if got := poll(t, p); len(got) != 0 {
		t.Errorf("twice: %+v", got)
	}
}

// TestPollerMarks: SO_RCVLOWAT and TCP_NOTSENT_LOWAT say what is readable and
// writable.
func TestPollerMarks(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: 8 << 10}))
	if err := r.SetReadLowWater(1000); err != nil {
		t.Fatal(err)
	}
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(r, socketapi.EventIn, socketapi.LevelTriggered, nil); err != nil {
		t.Fatal(err)
	}
	write(t, w, 999)
	arrives(t, r, 999)
	if got := poll(t, p); len(got) != 0 {
		t.Errorf("below the mark: %+v", got)
	}
	write(t, w, 1)
	waitFor(t, p, socketapi.EventIn)
	if got := r.ReceiveBuffer().Queued; got != 1000 {
		t.Errorf("reported with %d bytes", got)
	}

	const mark = 2000
	if err := w.SetWriteLowWater(mark); err != nil {
		t.Fatal(err)
	}
	q := socketapi.NewPoller()
	defer q.Close()
	if err := q.Add(w, socketapi.EventOut, socketapi.LevelTriggered, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mark is reached behind a full receive buffer", func() bool {
		_, err := w.Socket().Send(make([]byte, 1000), 0)
		s := w.SendBuffer()
		return errors.Is(err, syscall.EAGAIN) && s.Unsent >= mark && s.Queued == s.Unsent
	})
	if got := poll(t, q); len(got) != 0 {
		t.Errorf("at the mark: %+v, %+v", got, w.SendBuffer())
	}
	for range 5 {
		read(t, r, 1000)
	}
	waitFor(t, q, socketapi.EventOut)
	if got := w.SendBuffer().Unsent; got >= mark {
		t.Errorf("writable with %d unsent", got)
	}
}

// TestPollerChannel is a poller in a select.
func TestPollerChannel(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(r, socketapi.EventIn, socketapi.EdgeTriggered, nil); err != nil {
		t.Fatal(err)
	}
	out := waitAside(func() error {
		for range 100 {
			if _, err := w.Write([]byte("x")); err != nil {
				return err
			}
		}
		return nil
	})
	other := make(chan struct{}) // never receives
	events := make([]socketapi.Event, 1)
	for got := 0; got < 100; {
		select {
		case <-p.C():
			if n, err := p.Poll(events); n == 0 || err != nil {
				if err != nil {
					t.Fatal(err)
				}
				continue
			}
			n, _ := r.Socket().Recv(make([]byte, 100), 0)
			got += n
		case <-other:
		case <-within(t).Done():
			t.Fatalf("%d bytes of 100", got)
		}
	}
	if err := endedWith(t, "the writer", out); err != nil {
		t.Fatal(err)
	}
}

// TestPollerSharesOut: of several goroutines in Wait, each event of an
// edge-triggered socket goes to one.
func TestPollerSharesOut(t *testing.T) {
	const conns, rounds, waiters = 20, 50, 4
	a, b := pair(t, fixed())
	p := socketapi.NewPoller()
	var ws, rs [conns]*socketapi.TCPConn
	for i := range conns {
		ws[i], rs[i] = connect(t, a, b, b4.Addr())
		if err := p.Add(rs[i], socketapi.EventIn, socketapi.EdgeTriggered, i); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan int, conns)
	var wg sync.WaitGroup
	for range waiters {
		wg.Go(func() {
			events := make([]socketapi.Event, 3)
			for {
				n, err := p.Wait(context.Background(), events)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				for _, ev := range events[:n] {
					got <- ev.Data.(int)
				}
			}
		})
	}
	for round := range rounds {
		for _, w := range ws {
			write(t, w, 1)
		}
		var seen [conns]bool
		for range conns {
			select {
			case i := <-got:
				if seen[i] {
					t.Fatalf("round %d: socket %d twice", round, i)
				}
				seen[i] = true
				read(t, rs[i], 1)
			case <-within(t).Done():
				t.Fatalf("round %d: an event was lost", round)
			}
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if len(got) != 0 {
		t.Errorf("%d events too many", len(got))
	}
}
