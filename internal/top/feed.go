package top

import (
	"context"
	"errors"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// retry is how long to wait for a daemon that has gone.
const retry = time.Second

var errEnded = errors.New("the daemon has ended")

// feed asks one question at a time, and puts what comes back, Looked and
// Failed, into a channel.
type feed struct {
	c   *client.Client
	out chan any

	cancel context.CancelFunc
	done   chan struct{} // closed when nobody asks any more
	asked  bool
}

func newFeed(c *client.Client) *feed { return &feed{c: c, out: make(chan any)} }

// ask asks q from now on, and nothing else.
func (f *feed) ask(ctx context.Context, q *api.SocketWatchQuery) {
	f.stop()
	ctx, f.cancel = context.WithCancel(ctx)
	f.done = make(chan struct{})
	// The first look has no rates, and so no order. Later questions keep the
	// old answer on the screen until the second.
	again := f.asked
	f.asked = true
	go func() {
		defer close(f.done)
		f.read(ctx, q, again)
	}()
}

// stop asks nothing any more, and waits until nobody does.
func (f *feed) stop() {
	if f.cancel != nil {
		f.cancel()
		<-f.done
		f.cancel = nil
	}
}

func (f *feed) read(ctx context.Context, q *api.SocketWatchQuery, skip bool) {
	for {
		err := f.c.WatchSockets(ctx, q, func(l *api.SocketWatch) error {
			if skip {
				skip = false
				return nil
			}
			return f.put(ctx, Looked{l})
		})
		if err == nil {
			err = errEnded
		}
		if ctx.Err() != nil || f.put(ctx, Failed{err}) != nil {
			return
		}
		wait := time.NewTimer(retry)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

func (f *feed) put(ctx context.Context, v any) error {
	select {
	case f.out <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
