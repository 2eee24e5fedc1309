package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/control"
	"tapstack/internal/daemon/events"
	"tapstack/internal/daemon/life"
	"tapstack/internal/daemon/metrics"
	"tapstack/internal/daemon/names"
	"tapstack/internal/daemon/node"
	"tapstack/internal/proxy"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
	"tapstack/tap/capture"
)

// instance is a running daemon: what the control API controls.
type instance struct {
	*node.Node
	stack    *stack.Stack
	services *Services
	proxies  *proxies
	names    *names.Resolver
	control  *control.Server // nil without one
	events   events.Log
	log      *slog.Logger
	started  time.Time
	stop     context.CancelFunc
	drained  sync.Once

	claim       *life.Claim    // nil without a control socket
	manager     *life.Notifier // nil without one
	metrics     *metrics.Metrics
	metricsHTTP metricsServer
	pulse       chan struct{} // taken by the loop that obeys signals
	madeDir     string        // made for the control socket; "" if it was there
	owner       uint32        // whose process it was at the start

	mu  sync.Mutex // held while something changes
	cfg *Config    // in force; never changed, only replaced
}

var _ control.Backend = (*instance)(nil)

// addNIC makes or adopts the TAP and gives it to the stack, which owns it from then on.
func (h *instance) addNIC(n *NICConfig) error {
	dev, err := tap.Open(&tap.Config{
		Name: n.Name, MTU: n.MTU, Host: n.Host,
		Adopt: n.Adopt, Queues: n.Queues, Plain: n.Plain, Spin: n.Spin,
	})
	if err != nil {
		return fmt.Errorf("nic %s: %w", n.Name, err)
	}
	d := capture.Wrap(dev)
	nic, err := h.stack.AddNIC(d, &stack.NICConfig{Addresses: n.Address, Routes: n.Routes})
	if err != nil {
		return err
	}
	n.MTU = nic.MTU() // what it turned out to be
	h.AddDevice(d)
	return nil
}

// startServices starts services, forwards and proxies. With an error, one line,
// none of them is left.
func (h *instance) startServices() (err error) {
	dns := &socketapi.Dialer{Stack: h.stack}
	h.names = names.New(dns.DialContext, h.cfg.Names)
	h.SetResolver(h.names)
	sc := h.cfg.Services
	sc.Logger = h.log
	sc.Ended = h.metrics.Ended
	if h.services, err = StartServices(h.stack, sc); err != nil {
		return err
	}
	host := proxy.Kernel()
	host.Descriptors = proxy.NewDescriptors(life.SpareDescriptors())
	h.proxies = newProxies(h.stack, h.log, h.names, host)
	h.proxies.SetAccounting(sc.Accounting)
	h.warnOfPasswords(h.cfg)
	h.proxies.relayed = func(service string, c *socketapi.TCPConn) { report(h.metrics.Ended, service, c) }
	for _, one := range h.cfg.proxies() {
		if err := h.proxies.start(one); err != nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = h.endServices(ctx)
			return err
		}
	}
	return nil
}

// endServices ends services, forwards and proxies, as Services.Shutdown does.
func (h *instance) endServices(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- h.proxies.Shutdown(ctx) }()
	return errors.Join(h.services.Shutdown(ctx), <-ended)
}

// openControl opens the control socket; nil if there is to be none.
func (h *instance) openControl() (*life.Listener, error) {
	c := &h.cfg.Control
	if c.Path == "" {
		return nil, nil
	}
	cfg := life.SocketConfig{Mode: c.Mode}
	if c.GID >= 0 {
		cfg.GID = &c.GID
	}
	l, err := life.Listen(h.claim, c.Path, cfg)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// startControl serves the control socket, which may be nil. The function ends
// it.
func (h *instance) startControl(l *life.Listener) (end func()) {
	if l == nil {
		return func() {}
	}
	h.control = control.New(h, h.access(&h.cfg.Control), h.log)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := h.control.Serve(l); err != nil {
			h.log.Error("control socket", "err", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = h.control.Close(ctx) // who is left has had his second
		<-served
	}
}

// access is who may do what. The owner is who has started the daemon, not whom
// it has become: other programs may be the same unprivileged user.
func (h *instance) access(c *ControlConfig) control.Access {
	a := control.Access{Owner: h.owner, Others: c.Others}
	if c.GID >= 0 {
		gid := uint32(c.GID)
		a.Group = &gid
	}
	return a
}

// Info implements control.Backend.
func (h *instance) Info() api.Info {
	h.mu.Lock()
	defer h.mu.Unlock()
	return api.Info{PID: os.Getpid(), Started: h.started, Config: h.cfg.File}
}

// Stop implements control.Backend.
func (h *instance) Stop() {
	h.log.Info("told to stop")
	h.stop()
}

// Events implements control.Backend.
func (h *instance) Events(ctx context.Context, q *api.EventQuery, each func(*api.Event) error) error {
	least := slog.LevelDebug
	if q.Level != "" {
		if err := least.UnmarshalText([]byte(q.Level)); err != nil {
			return api.Errorf(http.StatusBadRequest, "parameter \"level\": want debug, info, warn or error")
		}
	}
	return h.events.Listen(ctx, least, each)
}

// Settings implements control.Backend.
func (h *instance) Settings() api.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	level := levelName(h.events.Level())
	accounting := h.cfg.Services.Accounting
	return api.Settings{LogLevel: &level, Accounting: &accounting, TCP: allSysctls(h.stack.TCP())}
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func levelName(l slog.Level) string {
	for name, v := range levels {
		if v == l {
			return name
		}
	}
	return l.String()
}

func (h *instance) setAccounting(on bool) {
	h.services.SetAccounting(on)
	h.proxies.SetAccounting(on)
}

// Change implements control.Backend: all of it or, with an error, nothing.
func (h *instance) Change(c *api.Settings) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := *h.cfg
	level := h.events.Level()
	if c.LogLevel != nil {
		var ok bool
		if level, ok = levels[*c.LogLevel]; !ok {
			return api.Errorf(http.StatusBadRequest, "log level %q: want debug, info, warn or error", *c.LogLevel)
		}
	}
	if len(c.TCP) > 0 {
		next.TCP = h.stack.TCP()
		if err := setSysctls(&next.TCP, c.TCP); err != nil {
			return api.Errorf(http.StatusBadRequest, "%v", err)
		}
		if err := h.stack.SetTCP(next.TCP); err != nil {
			return api.Errorf(http.StatusBadRequest, "%v", err)
		}
	}
	if c.Accounting != nil {
		next.Services.Accounting = *c.Accounting
		h.setAccounting(*c.Accounting)
	}
	h.events.SetLevel(level)
	next.Log.Level = level
	h.cfg = &next
	return nil
}
