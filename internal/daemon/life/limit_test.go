package life

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// hand is a clock that is turned by hand.
type hand struct {
	mu     sync.Mutex
	now    time.Time
	timers []*handTimer
}

type handTimer struct {
	at   time.Time
	f    func()
	done bool
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) AfterFunc(d time.Duration, f func()) func() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &handTimer{at: h.now.Add(d), f: f}
	h.timers = append(h.timers, t)
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		was := !t.done
		t.done = true
		return was
	}
}

// turn goes on by d, and runs what is due.
func (h *hand) turn(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	var due []func()
	for _, t := range h.timers {
		if !t.done && !t.at.After(h.now) {
			t.done = true
			due = append(due, t.f)
		}
	}
	h.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// pending is how many timers run.
func (h *hand) pending() (n int) {
	for _, t := range h.timers {
		if !t.done {
			n++
		}
	}
	return n
}

// limited is a log without times, on a clock.
func limited(t *testing.T, cfg LogConfig) (*slog.Logger, *Limiter, *bytes.Buffer, *hand) {
	t.Helper()
	var b bytes.Buffer
	clock := &hand{now: time.Unix(1, 0)}
	cfg.Clock, cfg.NoTime, cfg.Every = clock, true, time.Second
	log, l, err := NewLog(&b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return log, l, &b, clock
}

// lines takes what has been written so far.
func lines(b *bytes.Buffer) string {
	defer b.Reset()
	return b.String()
}

func TestLimit(t *testing.T) {
	log, l, b, clock := limited(t, LogConfig{})
	for i := range 5 {
		log.Warn("accept", "n", i)
	}
	log.Info("accept", "n", 5) // another level is another message
	if got := lines(b); got != "level=WARN msg=accept n=0\nlevel=INFO msg=accept n=5\n" {
		t.Errorf("at once: %q", got)
	}
	clock.turn(time.Second)
	if got := lines(b); got != "level=WARN msg=accept n=4 repeated=3\n" {
		t.Errorf("after the interval: %q", got)
	}
	log.Warn("accept", "n", 6)
	if got := lines(b); got != "" {
		t.Errorf("in the next interval: %q", got)
	}
	clock.turn(time.Second)
	if got := lines(b); got != "level=WARN msg=accept n=6\n" {
		t.Errorf("a single repetition: %q", got)
	}
	clock.turn(time.Second)
	clock.turn(time.Second)
	if clock.pending() != 0 || len(l.state.seen) != 0 {
		t.Errorf("%d timers, %d messages are left of a quiet log", clock.pending(), len(l.state.seen))
	}
	log.Warn("accept", "n", 7)
	if got := lines(b); got != "level=WARN msg=accept n=7\n" {
		t.Errorf("after a pause: %q", got)
	}
}

func TestLimitCountsRelativesTogether(t *testing.T) {
	log, _, b, clock := limited(t, LogConfig{})
	log.With("service", "echo").Warn("reset")
	log.WithGroup("peer").Warn("reset", "port", 7)
	log.With("service", "http").Warn("reset")
	clock.turn(time.Second)
	if got := lines(b); got != "level=WARN msg=reset service=echo\nlevel=WARN msg=reset service=http repeated=1\n" {
		t.Errorf("%q", got)
	}
}

func TestLimitClose(t *testing.T) {
	log, l, b, clock := limited(t, LogConfig{Format: "json"})
	for range 3 {
		log.Error("x")
	}
	lines(b)
	l.Close()
	l.Close()
	if got := lines(b); got != `{"level":"ERROR","msg":"x","repeated":1}`+"\n" {
		t.Errorf("%q", got)
	}
	log.Error("x")
	log.Error("x")
	clock.turn(time.Minute)
	if got := lines(b); strings.Count(got, "\n") != 2 || clock.pending() != 0 {
		t.Errorf("after Close: %q, %d timers", got, clock.pending())
	}
	(*Limiter)(nil).Close()
}

func TestLimitIsBounded(t *testing.T) {
	log, l, b, clock := limited(t, LogConfig{})
	for i := range maxMessages + 10 {
		log.Info(fmt.Sprint("message ", i))
	}
	if n := len(l.state.seen); n != maxMessages || clock.pending() != maxMessages {
		t.Errorf("%d messages, %d timers", n, clock.pending())
	}
	if got := lines(b); strings.Count(got, "\n") != maxMessages+10 {
		t.Errorf("%d lines", strings.Count(got, "\n"))
	}
}

func TestLimitConcurrently(t *testing.T) {
	log, l, b, clock := limited(t, LogConfig{})
	var wg sync.WaitGroup
	const writers, each = 8, 100
	for range writers {
		wg.Go(func() {
			for range each {
				log.Info("same")
			}
		})
	}
	wg.Go(func() { clock.turn(time.Second) })
	wg.Wait()
	l.Close()
	// All are there: written, or counted.
	total := 0
	for line := range strings.Lines(lines(b)) {
		total++
		if _, n, ok := strings.Cut(strings.TrimSpace(line), "repeated="); ok {
			var more int
			fmt.Sscan(n, &more)
			total += more
		}
	}
	if total != writers*each {
		t.Errorf("%d of %d", total, writers*each)
	}
}

func TestLevelChangesLive(t *testing.T) {
	var level slog.LevelVar
	log, _, b, _ := limited(t, LogConfig{Level: &level})
	log.Debug("unseen")
	level.Set(slog.LevelDebug)
	log.Debug("seen")
	level.Set(slog.LevelError)
	log.Warn("unseen too")
	if got := lines(b); got != "level=DEBUG msg=seen\n" {
		t.Errorf("%q", got)
	}
}

func TestNewLog(t *testing.T) {
	if _, _, err := NewLog(nil, LogConfig{Format: "xml"}); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Error(err)
	}
	var b bytes.Buffer
	log, l, err := NewLog(&b, LogConfig{Every: -1})
	if err != nil || l != nil {
		t.Fatal(l, err)
	}
	log.Info("x")
	log.Info("x")
	if got := b.String(); strings.Count(got, "msg=x") != 2 || !strings.HasPrefix(got, "time=") {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		text string
		want slog.Level
		ok   bool
	}{{"debug", slog.LevelDebug, true}, {"WARN", slog.LevelWarn, true}, {"info+2", 2, true}, {"loud", 0, false}, {"", 0, false}} {
		if got, err := ParseLevel(c.text); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %v, %v", c.text, got, err)
		}
	}
}
