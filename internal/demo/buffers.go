package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"tapstack/socketapi"
)

const (
	// little is less than any window here; much is more than both buffers of
	// a connection hold together.
	little = 100_000
	much   = 32 << 20
)

// slowReader shows our receive buffer: bytes are acknowledged when they enter
// it, not when the application reads.
func (st *story) slowReader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	l, err := st.listen("tcp", netip.AddrPortFrom(ours4.Addr(), 5002).String())
	if err != nil {
		return err
	}
	defer l.Close()
	far, near, err := connect(ctx, l, st.far.DialContext)
	if err != nil {
		return err
	}
	defer far.Close()
	defer near.Close()
	r := &reading{st: st, far: far, near: near.(*socketapi.TCPConn)}
	for _, scene := range []func(context.Context) error{r.acknowledged, r.closed, r.reopened} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reading is the cast of slowReader: the far end writes, our end reads late.
type reading struct {
	st   *story
	far  net.Conn
	near *socketapi.TCPConn

	writing chan error // how the long write went
}

// acknowledged: less than a window is written, nobody reads.
func (r *reading) acknowledged(ctx context.Context) error {
	st := r.st
	st.say("  The %s writes %d bytes. Our application does not read.", st.far.name(), little)
	if _, err := io.CopyN(r.far, noise(6, little), little); err != nil {
		return err
	}
	var q int
	var b socketapi.ReceiveBuffer
	err := until(ctx, func() (_ bool, err error) {
		q, err = st.far.sendQueue(r.far)
		b = r.near.ReceiveBuffer()
		return q == 0 && b.Queued == little, err
	})
	if err != nil && !errors.Is(err, errNever) {
		return err
	}
	r.show(q, b, 0)
	st.check("acknowledged before it is read", q == 0 && b.Queued == little,
		"%s unacknowledged at the %s, %s in our receive buffer, 0 read: the ACK means \"in the buffer\"", count(q), st.far.name(), count(b.Queued))
	return nil
}

// closed: the far end writes on until nothing more fits anywhere.
func (r *reading) closed(ctx context.Context) error {
	st := r.st
	st.say("\n  It writes %s more, and still nobody reads.", size(much))
	r.writing = make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{r.far}, noise(7, much), make([]byte, 64<<10))
		r.writing <- err
	}()
	var q int
	var can bool
	var b socketapi.ReceiveBuffer
	err := until(ctx, func() (_ bool, err error) {
		if q, err = st.far.sendQueue(r.far); err != nil {
			return false, err
		}
		can, err = st.far.writable(r.far)
		b = r.near.ReceiveBuffer()
		return b.Window == 0 && q > 0 && !can, err
	})
	if err != nil && !errors.Is(err, errNever) {
		return err
	}
	r.show(q, b, 0)
	st.check("our receive buffer is full and the window is 0", b.Window == 0 && b.Queued >= b.Size*9/10,
		"%s of %s bytes queued, window %d", count(b.Queued), count(b.Size), b.Window)
	st.check("so the "+st.far.name()+"'s write is blocked", len(r.writing) == 0 && !can && q > 0,
		"%s bytes in its send queue, its socket is not writable", count(q))
	return nil
}

// reopened: our application reads at last.
func (r *reading) reopened(ctx context.Context) error {
	st := r.st
	st.say("\n  Now our application reads.")
	half := r.near.ReceiveBuffer().Queued * 3 / 4
	if _, err := io.CopyN(io.Discard, &io.LimitedReader{R: r.near, N: little}, little); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r.near}, int64(half-little)); err != nil {
		return err
	}
	// The far end fills the window again at once: look until it is seen open.
	var b socketapi.ReceiveBuffer
	if err := until(ctx, func() (bool, error) {
		b = r.near.ReceiveBuffer()
		return b.Window > 0, nil
	}); err != nil {
		st.check("reading reopens the window", false, "%v", err)
		return nil
	}
	q, err := st.far.sendQueue(r.far)
	if err != nil {
		return err
	}
	r.show(q, b, half)
	st.check("reading reopens the window", b.Window > 0, "after %s bytes read it is %s", count(half), count(b.Window))

	rest := int64(little + much - half)
	n, err := io.CopyN(io.Discard, struct{ io.Reader }{r.near}, rest)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, rest, err)
	}
	err = <-r.writing
	st.check("and the write finishes", err == nil, "all %s bytes read, %v", count(little+much), errOrNone(err))
	return nil
}

// show prints the four places side by side.
func (r *reading) show(farQueue int, b socketapi.ReceiveBuffer, read int) {
	r.st.grid(
		[]string{r.st.far.name() + "'s send queue", "our receive buffer", "our window", "our application"},
		[]string{
			count(farQueue) + " unacknowledged",
			fmt.Sprintf("%s of %s", count(b.Queued), count(b.Size)),
			count(b.Window),
			count(read) + " read",
		},
	)
}

// slowPeer shows our send buffer: what is in it is unsent, or sent and not
// acknowledged; what has left it is in the far end's receive buffer.
func (st *story) slowPeer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	l, err := st.far.listen("tcp", netip.AddrPortFrom(theirs4.Addr(), 5003).String())
	if err != nil {
		return err
	}
	defer l.Close()
	near, far, err := connect(ctx, l, st.dialer().DialContext)
	if err != nil {
		return err
	}
	defer far.Close()
	defer near.Close()
	w := &writing{st: st, far: far, near: near.(*socketapi.TCPConn)}
	for _, scene := range []func(context.Context) error{w.full, w.drained} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// writing is the cast of slowPeer: our end writes, the far end reads late.
type writing struct {
	st   *story
	near *socketapi.TCPConn
	far  net.Conn

	taken int // what Write accepted before it was told to give up
}

// full: we write until our send buffer has no room and Write waits.
func (w *writing) full(ctx context.Context) error {
	st := w.st
	st.say("  We write to a %s that does not read, until Write waits.", st.far.name())
	// Twice, because Write may wait although there is room: gVisor wakes it
	// when half the buffer is free. Called again, it fills what is left.
	r := noise(8, much)
	if _, err := w.writeUntil(ctx, r, func(b socketapi.SendBuffer) bool { return b.Window == 0 }); err != nil {
		return err
	}
	waited, err := w.writeUntil(ctx, r, func(b socketapi.SendBuffer) bool { return b.Window == 0 && b.Free == 0 })
	if err != nil {
		return err
	}
	farQueue, err := st.far.receiveQueue(w.far)
	if err != nil {
		return err
	}
	b := w.near.SendBuffer()
	w.show(b, farQueue, 0)
	st.check("our send buffer is full and Write waits", waited && b.Free == 0,
		"%s of %s bytes queued; Write has taken %s", count(b.Queued), count(b.Size), count(w.taken))
	st.check("the "+st.far.name()+" has closed its window", b.Window == 0, "window %d, %s bytes unsent", b.Window, count(b.Unsent))
	st.check("what is acknowledged is in its receive buffer", w.taken-b.Queued == farQueue,
		"%s taken - %s queued = %s acknowledged; its receive queue has %s, its application 0",
		count(w.taken), count(b.Queued), count(w.taken-b.Queued), count(farQueue))
	return nil
}

// writeUntil writes from r until the send buffer is as wanted, and then ends
// the Write by a deadline that has passed: it says how much it has taken.
// waited is whether it was waiting then.
func (w *writing) writeUntil(ctx context.Context, r io.Reader, want func(socketapi.SendBuffer) bool) (waited bool, err error) {
	type written struct {
		n   int64
		err error
	}
	done := make(chan written, 1)
	go func() {
		n, err := io.CopyBuffer(struct{ io.Writer }{w.near}, r, make([]byte, 64<<10))
		done <- written{n, err}
	}()
	err = until(ctx, func() (bool, error) { return want(w.near.SendBuffer()), nil })
	waited = len(done) == 0
	_ = w.near.SetWriteDeadline(time.Unix(1, 0))
	got := <-done
	at, _ := ctx.Deadline()
	_ = w.near.SetWriteDeadline(at)
	w.taken += int(got.n)
	if got.err != nil && !errors.Is(got.err, os.ErrDeadlineExceeded) {
		return waited, got.err
	}
	return waited, err
}

// drained: the far end reads, and everything leaves.
func (w *writing) drained(ctx context.Context) error {
	st := w.st
	st.say("\n  Now the %s reads.", st.far.name())
	n, err := io.CopyN(io.Discard, struct{ io.Reader }{w.far}, int64(w.taken))
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, w.taken, err)
	}
	err = until(ctx, func() (bool, error) { return w.near.SendBuffer().Queued == 0, nil })
	b := w.near.SendBuffer()
	w.show(b, 0, w.taken)
	st.check("reading drains our send buffer", err == nil && b.Queued == 0, "%s bytes read; %d queued here, window %s", count(w.taken), b.Queued, count(b.Window))
	return nil
}

func (w *writing) show(b socketapi.SendBuffer, farQueue, read int) {
	name := w.st.far.name()
	w.st.grid(
		[]string{"our send buffer", "unsent", "unacknowledged", name + "'s window", name + "'s receive queue", name + "'s application"},
		[]string{
			fmt.Sprintf("%s of %s", count(b.Queued), count(b.Size)), count(b.Unsent), count(b.Queued - b.Unsent),
			count(b.Window), count(farQueue), count(read) + " read",
		},
	)
}

// errNever ends an until whose condition did not come.
var errNever = errors.New("it did not happen in time")

// until looks every millisecond until ok, or an error, or ctx's end.
func until(ctx context.Context, ok func() (bool, error)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errNever
		}
	}
}

// count prints a number in groups of three.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

func errOrNone(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
