package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"tapstack/internal/daemon/life"
	"tapstack/internal/daemon/node"
	"tapstack/internal/daemon/privilege"
	"tapstack/stack"
	"tapstack/tap"
)

// Run is a Daemon's Run with nothing but a log, which may be nil, and ready.
func Run(ctx context.Context, cfg *Config, logger *slog.Logger, ready func(*Ready)) error {
	d := Daemon{Config: cfg, Ready: ready}
	if logger != nil {
		d.Log = logger.Handler()
	}
	return d.Run(ctx)
}

// Daemon is a daemon to be run, once.
type Daemon struct {
	Config *Config
	// Log takes what there is to say; nil is nobody. It is asked for a level
	// of its own too: the daemon's, that of the configuration at first, can be
	// changed.
	Log slog.Handler
	// Ready, if not nil, is called when everything works.
	Ready func(*Ready)
	// Reload has the configuration read again whenever it gives something.
	Reload <-chan struct{}
	// Manager is told how it goes, and that the daemon lives; nil is nobody.
	// It stays the caller's.
	Manager *life.Notifier
	// Drop gives up the privileges of the process when everything is open:
	// privilege.Drop. nil keeps them: in a process that is not the daemon's
	// own.
	Drop func(privilege.Config) (privilege.Report, error)
	// Version and Revision are what metrics say is running.
	Version, Revision string
}

// Run makes the TAPs of the configuration, a stack on them, its services and
// the control socket; drops privileges; calls Ready; and serves until ctx is
// done or somebody asks it to stop. Then it closes every connection properly,
// for as long as the configuration says, and the TAPs with the stack.
//
// The TAPs are made in the network namespace of the calling thread.
//
// The error is nil when ctx or a stop ended it; a *ConfigError when it could
// not start, with nothing left behind; otherwise why the stack ended (see
// stack.Stack.Err), such as tap.ErrGone when somebody deleted a TAP.
func (d *Daemon) Run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h := d.instance(stop)
	// The last thing of all: until then the next one waits.
	defer h.release()
	if err := h.takeClaim(ctx); err != nil {
		return &ConfigError{Err: err}
	}
	s, err := stack.New(&stack.Config{TCP: d.Config.TCP})
	if err != nil {
		return &ConfigError{Err: err}
	}
	defer s.Close()
	h.stack, h.Node = s, node.New(s)
	h.startMetrics(d.Version, d.Revision)
	nics := slices.Clone(d.Config.NICs) // which stay as they were written
	for i := range nics {
		if err := h.addNIC(&nics[i]); err != nil {
			return &ConfigError{Err: err}
		}
	}
	if err := h.startServices(); err != nil {
		return &ConfigError{Err: err}
	}
	defer h.drain(ctx)
	end, err := h.startHost(d.Drop)
	if err != nil {
		return &ConfigError{Err: err}
	}
	// After the services: they can be watched while they end.
	defer end()
	if d.Ready != nil {
		d.Ready(&Ready{NICs: nics, Services: h.services.Addrs(), Proxies: h.proxies.Addrs(), Control: d.Config.Control.Path, Metrics: d.Config.Metrics.Listen})
	}
	h.settled()
	return h.serve(ctx, d.Reload)
}

// instance is d about to run.
func (d *Daemon) instance(stop context.CancelFunc) *instance {
	h := &instance{
		cfg: d.Config, started: time.Now(), stop: stop, manager: d.Manager,
		pulse: make(chan struct{}), owner: uint32(max(0, os.Getuid())),
	}
	inner := d.Log
	if inner == nil {
		inner = slog.DiscardHandler
	}
	h.events.SetLevel(d.Config.Log.Level)
	h.log = slog.New(h.events.Handler(inner))
	return h
}

// startHost opens what the host sees besides the TAPs, drops privileges, and
// then serves. The function ends it.
func (h *instance) startHost(drop func(privilege.Config) (privilege.Report, error)) (end func(), err error) {
	l, err := h.openControl()
	if err != nil {
		return nil, err
	}
	m, err := h.openMetrics()
	if err == nil {
		err = h.dropPrivileges(drop)
	}
	if err != nil {
		if l != nil {
			l.Close()
		}
		if m != nil {
			m.Close()
		}
		return nil, err
	}
	h.metricsHTTP.start(m, h.cfg.Metrics.Listen)
	endControl := h.startControl(l)
	return func() {
		h.metricsHTTP.stop()
		endControl()
	}, nil
}

// serve waits for what the operator wants.
func (h *instance) serve(ctx context.Context, reload <-chan struct{}) error {
	watch, unwatch := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { h.manager.Watch(watch, h.log, h.alive) })
	defer watching.Wait()
	defer unwatch()
	for {
		select {
		case <-h.pulse: // somebody asks whether we are here
		case <-reload:
			_, _ = h.Reload() // which has logged how it went
		case <-ctx.Done():
			_ = h.manager.Stopping("closing connections") // it sees us end all the same
			h.log.Info("ending: closing connections", "limit", h.drainTime().String())
			h.drain(ctx)
			return nil
		case <-h.stack.Done():
			// Every connection is reset already; only goroutines are left.
			return explainEnd(h.stack.Err())
		}
	}
}

// drainTime is how long connections get to close when the daemon ends.
func (h *instance) drainTime() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.cfg.Process.Drain; d > 0 {
		return d
	}
	return defaultDrain
}

const defaultDrain = 5 * time.Second

// drain ends the services, once.
func (h *instance) drain(ctx context.Context) {
	h.drained.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.drainTime())
		defer cancel()
		if err := h.endServices(ctx); err != nil {
			h.log.Warn("ending", "err", err)
		}
	})
}

// explainEnd adds what may have happened.
func explainEnd(err error) error {
	if errors.Is(err, tap.ErrGone) {
		return fmt.Errorf("%w: somebody has deleted it; every connection was reset", err)
	}
	return err
}
