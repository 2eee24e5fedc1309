package control

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"tapstack/internal/daemon/api"
)

// serveSockets writes the list as it goes: with ten thousand of them it is
// megabytes.
func serveSockets(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.SocketQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	// Checked by the first of them, or with none of them when it ends.
	b := bufio.NewWriterSize(w, 64<<10)
	line := []byte{'['}
	begin := func() {
		s.hurry(w)
		w.Header().Set("Content-Type", "application/json")
	}
	begun := false
	err := s.backend.Sockets(&q, func(one *api.Socket) error {
		if !begun {
			begun = true
			begin()
		}
		_, gone := b.Write(append(one.AppendJSON(line), '\n'))
		line = append(line[:0], ',')
		return gone
	})
	if err != nil {
		if begun {
			return nil // a client that has gone is no failure
		}
		return err
	}
	if !begun {
		begin()
		_ = b.WriteByte('[')
	}
	_, _ = b.WriteString("]\n")
	_ = b.Flush() // fails only when the client has gone
	return nil
}

// serveWatchSockets sends what passes the sockets again and again.
func serveWatchSockets(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.SocketWatchQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	const least = 50 * time.Millisecond // with ten thousand sockets each look takes ten
	if q.Interval == 0 {
		q.Interval = time.Second
	}
	if q.Interval < least {
		return api.Errorf(http.StatusBadRequest, "parameter \"interval\": at least %v", least)
	}
	return lines(s, w, r, func(ctx context.Context, send func(*api.SocketWatch) error) error {
		return s.backend.WatchSockets(ctx, &q, send)
	})
}
