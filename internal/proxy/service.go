package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Service is a forward or a proxy that runs. [ForwardTCP], [ForwardUDP],
// [SOCKS5] and [HTTP] start one, Shutdown ends it. Its methods are safe for
// concurrent use.
type Service struct {
	kind   string
	opt    Options // with its defaults
	target string
	log    *throttle
	counts counters

	// Written before the first goroutine starts.
	addr    net.Addr
	closer  io.Closer                 // listener or UDP socket
	quiesce func(ctx context.Context) // drains what is no session, if there is such
	handle  func(c *session) error    // serves a TCP connection
	flows   func(f func(Socket))      // calls f for what is no session's, if there is such

	// fresh ends handshakes and dials when Shutdown begins, alive all that is
	// left when it gives up.
	fresh, alive context.Context
	drain, kill  context.CancelFunc

	mu       sync.Mutex // guards what follows, and session.target, far and relaying
	sessions map[*session]struct{}
	draining bool

	work sync.WaitGroup // the accepting goroutine, one for each session, and more while that has its own
}

func newService(kind, target string, o *Options) *Service {
	s := &Service{kind: kind, opt: *o, target: target, sessions: make(map[*session]struct{})}
	s.opt.Limits = o.Limits.withDefaults()
	s.log = newThrottle(o.Logger, o, kind)
	s.alive, s.kill = context.WithCancel(context.Background())
	s.fresh, s.drain = context.WithCancel(s.alive)
	return s
}

// listen opens the service's TCP listener.
func (s *Service) listen() (net.Listener, error) {
	if s.opt.Listen.Listen == nil {
		return nil, s.failure(errNoListen)
	}
	l, err := s.opt.Listen.Listen(s.fresh, "tcp", s.opt.Address)
	if err != nil {
		return nil, s.failure(err)
	}
	s.addr, s.closer = l.Addr(), l
	return l, nil
}

// failure says in one line which service could not begin, and why.
func (s *Service) failure(err error) error {
	s.kill()
	return fmt.Errorf("%s %q at %q: %w", s.kind, s.opt.Name, s.opt.Address, err)
}

// start serves connections from l, a goroutine each.
func (s *Service) start(l net.Listener) {
	s.work.Go(func() {
		for {
			c, err := s.accept(l)
			if err != nil {
				s.accepted(err)
				return
			}
			go func() {
				defer s.work.Done()
				c.over(s.handle(c))
			}()
		}
	})
}

// accepted logs why nothing is accepted any more, unless that was the intention.
func (s *Service) accepted(err error) {
	if s.fresh.Err() == nil {
		s.log.say(slog.LevelError, CauseFailed, "service takes no more connections", slog.Any("err", err))
	}
}

// accept waits for a connection that is within the limits. Its session counts
// in s.work.
func (s *Service) accept(l net.Listener) (*session, error) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if !exhausted(err) || !s.pause() {
				return nil, err
			}
			// What was lacking may come back with the end of a connection.
			s.log.say(slog.LevelError, CauseExhausted, "cannot accept", slog.Any("err", err))
			continue
		}
		if c := s.admit(conn); c != nil {
			return c, nil
		}
	}
}

// pause lets a moment pass. It is false when the service is to end.
func (s *Service) pause() bool {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.fresh.Done():
		return false
	}
}

// admit makes a session of a connection, or resets it.
func (s *Service) admit(conn net.Conn) *session {
	if !s.counts.open(s.opt.Limits.Conns) {
		reset(conn)
		s.log.say(slog.LevelWarn, CauseLimit, "too many connections", slog.Int("limit", s.opt.Limits.Conns), slog.Any("client", conn.RemoteAddr()))
		return nil
	}
	if !s.opt.Listen.Descriptors.take(1) {
		reset(conn)
		s.counts.over(false, CauseExhausted)
		s.log.say(slog.LevelWarn, CauseExhausted, "connection refused", slog.Any("client", conn.RemoteAddr()), slog.Any("err", errDescriptors))
		return nil
	}
	conn = s.opt.Listen.Descriptors.hold(conn)
	c := &session{svc: s, client: conn, from: conn.RemoteAddr(), to: conn.LocalAddr()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		reset(conn)
		s.counts.over(false, CauseShutdown)
		return nil
	}
	s.work.Add(1) // the accepting goroutine has one, so this is never the first
	s.sessions[c] = struct{}{}
	return c
}

// dial connects to a target for c.
func (s *Service) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.opt.Dial.DialContext == nil {
		return nil, refuse(CauseFailed, errNoDial)
	}
	d := s.opt.Dial.Descriptors
	if !d.take(dialling) {
		return nil, refuse(CauseExhausted, errDescriptors)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opt.Limits.Dial)
	defer cancel()
	conn, err := s.opt.Dial.DialContext(ctx, network, address)
	if err != nil {
		d.give(dialling)
		return nil, refuse(dialCause(err), err)
	}
	d.give(dialling - 1)
	return d.hold(conn), nil
}

// Addr is where the service listens, a *net.TCPAddr or *net.UDPAddr, with the
// port that was chosen for port 0.
func (s *Service) Addr() net.Addr { return s.addr }

// Snapshot is the service now.
func (s *Service) Snapshot() Snapshot {
	out := Snapshot{Kind: s.kind, Name: s.opt.Name, Address: s.addr.String(), Target: s.target}
	s.counts.snapshot(&out)
	return out
}

// Socket is one of a service's: a net.Conn or a net.PacketConn.
type Socket interface{ LocalAddr() net.Addr }

// Sockets calls f for the sockets of every connection, flow and association of
// the service, on both sides, but not for what it listens on, nor for what an
// HTTP proxy passes requests on by. Some may be closed already. f must not close
// any, nor call the service.
func (s *Service) Sockets(f func(Socket)) {
	s.mu.Lock()
	var all []Socket
	for c := range s.sessions {
		all = append(all, c.client)
		if c.target != nil {
			all = append(all, c.target)
		}
		if c.far != nil {
			all = append(all, c.far)
		}
	}
	s.mu.Unlock()
	for _, one := range all {
		f(one)
	}
	if s.flows != nil {
		s.flows(f)
	}
}

// Shutdown ends the service. It stops listening and resets whoever is not
// connected to a target yet; what is relayed may go on until both sides have
// closed, or ctx is done. What is left then is reset, and the error, which
// wraps ctx's, says how many connections that were. When it returns, no
// goroutine of the service is left. It may be called again, also while a first
// call waits: to end at once, with a ctx that is done.
func (s *Service) Shutdown(ctx context.Context) error {
	s.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.quiesce != nil {
			s.quiesce(ctx)
		}
		s.work.Wait()
	}()
	select {
	case <-done:
		s.kill()
		return nil
	case <-ctx.Done():
	}
	left := s.abort()
	<-done
	if left == 0 {
		return nil
	}
	return fmt.Errorf("%s %q: %d connections were reset, their ends had not closed them: %w", s.kind, s.opt.Name, left, ctx.Err())
}

// Stop is the beginning of Shutdown, which has to follow: when it returns the
// service listens no more, and what is relayed goes on.
func (s *Service) Stop() {
	s.mu.Lock()
	first := !s.draining
	s.draining = true
	var early []*session
	for c := range s.sessions {
		if !c.relaying {
			early = append(early, c)
		}
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.drain()
	_ = s.closer.Close() // fails only if the network has ended
	for _, c := range early {
		c.fail(refuse(CauseShutdown, errShutdown))
	}
}

// abort resets everything that is left, and counts it.
func (s *Service) abort() int {
	s.kill()
	s.mu.Lock()
	all := make([]*session, 0, len(s.sessions))
	for c := range s.sessions {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.fail(refuse(CauseShutdown, errShutdown))
	}
	return len(all)
}

var errShutdown = errors.New("the service ends")
