package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"tapstack/internal/daemon/api"
)

// serveWatch sends the counters again and again.
func serveWatch(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.WatchQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	const least = 10 * time.Millisecond
	if q.Interval == 0 {
		q.Interval = time.Second
	}
	if q.Interval < least {
		return api.Errorf(http.StatusBadRequest, "parameter \"interval\": at least %v", least)
	}
	if err := streaming(w); err != nil {
		return err
	}
	send := s.sender(w)
	tick := time.NewTicker(q.Interval)
	defer tick.Stop()
	for send(s.backend.Stats()) == nil {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		}
	}
	return nil
}

func serveEvents(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.EventQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	return lines(s, w, r, func(ctx context.Context, send func(*api.Event) error) error {
		return s.backend.Events(ctx, &q, send)
	})
}

func servePing(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.PingQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	return lines(s, w, r, func(ctx context.Context, send func(*api.PingReply) error) error {
		return s.backend.Ping(ctx, &q, send)
	})
}

// lines answers with what run sends, a line each, beginning with the head as
// soon as run has found nothing to refuse: with the first line, or at the
// latest when it ends.
func lines[T any](s *Server, w http.ResponseWriter, r *http.Request, run func(context.Context, func(*T) error) error) error {
	if err := streaming(w); err != nil {
		return err
	}
	var send func(any) error
	begin := func() {
		if send == nil {
			send = s.sender(w)
		}
	}
	err := run(r.Context(), func(v *T) error {
		begin()
		if v == nil { // nothing yet, but it has begun
			s.hurry(w)
			return http.NewResponseController(w).Flush()
		}
		return send(v)
	})
	switch {
	case r.Context().Err() != nil:
		return nil //nolint:nilerr // over, or nobody there to tell
	case err != nil && send == nil:
		return err
	case err != nil:
		// What was sent looks like a whole answer; only a connection that
		// breaks says that it is none.
		panic(http.ErrAbortHandler)
	}
	begin()
	return nil
}

// serveCapture sends a pcapng file. Who reads it slowly loses frames, counted
// in the file; the stack goes on.
func serveCapture(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.CaptureQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	if err := streaming(w); err != nil {
		return err
	}
	f := &flushing{w: w, rc: http.NewResponseController(w)}
	err := s.backend.Capture(r.Context(), &q, f)
	if err != nil && f.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

// serveConnect turns the connection into frames. net/http knows nothing of it
// from then on.
func serveConnect(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.ConnectQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	if r.Header.Get("Upgrade") != api.Protocol {
		w.Header().Set("Upgrade", api.Protocol)
		w.Header().Set("Connection", "Upgrade")
		return api.Errorf(http.StatusUpgradeRequired, "this needs a connection that is upgraded to %s", api.Protocol)
	}
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	defer c.Close()
	// Closing is what ends reads and writes when the server does.
	defer context.AfterFunc(s.ctx, func() { c.Close() })()
	// To a client that has gone already this says nothing; Connect will see.
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+api.Protocol+"\r\n\r\n")
	rw := struct {
		io.Reader
		io.WriteCloser
	}{buffered.Reader, c}
	if err := s.backend.Connect(s.ctx, &q, rw); err != nil {
		s.log.Debug("control: connect", "err", err)
	}
	return nil
}
