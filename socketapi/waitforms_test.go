package socketapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// A waitForm is one of the ways to wait for a connection: by context, by
// deadline, by a poller, by a poller's channel in a select. It waits for ev and
// then does what was waited for, once; its error is that of whichever failed.
type waitForm struct {
	name   string
	wait   func(ctx context.Context, c *socketapi.TCPConn, p *socketapi.Poller, ev socketapi.Events) error
	polled bool // by a poller, which a closed socket leaves
}

var waitForms = []waitForm{
	{name: "context", wait: func(ctx context.Context, c *socketapi.TCPConn, _ *socketapi.Poller, ev socketapi.Events) error {
		return waitFirst(ctx, c, ev)
	}},
	{name: "deadline", wait: func(ctx context.Context, c *socketapi.TCPConn, _ *socketapi.Poller, ev socketapi.Events) error {
		at, _ := ctx.Deadline()
		if err := c.SetDeadline(at); err != nil {
			return err
		}
		switch ev {
		case socketapi.EventIn:
			_, err := c.Read(make([]byte, 1))
			return err
		case socketapi.EventOut:
			_, err := c.Write([]byte("x"))
			return err
		default:
			return c.WaitAcked(context.Background())
		}
	}},
	{name: "poller", polled: true, wait: func(ctx context.Context, c *socketapi.TCPConn, p *socketapi.Poller, ev socketapi.Events) error {
		events := make([]socketapi.Event, 1)
		if _, err := p.Wait(ctx, events); err != nil {
			return err
		}
		return perform(c, ev, events[0])
	}},
	{name: "channel", polled: true, wait: func(ctx context.Context, c *socketapi.TCPConn, p *socketapi.Poller, ev socketapi.Events) error {
		for events := make([]socketapi.Event, 1); ; {
			select {
			case <-p.C():
			case <-ctx.Done():
				return ctx.Err()
			}
			if n, err := p.Poll(events); n > 0 || err != nil {
				if err != nil {
					return err
				}
				return perform(c, ev, events[0])
			}
		}
	}},
}

// waitFirst waits by context and does it then.
func waitFirst(ctx context.Context, c *socketapi.TCPConn, ev socketapi.Events) error {
	switch ev {
	case socketapi.EventIn:
		if err := c.WaitReadable(ctx, 1); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		return err
	case socketapi.EventOut:
		if err := c.WaitWritable(ctx); err != nil {
			return err
		}
		_, err := c.Write([]byte("x"))
		return err
	default:
		return c.WaitAcked(ctx)
	}
}

// perform does on the socket what an event is for.
func perform(c *socketapi.TCPConn, ev socketapi.Events, got socketapi.Event) error {
	var err error
	switch {
	case ev == socketapi.EventIn:
		_, err = got.Socket.Recv(make([]byte, 1), 0)
	case ev == socketapi.EventOut:
		_, err = got.Socket.Send([]byte("x"), 0)
	case got.Events&socketapi.EventAcked == 0:
		err = c.WaitAcked(context.Background()) // it is over: this says why, at once
	}
	return err
}

// bad is what happens to a connection that somebody waits for.
type bad struct {
	name   string
	happen func(t *testing.T, w *waited)
	want   map[socketapi.Events]error // by what is waited for; no entry: that wait goes on
	closes bool                       // our own end, which leaves its poller
}

// waited is a connection whose send buffer is full, and whose receive buffer is
// empty: nothing that can be waited for is there.
type waited struct {
	c, peer *socketapi.TCPConn
	a, b    *stack.Stack
	dev     *tap.PipeEnd // a's
	cancel  context.CancelFunc
}

// each is the same error for every wait.
func each(err error) map[socketapi.Events]error {
	return map[socketapi.Events]error{socketapi.EventIn: err, socketapi.EventOut: err, socketapi.EventAcked: err}
}

var bads = []bad{
	{name: "Close", closes: true, want: each(net.ErrClosed), happen: func(t *testing.T, w *waited) { check(t, w.c.Close(), nil) }},
	{name: "Abort", closes: true, want: each(net.ErrClosed), happen: func(t *testing.T, w *waited) { check(t, w.c.Abort(), nil) }},
	{name: "the peer resets", want: each(syscall.ECONNRESET), happen: func(t *testing.T, w *waited) { check(t, w.peer.Abort(), nil) }},
	{name: "the peer is gone", want: each(syscall.ETIMEDOUT), happen: func(t *testing.T, w *waited) {
		check(t, w.c.SetUserTimeout(10*time.Millisecond), nil)
		check(t, w.b.NICs()[0].SetEnabled(false), nil)
	}},
	{name: "the peer's FIN", want: map[socketapi.Events]error{socketapi.EventIn: io.EOF}, happen: func(t *testing.T, w *waited) {
		check(t, w.peer.CloseWrite(), nil)
	}},
	{name: "CloseRead", want: map[socketapi.Events]error{socketapi.EventIn: io.EOF}, happen: func(t *testing.T, w *waited) {
		check(t, w.c.CloseRead(), nil)
	}},
	{name: "CloseWrite", want: map[socketapi.Events]error{socketapi.EventOut: syscall.EPIPE}, happen: func(t *testing.T, w *waited) {
		check(t, w.c.CloseWrite(), nil)
	}},
	{name: "the stack ends", want: each(net.ErrClosed), happen: func(t *testing.T, w *waited) { check(t, w.a.Close(), nil) }},
	{name: "the device is gone", want: each(tap.ErrGone), happen: func(_ *testing.T, w *waited) { w.dev.Delete() }},
	{name: "the context is cancelled", want: each(context.Canceled), happen: func(_ *testing.T, w *waited) { w.cancel() }},
	{name: "what was waited for comes", want: each(nil), happen: func(t *testing.T, w *waited) {
		_, err := w.peer.Write([]byte("x"))
		check(t, err, nil)
		go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{w.peer}) }()
	}},
}

// TestEveryWaitEnds: whatever happens to a connection ends every form of waiting
// for it, with the documented error.
func TestEveryWaitEnds(t *testing.T) {
	for _, what := range bads {
		for ev, want := range what.want {
			for _, form := range waitForms {
				t.Run(what.name+"/"+ev.String()+"/"+form.name, func(t *testing.T) {
					t.Parallel()
					everyWaitEnds(t, &what, ev, &form, want)
				})
			}
		}
	}
}

func everyWaitEnds(t *testing.T, what *bad, ev socketapi.Events, form *waitForm, want error) {
	if form.name == "deadline" && errors.Is(want, context.Canceled) {
		return // it has no context
	}
	w := &waited{}
	da, db := tap.Pipe(nil)
	w.dev = da.(*tap.PipeEnd)
	w.a, w.b = host(t, da, fixed(), a4, a6), host(t, db, fixed(), b4, b6)
	w.c, w.peer = connect(t, w.a, w.b, b4.Addr())
	writeUntilFull(t, w.c)
	p := socketapi.NewPoller()
	defer p.Close()
	if form.polled {
		check(t, p.Add(w.c, ev, socketapi.LevelTriggered, nil), nil)
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	w.cancel = cancel
	out := waitAside(func() error { return form.wait(ctx, w.c, p, ev) })
	what.happen(t, w)
	if form.polled && what.closes {
		eventually(t, "the socket leaves the poller", func() bool { return p.Len() == 0 })
		check(t, p.Close(), nil) // which ends the wait
	}
	if err := endedWith(t, form.name, out); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// TestDeadlinesOfEveryForm: those in the past end every wait at once, what can
// be had without waiting excepted; those in the far future none.
func TestDeadlinesOfEveryForm(t *testing.T) {
	past := []time.Time{time.Unix(1, 0), time.Now().Add(-time.Nanosecond), time.Unix(-1<<40, 0)}
	future := []time.Time{time.Now().Add(1000 * time.Hour), time.Unix(1<<40, 0), time.Unix(1<<62, 0)}
	for _, form := range waitForms {
		for _, ev := range []socketapi.Events{socketapi.EventIn, socketapi.EventOut, socketapi.EventAcked} {
			t.Run(form.name+"/"+ev.String(), func(t *testing.T) {
				a, b := pair(t, fixed())
				c, peer := connect(t, a, b, b4.Addr())
				writeUntilFull(t, c)
				p := socketapi.NewPoller()
				defer p.Close()
				check(t, p.Add(c, ev, socketapi.LevelTriggered, nil), nil)
				for _, at := range past {
					ctx, cancel := context.WithDeadline(t.Context(), at)
					err := form.wait(ctx, c, p, ev)
					cancel()
					if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("until %v: %v", at, err)
					}
				}
				var waits []<-chan error
				for _, at := range future {
					ctx, cancel := context.WithDeadline(t.Context(), at)
					defer cancel()
					waits = append(waits, waitAside(func() error { return form.wait(ctx, c, p, ev) }))
				}
				_, err := peer.Write([]byte("xxx"))
				check(t, err, nil)
				go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{peer}) }()
				for _, w := range waits {
					if err := endedWith(t, form.name, w); err != nil && !errors.Is(err, syscall.EAGAIN) {
						t.Error(err) // EAGAIN: another one of them was first
					}
				}
			})
		}
	}
}
