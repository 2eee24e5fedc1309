package daemon

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestScrapersAreFew: who connects to the metrics again and again has to wait,
// and does not take the daemon's descriptors.
func TestScrapersAreFew(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := metricsServer{log: slog.New(slog.DiscardHandler), handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })}
	at, err := addrPortOf(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	m.start(l, at)
	defer m.stop()
	answer := func(c net.Conn, wait time.Duration) error {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	ask := func() net.Conn {
		c := dialHost(t, l.Addr().String())
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var first net.Conn
	for range maxScrapers {
		c := ask()
		if err := answer(c, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		first = c
	}
	late := ask()
	if err := answer(late, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one too many: %v, want to wait", err)
	}
	first.Close()
	if err := answer(late, 20*time.Second); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}
