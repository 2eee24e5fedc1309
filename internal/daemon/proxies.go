package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"tapstack/internal/daemon/names"
	"tapstack/internal/proxy"
	"tapstack/socketapi"
	"tapstack/stack"
)

// proxies are the forwards and proxies of a daemon that run, and those that
// take nothing new any more but whose connections go on: what was taken out of
// the configuration, or was changed, drops nobody.
//
// Start them with start, end them with Shutdown, before the stack is closed.
type proxies struct {
	stack *stack.Stack
	log   *slog.Logger
	names *names.Resolver
	ports *ports

	// relayed is told of every connection in the stack that is over; nil is
	// nobody.
	relayed func(service string, c *socketapi.TCPConn)

	accounting atomic.Bool // of connections in the stack from now on

	mu      sync.Mutex // guards what follows
	running []*running // in the order in which they were started
	retired []*running
	ended   bool

	work sync.WaitGroup // one for each that is retired
}

// running is a forward or a proxy that runs.
type running struct {
	section string
	side    side // where it listens
	svc     *proxy.Service
}

func newProxies(s *stack.Stack, log *slog.Logger, resolver *names.Resolver, host proxy.Network) *proxies {
	return &proxies{stack: s, log: log, names: resolver, ports: newPorts(host)}
}

// start starts one. The error, one line, names the section.
func (p *proxies) start(one proxySetting) error {
	r := &running{section: one.section, side: onHost}
	var err error
	switch c := one.config.(type) {
	case *ForwardConfig:
		r.svc, err = p.forward(c)
		if c.Stack {
			r.side = onStack
		}
		err = proxyError(err, r.side, c.UDP, c.Listen)
	case *ProxyConfig:
		r.svc, err = p.proxy(one.section, c)
		err = proxyError(err, onHost, false, c.Listen)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", one.section, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, r)
	if p.ended {
		p.retireLocked(r)
	}
	return nil
}

// proxyError says why one does not listen.
func proxyError(err error, s side, udp bool, listen string) error {
	network := "TCP"
	if udp {
		network = "UDP"
	}
	where := map[side]string{onHost: "this machine", onStack: "this stack"}[s]
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s port of %q is in use: choose another (%w)", network, listen, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%q is not at an address of %s: choose one that is (%w)", listen, where, err)
	}
	return err
}

// forward starts a forward.
func (p *proxies) forward(c *ForwardConfig) (*proxy.Service, error) {
	o := p.options("forward."+c.Name, c.Listen, &c.ProxyCommon)
	o.Name = c.Name
	if c.Stack {
		o.Listen, o.Dial = o.Dial, o.Listen
	}
	if c.UDP {
		return proxy.ForwardUDP(proxy.UDPForward{Options: o, Target: c.To})
	}
	return proxy.ForwardTCP(proxy.TCPForward{Options: o, Target: c.To, SendPROXY: c.SendPROXY})
}

// proxy starts a proxy.
func (p *proxies) proxy(section string, c *ProxyConfig) (*proxy.Service, error) {
	o := p.options(section, c.Listen, &c.ProxyCommon)
	var auth proxy.Auth
	if len(c.Users) > 0 {
		auth = proxy.Users(c.Users)
	}
	if section == sectionHTTPProxy {
		return proxy.HTTP(proxy.HTTPConfig{Options: o, Auth: auth})
	}
	return proxy.SOCKS5(proxy.SOCKS5Config{Options: o, Auth: auth, SendPROXY: c.SendPROXY})
}

// options are those of a service from the host into the stack's network.
func (p *proxies) options(section, listen string, c *ProxyCommon) proxy.Options {
	return proxy.Options{
		Name: section, Listen: p.ports.side(), Address: listen, Dial: p.inside(c.Buffers),
		Limits: c.Limits, AcceptPROXY: len(c.PROXYFrom) > 0, PROXYFrom: c.PROXYFrom, Logger: p.log,
		Relayed: func(conn net.Conn) {
			if c, ok := conn.(*socketapi.TCPConn); ok && p.relayed != nil {
				p.relayed(section, c)
			}
		},
	}
}

// inside is the stack's network, with sockets of the given sizes.
func (p *proxies) inside(b BufferSizes) proxy.Network {
	control := b.control()
	d := &socketapi.Dialer{Stack: p.stack, Resolver: p.names, Control: control}
	lc := &socketapi.ListenConfig{Stack: p.stack, Control: control}
	return proxy.Network{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, address)
			if tc, ok := c.(*socketapi.TCPConn); ok && err == nil {
				p.account(tc)
			}
			return c, err
		},
		Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
			l, err := lc.ListenTCP(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &accountingListener{l, p}, nil
		},
		ListenPacket: lc.ListenPacket,
		LookupNetIP:  p.names.LookupNetIP,
	}
}

// control sets the sizes on a socket before it is bound; nil for the default
// ones.
func (b BufferSizes) control() func(network, address string, s *socketapi.Socket) error {
	if b == (BufferSizes{}) {
		return nil
	}
	return func(_, _ string, s *socketapi.Socket) error {
		if b.Receive > 0 {
			if err := s.SetOption(socketapi.SO_RCVBUF, b.Receive); err != nil {
				return err
			}
		}
		if b.Send > 0 {
			return s.SetOption(socketapi.SO_SNDBUF, b.Send)
		}
		return nil
	}
}

// accountingListener is a listener of the stack's whose connections keep book
// if they are to.
type accountingListener struct {
	*socketapi.TCPListener
	p *proxies
}

// Accept implements net.Listener.
func (l *accountingListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	l.p.account(c)
	return c, nil
}

func (p *proxies) account(c *socketapi.TCPConn) {
	if p.accounting.Load() {
		_ = c.SetAccounting(true) // fails only for one that is closed
	}
}

// SetAccounting switches on or off that connections in the stack keep book of
// what holds them up, those there are and those to come; but of those that an
// HTTP proxy passes requests on by only those to come.
func (p *proxies) SetAccounting(on bool) {
	p.accounting.Store(on)
	for _, r := range p.all() {
		r.svc.Sockets(func(s proxy.Socket) {
			if c, ok := s.(*socketapi.TCPConn); ok {
				_ = c.SetAccounting(on) // fails only for one that is closed
			}
		})
	}
}

// all are those that run, then those that are retired.
func (p *proxies) all() []*running {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.running, p.retired)
}

// retire has one take nothing new. What it relays goes on until it ends by
// itself; a flow of UDP and an association of SOCKS5 end. Its port is kept until
// sweep.
func (p *proxies) retire(section string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.running {
		if r.section == section {
			p.retireLocked(r)
			return
		}
	}
}

func (p *proxies) retireLocked(r *running) {
	p.running = slices.DeleteFunc(p.running, func(o *running) bool { return o == r })
	p.retired = append(p.retired, r)
	r.svc.Stop()
	p.work.Go(func() {
		_ = r.svc.Shutdown(context.Background()) // as long as it takes
		p.mu.Lock()
		defer p.mu.Unlock()
		p.retired = slices.DeleteFunc(p.retired, func(o *running) bool { return o == r })
	})
}

// sweep closes ports that nobody listens on any more.
func (p *proxies) sweep() { p.ports.sweep() }

// Shutdown ends all: nothing new is taken, and what is relayed may go on until
// both sides have closed, or ctx is done. The error says how many connections
// were reset then. When it returns no goroutine is left.
func (p *proxies) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.ended = true
	for _, r := range slices.Clone(p.running) {
		p.retireLocked(r)
	}
	all := slices.Clone(p.retired)
	p.mu.Unlock()
	p.sweep()
	errs := make([]error, len(all))
	var each sync.WaitGroup
	for i, r := range all {
		each.Go(func() { errs[i] = r.svc.Shutdown(ctx) })
	}
	each.Wait()
	p.work.Wait()
	return errors.Join(errs...)
}

// ProxyAddr is where a forward or a proxy listens, and where a forward leads.
type ProxyAddr struct {
	Section string // "forward.web", "socks5", "http-proxy"
	Stack   bool   // in the stack's network; otherwise the host's
	Addr    net.Addr
	Target  string
}

// Addrs are where they listen, in the order in which they were started, with
// the ports that were chosen for port 0.
func (p *proxies) Addrs() []ProxyAddr {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []ProxyAddr
	for _, r := range p.running {
		out = append(out, ProxyAddr{r.section, r.side == onStack, r.svc.Addr(), r.svc.Snapshot().Target})
	}
	return out
}

// warnOfPasswords says that everybody may read them.
func (h *instance) warnOfPasswords(c *Config) {
	if c.File == "" || len(c.SOCKS5.Users)+len(c.HTTPProxy.Users) == 0 {
		return
	}
	if info, err := os.Stat(c.File); err == nil && info.Mode()&0o004 != 0 {
		h.log.Warn("everybody on this machine may read the proxies' passwords: chmod o-r", "file", c.File)
	}
}
