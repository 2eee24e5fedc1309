package proxy

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// throttle is a log that clients cannot fill: a line for each cause and
// interval, which says how many went without one.
type throttle struct {
	log   *slog.Logger
	every time.Duration

	mu   sync.Mutex
	seen map[Cause]*quiet
}

type quiet struct {
	until  time.Time
	missed int
}

const logInterval = time.Minute

func newThrottle(l *slog.Logger, o *Options, kind string) *throttle {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &throttle{log: l.With("service", kind, "name", o.Name), every: logInterval, seen: make(map[Cause]*quiet)}
}

func (t *throttle) say(level slog.Level, cause Cause, msg string, attrs ...slog.Attr) {
	if !t.log.Enabled(context.Background(), level) {
		return
	}
	missed, ok := t.turn(cause, time.Now())
	if !ok {
		return
	}
	attrs = append(attrs, slog.String("cause", string(cause)))
	if missed > 0 {
		attrs = append(attrs, slog.Int("not_logged", missed))
	}
	t.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// turn says whether cause may have a line now, and how many had none.
func (t *throttle) turn(cause Cause, now time.Time) (missed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.seen[cause]
	if q == nil {
		q = &quiet{}
		t.seen[cause] = q
	}
	if now.Before(q.until) {
		q.missed++
		return 0, false
	}
	missed, q.missed = q.missed, 0
	q.until = now.Add(t.every)
	return missed, true
}
