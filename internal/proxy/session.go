package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// session is one TCP connection of a client, from accept to the end of what was
// relayed for it.
//
//	accept -> admit -> handle: hello, dial, relay -> over
//	Shutdown, an idle timer, an error of either direction: fail
type session struct {
	svc      *Service
	client   net.Conn
	from, to net.Addr // the client and where it connected to, as a PROXY header has it if there is one

	target   net.Conn // guarded by svc.mu
	far      Socket   // guarded by svc.mu: a UDP association's, towards the targets
	relaying bool     // guarded by svc.mu: it has come to passing on bytes

	failed atomic.Pointer[error] // the first failure: both connections are reset then
	last   atomic.Int64          // when a byte was moved, in nanoseconds since began
	timer  *time.Timer           // idle, while relaying
	done   atomic.Bool           // and after
}

// began is what times are counted from: on the monotonic clock, which nobody
// sets.
var began = time.Now()

func (c *session) touch() { c.last.Store(int64(time.Since(began))) }

// fail resets both connections, which ends whoever works on them. The first
// failure is the one that counts.
func (c *session) fail(err error) {
	if !c.failed.CompareAndSwap(nil, &err) {
		return
	}
	c.svc.mu.Lock()
	target := c.target
	c.svc.mu.Unlock()
	reset(c.client)
	if target != nil {
		reset(target)
	}
}

// over is the end of a session: it counts it, says why if an operator should
// know, and closes the client's connection if nobody has.
func (c *session) over(err error) {
	if first := c.failed.Load(); first != nil {
		err = *first
	}
	cause := CauseClosed
	if err != nil {
		c.fail(err)
		cause = causeOf(err)
	}
	c.svc.mu.Lock()
	relayed := c.relaying
	delete(c.svc.sessions, c)
	c.svc.mu.Unlock()
	c.svc.counts.over(relayed, cause)
	c.report(relayed, cause, err)
}

// report logs a refusal, and for who wants to know how a connection ended.
func (c *session) report(relayed bool, cause Cause, err error) {
	level, msg := slog.LevelInfo, "connection refused"
	switch cause {
	case CauseGarbage, CauseAuth, CauseUntrusted, CauseStalled, CauseExhausted:
		level = slog.LevelWarn
	case CauseGone, CauseShutdown, CauseClosed:
		level = slog.LevelDebug
	default:
	}
	if relayed {
		level, msg = slog.LevelDebug, "connection ended"
	}
	attrs := []slog.Attr{slog.Any("client", c.from)}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	c.svc.log.say(level, cause, msg, attrs...)
}

// hellos are the readers of handshakes: a client has one until it is relayed.
var hellos = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// hello runs what reads the client's request, within Limits.Handshake, and
// returns what the client sent after it. A PROXY header comes first if there
// has to be one.
func (c *session) hello(read func(r *bufio.Reader) error) (early []byte, err error) {
	if read == nil && !c.svc.opt.AcceptPROXY {
		return nil, nil
	}
	r := hellos.Get().(*bufio.Reader)
	r.Reset(c.client)
	defer func() {
		r.Reset(nil)
		hellos.Put(r)
	}()
	if err := c.client.SetDeadline(time.Now().Add(c.svc.opt.Limits.Handshake)); err != nil {
		return nil, refuse(CauseGone, err)
	}
	if c.svc.opt.AcceptPROXY {
		if err := c.readPROXY(r); err != nil {
			return nil, err
		}
	}
	if read != nil {
		if err := read(r); err != nil {
			return nil, err
		}
	}
	if err := c.client.SetDeadline(time.Time{}); err != nil {
		return nil, refuse(CauseGone, err)
	}
	if n := r.Buffered(); n > 0 {
		early = make([]byte, n)
		_, err = io.ReadFull(r, early)
		c.svc.counts.in.Add(uint64(n))
	}
	return early, err
}

// begin hands the session a target: from now on it may be drained. false if it
// has failed before; the target is reset then.
func (c *session) begin(target net.Conn) bool {
	c.svc.mu.Lock()
	ok := !c.svc.draining
	if ok {
		c.target, c.relaying = target, true
	}
	c.svc.mu.Unlock()
	if !ok || c.failed.Load() != nil {
		reset(target)
		return false
	}
	return true
}

// watch begins to look whether bytes are moved; the caller calls rest when that
// does not matter any more.
func (c *session) watch() {
	c.touch()
	if idle := c.svc.opt.Limits.Idle; idle > 0 && c.timer == nil {
		c.timer = time.AfterFunc(1<<62, c.look)
		c.timer.Reset(idle)
	}
}

func (c *session) rest() {
	c.done.Store(true)
	if c.timer != nil {
		c.timer.Stop()
	}
}

// look fails the session if it was idle for too long, else comes back when it
// may be.
func (c *session) look() {
	if c.done.Load() {
		return
	}
	left := c.svc.opt.Limits.Idle - (time.Since(began) - time.Duration(c.last.Load()))
	if left > 0 {
		c.timer.Reset(left)
		return
	}
	c.fail(refuse(CauseIdle, errIdle))
}

var errIdle = errors.New("nothing moved")

// acked waits until the peer has all that was written to conn. The kernel sees
// to that by itself; a stack may be closed by whoever shut the service down.
func (c *session) acked(conn net.Conn) error {
	if w, ok := conn.(interface{ WaitAcked(context.Context) error }); ok {
		return w.WaitAcked(c.svc.alive)
	}
	return nil
}
