package events

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tapstack/internal/daemon/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLevel: the log's own level decides, before the handler's inside.
func TestLevel(t *testing.T) {
	var l Log
	var b bytes.Buffer
	log := slog.New(l.Handler(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Debug("one")
	log.Info("two")
	l.SetLevel(slog.LevelDebug)
	log.Debug("three")
	l.SetLevel(slog.LevelError)
	log.Warn("four")
	if got := b.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") || !strings.Contains(got, "three") || strings.Contains(got, "four") {
		t.Error(got)
	}
	if l.Level() != slog.LevelError {
		t.Error(l.Level())
	}
}

// TestSlowListener: the log does not wait for it; it is told what it lost, and
// hears again.
func TestSlowListener(t *testing.T) {
	var l Log
	log := slog.New(l.Handler(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began, goOn := make(chan struct{}), make(chan struct{})
	events := make(chan api.Event, 3*backlog)
	heard := make(chan error, 1)
	go func() {
		heard <- l.Listen(ctx, slog.LevelDebug, func(e *api.Event) error {
			if e == nil {
				close(began)
				<-goOn
				return nil
			}
			events <- *e
			return nil
		})
	}()
	<-began
	for range backlog + 10 {
		log.Info("many")
	}
	close(goOn)
	for range backlog {
		if e := <-events; e.Lost != 0 || e.Message != "many" {
			t.Fatalf("%+v", e)
		}
	}
	log.Info("after")
	if e := <-events; e.Lost != 10 || e.Message != "after" {
		t.Errorf("%+v, want 10 lost", e)
	}
	cancel()
	if err := <-heard; err != nil {
		t.Error(err)
	}
	if l.listened() {
		t.Error("still listened to")
	}
}
