package control

import (
	"bufio"
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
	list, err := s.backend.Sockets(&q)
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	b := bufio.NewWriterSize(w, 64<<10)
	_ = b.WriteByte('[')
	var line []byte
	for i := range list {
		line = line[:0]
		if i > 0 {
			line = append(line, ',')
		}
		line = append(list[i].AppendJSON(line), '\n')
		if _, gone := b.Write(line); gone != nil {
			break
		}
	}
	_, _ = b.WriteString("]\n")
	_ = b.Flush()
	return nil //nolint:nilerr // a client that has gone is no failure
}
