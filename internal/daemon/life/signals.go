package life

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Signals are those that a daemon is told what to do by.
type Signals struct {
	// Drain is done at the first SIGTERM or SIGINT; context.Cause names it.
	// The second one ends the process at once, by itself, as if nobody had
	// caught it: whoever hangs while draining does not hang for ever.
	Drain context.Context

	// Reload has a token after SIGHUP. Several before it is taken are one.
	Reload <-chan struct{}

	caught chan os.Signal
	cancel context.CancelCauseFunc
	stop   sync.Once
	over   chan struct{}
	done   chan struct{}
}

// Catch begins. Drain is a child of ctx.
func Catch(ctx context.Context) *Signals {
	reload := make(chan struct{}, 1)
	s := &Signals{
		Reload: reload,
		// A signal that finds no place is lost.
		caught: make(chan os.Signal, 16),
		over:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	s.Drain, s.cancel = context.WithCancelCause(ctx)
	signal.Notify(s.caught, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go s.run(reload)
	return s
}

func (s *Signals) run(reload chan<- struct{}) {
	defer close(s.done)
	draining := false
	for {
		select {
		case sig := <-s.caught:
			switch {
			case sig == syscall.SIGHUP:
				select {
				case reload <- struct{}{}:
				default:
				}
			case draining:
				dieOf(sig)
			default:
				draining = true
				s.cancel(fmt.Errorf("signal: %v", sig))
			}
		case <-s.over:
			return
		}
	}
}

// Stop gives signals their usual effect again. Drain is done then.
func (s *Signals) Stop() {
	s.stop.Do(func() {
		signal.Stop(s.caught)
		close(s.over)
		<-s.done
		s.cancel(context.Canceled)
	})
}
