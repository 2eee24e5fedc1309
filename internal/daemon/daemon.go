package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tapstack/stack"
	"tapstack/tap"
)

// drainTime is how long connections get to close when the daemon ends.
const drainTime = 5 * time.Second

// Run makes the TAPs of cfg, or adopts them, a stack on them, and its services; calls ready,
// which may be nil, when all of it works; and serves until ctx is done. Then
// it closes every connection properly, for five seconds at most, and the TAPs
// with the stack. logger may be nil.
//
// The TAPs are made in the network namespace of the calling thread.
//
// The error is nil when ctx ended it; a *ConfigError when it could not start,
// with nothing left behind; otherwise why the stack ended (see
// stack.Stack.Err), such as tap.ErrGone when somebody deleted a TAP.
func Run(ctx context.Context, cfg *Config, logger *slog.Logger, ready func(*Ready)) error {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s, err := stack.New(nil)
	if err != nil {
		return err
	}
	defer s.Close()
	nics := slices.Clone(cfg.NICs)
	for i := range nics {
		if err := addNIC(s, &nics[i]); err != nil {
			return &ConfigError{Err: err}
		}
	}
	sc := cfg.Services
	sc.Logger = logger
	services, err := StartServices(s, sc)
	if err != nil {
		return &ConfigError{Err: err}
	}
	if ready != nil {
		ready(&Ready{NICs: nics, Services: services.Addrs()})
	}

	var ended error
	select {
	case <-ctx.Done():
		logger.Info("ending: closing connections", "limit", drainTime)
	case <-s.Done():
		// Every connection is reset already; only goroutines are left.
		ended = explainEnd(s.Err())
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := services.Shutdown(drain); err != nil {
		logger.Warn("ending", "err", err)
	}
	return ended
}

// addNIC makes or adopts the TAP and gives it to the stack, which owns it from
// then on. n.MTU becomes what it turned out to be.
func addNIC(s *stack.Stack, n *NICConfig) error {
	dev, err := tap.Open(&tap.Config{
		Name: n.Name, MTU: n.MTU, Host: n.Host,
		Adopt: n.Adopt, Queues: n.Queues, Plain: n.Plain, Spin: n.Spin,
	})
	if err != nil {
		return fmt.Errorf("nic %s: %w", n.Name, err)
	}
	nic, err := s.AddNIC(dev, &stack.NICConfig{Addresses: n.Address, Routes: n.Routes})
	if err != nil {
		return err
	}
	n.MTU = nic.MTU()
	return nil
}

// explainEnd adds what may have happened.
func explainEnd(err error) error {
	if errors.Is(err, tap.ErrGone) {
		return fmt.Errorf("%w: somebody has deleted it; every connection was reset", err)
	}
	return err
}
