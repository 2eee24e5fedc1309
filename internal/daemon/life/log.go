package life

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// LogConfig is how a daemon's log looks.
type LogConfig struct {
	// Format is "text", which "" is too, or "json".
	Format string

	// Level is the lowest that is written. It may be set at any time; nil is
	// slog.LevelInfo for good.
	Level slog.Leveler

	// NoTime leaves the time out: the journal has its own.
	NoTime bool

	// Every is how often one message is written at most; what is left out is
	// counted (see [Limit]). 0 is ten seconds, less than 0 writes all.
	Every time.Duration

	// Clock is the machine's if nil.
	Clock Clock
}

// defaultEvery keeps a reader up to date, and a broken peer from filling disks.
const defaultEvery = 10 * time.Second

// NewLog makes a log on w. Close the Limiter, which may be nil, at the end: it
// writes the counts that are still due.
func NewLog(w io.Writer, cfg LogConfig) (*slog.Logger, *Limiter, error) {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.NoTime {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	var h slog.Handler
	switch cfg.Format {
	case "", "text":
		h = slog.NewTextHandler(w, opts)
	case "json":
		h = slog.NewJSONHandler(w, opts)
	default:
		return nil, nil, fmt.Errorf("log format %q: choose text or json", cfg.Format)
	}
	every := cfg.Every
	if every == 0 {
		every = defaultEvery
	}
	if every < 0 {
		return slog.New(h), nil, nil
	}
	l := Limit(h, every, cfg.Clock)
	return slog.New(l), l, nil
}

// ParseLevel reads debug, info, warn, error, and what slog writes besides
// (INFO+2).
func ParseLevel(text string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("log level %q: choose debug, info, warn or error", text)
	}
	return l, nil
}

// ToJournal reports whether f leads to the systemd journal, which stamps the
// time itself: JOURNAL_STREAM names its device and inode (systemd.exec(5)). The
// variable alone says nothing: children inherit it whose output goes elsewhere.
func ToJournal(f *os.File, getenv func(string) string) bool {
	name := getenv("JOURNAL_STREAM")
	info, err := f.Stat()
	return name != "" && err == nil && streamOf(info) == name
}
