package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/stack"
)

// Services are the servers that run inside a stack. Start them with
// StartServices, end them with Shutdown, before the stack is closed.
type Services struct {
	stack   *stack.Stack
	log     *slog.Logger
	started time.Time
	web     *http.Server
	files   atomic.Pointer[webRoot] // what http serves besides its own pages, nil is nothing

	accounting atomic.Bool // of connections from now on

	mu       sync.Mutex  // guards what follows
	buffers  BufferSizes // of listeners from now on
	open     []openService
	conns    map[*conn]struct{}
	counts   map[string]*serviceCounts // by name
	report   func(service string, info socketapi.Info, account *holdup.Report)
	stopping bool // every connection is told to end
	aborted  bool // and was reset

	work    sync.WaitGroup // one per listener and per connection in conns
	once    sync.Once      // closes abandon
	abandon chan struct{}  // closed when nobody waits for peers any more
}

// openService is a socket that a service listens on.
type openService struct {
	ServiceAddr
	socket interface{ Close() error }
}

// ServiceAddr is where a service listens. Addr's network is "tcp" or "udp".
type ServiceAddr struct {
	Name string
	Addr net.Addr
}

// StartServices starts what cfg names on s. On an error, one line that names
// the service, all of them have ended.
func StartServices(s *stack.Stack, cfg ServicesConfig) (_ *Services, err error) {
	srv := &Services{
		stack:   s,
		log:     cfg.Logger,
		started: time.Now(),
		conns:   make(map[*conn]struct{}),
		counts:  make(map[string]*serviceCounts),
		report:  cfg.Ended,
		abandon: make(chan struct{}),
		buffers: cfg.Buffers,
	}
	if srv.log == nil {
		srv.log = slog.New(slog.DiscardHandler)
	}
	srv.web = srv.newWeb()
	defer func() {
		if err != nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = srv.Shutdown(ctx)
		}
	}()
	srv.accounting.Store(cfg.Accounting)
	if err := srv.SetRoot(cfg.Root, cfg.List); err != nil {
		return nil, err
	}
	for _, one := range cfg.each() {
		if *one.addr == "" {
			continue
		}
		if err := srv.start(one.name, *one.addr); err != nil {
			return nil, err
		}
	}
	return srv, nil
}

// start starts one service; with an error, one line, none of its sockets is
// left.
func (s *Services) start(name, addr string) error {
	starts := map[string][]func(name, addr string) error{
		"echo":    {s.listenTCP(echo), s.listenEchoUDP},
		"discard": {s.listenTCP(discard)},
		"chargen": {s.listenTCP(chargen)},
		"daytime": {s.listenTCP(daytime), s.listenDaytimeUDP},
		"http":    {s.listenWeb},
	}
	for _, listen := range starts[name] {
		if err := listen(name, addr); err != nil {
			s.silence(name)
			return listenError(name, addr, err)
		}
	}
	return nil
}

// silence ends a service's listening. Its connections go on.
func (s *Services) silence(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(o openService) bool {
		if o.Name == name {
			_ = o.socket.Close() // fails only if closed before
		}
		return o.Name == name
	})
}

// Move makes a service listen somewhere else, or nowhere if addr is "". Its
// connections go on. With an error it listens nowhere.
func (s *Services) Move(name, addr string) error {
	s.silence(name)
	if addr == "" {
		return nil
	}
	return s.start(name, addr)
}

// SetBuffers sets the sizes of the buffers of TCP connections, for listeners
// opened from now on: Move a service to have it use them.
func (s *Services) SetBuffers(b BufferSizes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffers = b
}

// SetAccounting switches on or off that the services' connections keep book of
// what holds them up, those there are and those to come.
func (s *Services) SetAccounting(on bool) {
	s.accounting.Store(on)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.SetAccounting(on) // fails only for one that is closed
	}
}

// listenError says in one line which service can not listen, and why.
func listenError(name, addr string, err error) error {
	network := "TCP"
	var op *net.OpError
	if errors.As(err, &op) && op.Net == "udp" {
		network = "UDP"
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s port of %q is in use: choose another (%w)", name, network, addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %q is not at an address of this stack: choose one that is (%w)", name, addr, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Addrs are where the services listen: echo, discard, chargen, daytime, http, as far as
// they were asked for, with the ports that were chosen for port 0.
func (s *Services) Addrs() []ServiceAddr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []ServiceAddr
	for _, one := range (&ServicesConfig{}).each() {
		for _, o := range s.open {
			if o.Name == one.name {
				out = append(out, o.ServiceAddr)
			}
		}
	}
	return out
}

// listenTCP is a start function for a service of one goroutine per connection.
func (s *Services) listenTCP(serve func(*conn) error) func(name, addr string) error {
	return func(name, addr string) error {
		l, err := s.listen(name, addr)
		if err != nil {
			return err
		}
		s.work.Go(func() {
			for {
				c, err := s.accept(l, name, false)
				if err != nil {
					s.ended(name, err)
					return
				}
				go func() {
					err := serve(c)
					log := s.log.With("service", name, "peer", c.RemoteAddr())
					if err != nil {
						log = log.With("err", err)
					}
					log.Debug("connection served")
					c.finish()
				}()
			}
		})
		return nil
	}
}

func (s *Services) listen(name, addr string) (*socketapi.TCPListener, error) {
	s.mu.Lock()
	lc := socketapi.ListenConfig{Stack: s.stack, Control: s.buffers.control()}
	s.mu.Unlock()
	l, err := lc.ListenTCP(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	s.opened(name, l.Addr(), l)
	return l, nil
}

func (s *Services) opened(name string, addr net.Addr, l interface{ Close() error }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, openService{ServiceAddr{name, addr}, l})
}

// ended logs why a service takes nothing any more, unless it was told to.
func (s *Services) ended(name string, err error) {
	select {
	case <-s.stack.Done():
		return // with the stack, whose reason is told elsewhere
	default:
	}
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("service ended", "service", name, "err", err)
	}
}

// accept waits for a connection, which is in conns from then on until it is
// over.
func (s *Services) accept(l *socketapi.TCPListener, name string, web bool) (*conn, error) {
	tc, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c := &conn{TCPConn: tc, services: s, web: web, name: name, counts: s.countsOf(name)}
	if s.accounting.Load() {
		_ = c.SetAccounting(true) // fails only for one that is closed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted {
		// Too late even for a reset by abort.
		_ = tc.Abort()
		return nil, net.ErrClosed
	}
	s.work.Add(1) // the caller has one, so this is never the first
	s.conns[c] = struct{}{}
	c.counts.opened.Add(1)
	if s.stopping {
		c.stop()
	}
	return c, nil
}

// over forgets a connection.
func (s *Services) over(c *conn) {
	s.observe(c)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.work.Done()
}

// Shutdown ends all services: listeners first, then every connection, each
// with what it still has to send and a FIN behind it. It waits until the peers
// have closed as well, or ctx is done; what is left then is reset, and the
// error says how many that were. When it returns no goroutine is left.
func (s *Services) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	for _, o := range s.open {
		_ = o.socket.Close() // fails only if closed before
	}
	s.stopping = true
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.web.Shutdown(ctx) // its error is ctx's, or the listener's
		s.work.Wait()
	}()
	defer func() { _ = s.SetRoot("", false) }() // which nobody reads any more
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	left := s.abort()
	<-done
	if left == 0 {
		return nil
	}
	return fmt.Errorf("%d connections were reset: their peers had not closed them: %w", left, ctx.Err())
}

// abort resets every connection that is left, and counts them.
func (s *Services) abort() int {
	s.once.Do(func() { close(s.abandon) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborted = true
	for c := range s.conns {
		_ = c.Abort() // one that is closed already is the stack's to reset
	}
	return len(s.conns)
}
