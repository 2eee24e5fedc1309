// Package events lets others listen to a log: a slog.Handler that passes on
// what it handles, and tells it to whoever listens. A listener that is too
// slow loses events and is told how many; the log never waits for one.
//
// It has no goroutine.
package events

import (
	"context"
	"log/slog"
	"sync"

	"tapstack/internal/daemon/api"
)

// Log is a log that can be listened to, and whose level can be changed. Its
// methods are safe for concurrent use.
type Log struct {
	level slog.LevelVar

	mu        sync.Mutex
	listeners map[*listener]struct{}
}

// backlog is how many events wait for a listener before some are lost.
const backlog = 256

type listener struct {
	c    chan api.Event
	lost uint64 // guarded by Log.mu
}

// Level is the least level that is logged.
func (l *Log) Level() slog.Level { return l.level.Level() }

// SetLevel changes it.
func (l *Log) SetLevel(v slog.Level) { l.level.Set(v) }

// Handler handles records by inner, which is asked for its own level too, and
// tells the listeners.
func (l *Log) Handler(inner slog.Handler) slog.Handler { return &handler{log: l, inner: inner} }

// Listen calls each for every event of at least a level until ctx is done or
// each fails, whose error it returns. It begins with each(nil): from then on
// nothing is missed.
func (l *Log) Listen(ctx context.Context, least slog.Level, each func(*api.Event) error) error {
	one := &listener{c: make(chan api.Event, backlog)}
	l.mu.Lock()
	if l.listeners == nil {
		l.listeners = make(map[*listener]struct{})
	}
	l.listeners[one] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.listeners, one)
	}()
	if err := each(nil); err != nil {
		return err
	}
	for {
		select {
		case e := <-one.c:
			var level slog.Level
			if level.UnmarshalText([]byte(e.Level)) == nil && level < least {
				continue
			}
			if err := each(&e); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// tell gives every listener an event, as far as it has room.
func (l *Log) tell(e *api.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for one := range l.listeners {
		mine := *e
		mine.Lost = one.lost
		select {
		case one.c <- mine:
			one.lost = 0
		default:
			one.lost++
		}
	}
}

func (l *Log) listened() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.listeners) > 0
}

// handler is one of a Log's handlers, with attributes and a group of its own.
type handler struct {
	log    *Log
	inner  slog.Handler
	attrs  []slog.Attr
	prefix string // of the group, with a dot behind it
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.Level()
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.log.listened() {
		e := api.Event{Time: r.Time, Level: r.Level.String(), Message: r.Message, Attributes: make(map[string]any)}
		for _, a := range h.attrs {
			put(e.Attributes, "", a)
		}
		r.Attrs(func(a slog.Attr) bool { put(e.Attributes, h.prefix, a); return true })
		h.log.tell(&e)
	}
	if !h.inner.Enabled(ctx, r.Level) {
		return nil
	}
	return h.inner.Handle(ctx, r)
}

// put enters an attribute as JSON has it: numbers and booleans as they are,
// everything else as text.
func put(m map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		for _, one := range v.Group() {
			put(m, prefix+a.Key+".", one)
		}
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		m[prefix+a.Key] = v.Any()
	default:
		m[prefix+a.Key] = v.String()
	}
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.inner = h.inner.WithAttrs(attrs)
	c.attrs = append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	c.inner = h.inner.WithGroup(name)
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}
