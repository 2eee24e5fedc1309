package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapstack/internal/daemon/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readAll(r io.Reader) ([]api.Socket, error) {
	out := []api.Socket{}
	err := readSockets(r, func(s *api.Socket) error {
		out = append(out, *s)
		return nil
	})
	return out, err
}

// TestReadSockets: in whatever form the list is written.
func TestReadSockets(t *testing.T) {
	a, b := api.Socket{Protocol: "tcp", Local: "*:1"}, api.Socket{Protocol: "udp", Local: "*:2", RecvQ: 5}
	one, two := string(a.AppendJSON(nil)), string(b.AppendJSON(nil))
	for _, c := range []struct {
		text string
		want []api.Socket
	}{
		{"[]", []api.Socket{}}, {"[]\n", []api.Socket{}}, {"[\n]\n", []api.Socket{}},
		{"[" + one + "\n," + two + "\n]\n", []api.Socket{a, b}},
		{"[" + one + "," + two + "]", []api.Socket{a, b}},
		{"[" + one + ",\n" + two + "]\n", []api.Socket{a, b}},
		{"[\n" + one + ",\n" + two + "\n]\n", []api.Socket{a, b}},
		{"[" + one + "\n," + two + "]", []api.Socket{a, b}},
		{"[" + one + "\n" + two + "]", nil},
		{"[" + one + "\n," + two + "\n", nil}, {"[" + one, nil}, {"", nil}, {"5", nil}, {"[" + one + "\n,5]", nil},
	} {
		got, err := readAll(strings.NewReader(c.text))
		if (err != nil) != (c.want == nil) || err == nil && len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v", c.text, got, err)
		}
	}
}

// TestNoDaemon: nobody there, nobody listening, and one that talks nonsense.
func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	c := New(path)
	defer c.Close()
	if _, err := c.Info(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := c.Info(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("a stale socket: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	answers := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfoo", "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nfoo",
		"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n{", "nonsense\r\n\r\n", "",
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, answer := range answers {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufioReader(conn))
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	for _, answer := range answers {
		if _, err := c.Info(t.Context()); err == nil || errors.Is(err, ErrNoDaemon) {
			t.Errorf("%q: %v", answer, err)
		}
	}
	ln.Close()
	<-done
}

func TestValues(t *testing.T) {
	q := &api.SocketQuery{TCP: true, States: []string{"A", "B"}}
	if got := Values(q).Encode(); got != "state=A&state=B&tcp=true" {
		t.Error(got)
	}
	if got := Values(&api.PingQuery{To: "::1", Interval: 1500 * time.Millisecond, Count: 3}).Encode(); got != "count=3&interval=1.5s&to=%3A%3A1" {
		t.Error(got)
	}
	if got := fmt.Sprint(Values(nil)); got != "map[]" {
		t.Error(got)
	}
}

func bufioReader(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }
