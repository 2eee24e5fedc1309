package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"tapstack/internal/daemon/node"
	"tapstack/stack"
	"tapstack/tap"
)

// drainTime is how long connections get to close when the daemon ends.
const drainTime = 5 * time.Second

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
	// of its own too: the daemon's, info at first, can be changed.
	Log slog.Handler
	// Ready, if not nil, is called when everything works.
	Ready func(*Ready)
	// Reload has the configuration read again whenever it gives something.
	Reload <-chan os.Signal
}

// Run makes the TAPs of the configuration, a stack on them, its services and
// the control socket; calls Ready; and serves until ctx is done or somebody
// asks it to stop. Then it closes every connection properly, for five seconds
// at most, and the TAPs with the stack.
//
// The TAPs are made in the network namespace of the calling thread.
//
// The error is nil when ctx or a stop ended it; a *ConfigError when it could
// not start, with nothing left behind; otherwise why the stack ended (see
// stack.Stack.Err), such as tap.ErrGone when somebody deleted a TAP.
func (d *Daemon) Run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h := &instance{cfg: d.Config, started: time.Now(), stop: stop}
	inner := d.Log
	if inner == nil {
		inner = slog.DiscardHandler
	}
	h.log = slog.New(h.events.Handler(inner))
	h.events.SetLevel(d.Config.Log.Level)

	s, err := stack.New(&stack.Config{TCP: d.Config.TCP})
	if err != nil {
		return &ConfigError{Err: err}
	}
	defer s.Close()
	h.stack, h.Node = s, node.New(s)
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
	endControl, err := h.startControl()
	if err != nil {
		return &ConfigError{Err: err}
	}
	// After the services: they can be watched while they end.
	defer endControl()
	if d.Ready != nil {
		d.Ready(&Ready{NICs: nics, Services: h.services.Addrs(), Proxies: h.proxies.Addrs(), Control: d.Config.Control.Path})
	}
	return h.serve(ctx, d.Reload)
}

// serve waits for what the operator wants.
func (h *instance) serve(ctx context.Context, reload <-chan os.Signal) error {
	for {
		select {
		case <-reload:
			_, _ = h.Reload() // which has logged how it went
		case <-ctx.Done():
			h.log.Info("ending: closing connections", "limit", drainTime)
			h.drain(ctx)
			return nil
		case <-h.stack.Done():
			// Every connection is reset already; only goroutines are left.
			return explainEnd(h.stack.Err())
		}
	}
}

// drain ends the services, once.
func (h *instance) drain(ctx context.Context) {
	h.drained.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
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
