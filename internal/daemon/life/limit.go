package life

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Clock is what a [Limiter] tells time by. AfterFunc calls f on a goroutine of
// its own, as time.AfterFunc does; stop reports whether it will not.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }
func (machineClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// Limiter is a slog.Handler that writes the same message once an interval:
//
//	first time         -> written at once
//	again, and again   -> counted; the last one is kept
//	interval over      -> the last one is written, with how many were left out
//	                      besides as "repeated"; or, if there was none, forgotten
//
// Messages are the same if level and text are: what differs with every peer
// belongs into attributes. Handlers made of one another by WithAttrs and
// WithGroup count together. At most maxMessages are told apart at a time;
// further ones pass as they come.
type Limiter struct {
	next  slog.Handler
	state *limits
}

// maxMessages bounds memory. A program has not that many constant strings at
// one time.
const maxMessages = 1024

type limits struct {
	every time.Duration
	clock Clock

	mu     sync.Mutex // guards what follows; never held while writing
	seen   map[message]*repetition
	closed bool
}

type message struct {
	level slog.Level
	text  string
}

// repetition is what has been held back of one message.
type repetition struct {
	stop  func() bool // the end of the interval
	count int
	last  slog.Record
	to    slog.Handler
}

// Limit wraps a handler. nil is the machine's clock. The Limiter has no
// goroutine, and one timer for each message of the last interval.
func Limit(next slog.Handler, every time.Duration, clock Clock) *Limiter {
	if clock == nil {
		clock = machineClock{}
	}
	return &Limiter{next, &limits{every: every, clock: clock, seen: make(map[message]*repetition)}}
}

// Enabled implements slog.Handler.
func (l *Limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *Limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Limiter{l.next.WithAttrs(attrs), l.state}
}

// WithGroup implements slog.Handler.
func (l *Limiter) WithGroup(name string) slog.Handler {
	return &Limiter{l.next.WithGroup(name), l.state}
}

// Handle implements slog.Handler.
func (l *Limiter) Handle(ctx context.Context, r slog.Record) error {
	if l.state.hold(l.next, r) {
		return nil
	}
	return l.next.Handle(ctx, r)
}

// hold reports whether the record is to be kept back, and does.
func (s *limits) hold(to slog.Handler, r slog.Record) bool {
	m := message{r.Level, r.Message}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if rep := s.seen[m]; rep != nil {
		rep.count++
		rep.last, rep.to = r.Clone(), to
		return true
	}
	if len(s.seen) < maxMessages {
		rep := &repetition{}
		s.seen[m] = rep
		rep.stop = s.clock.AfterFunc(s.every, func() { s.expire(m, rep) })
	}
	return false
}

// expire ends an interval. As long as something was held back, another begins.
func (s *limits) expire(m message, rep *repetition) {
	s.mu.Lock()
	if s.closed || s.seen[m] != rep {
		s.mu.Unlock()
		return
	}
	due := *rep
	if due.count == 0 {
		delete(s.seen, m)
	} else {
		rep.count, rep.to, rep.last = 0, nil, slog.Record{}
		rep.stop = s.clock.AfterFunc(s.every, func() { s.expire(m, rep) })
	}
	s.mu.Unlock()
	due.write()
}

// write writes the last of those held back.
func (rep *repetition) write() {
	if rep.count == 0 {
		return
	}
	if rep.count > 1 {
		rep.last.AddAttrs(slog.Int("repeated", rep.count-1))
	}
	// There is nobody to tell that the log can not be written.
	_ = rep.to.Handle(context.Background(), rep.last)
}

// Close writes what is held back. Records that come later pass as they are.
// Closing a nil Limiter, or one twice, does nothing.
func (l *Limiter) Close() {
	if l == nil {
		return
	}
	s := l.state
	s.mu.Lock()
	seen := s.seen
	s.seen, s.closed = nil, true
	s.mu.Unlock()
	for _, rep := range seen {
		rep.stop()
		rep.write()
	}
}
