package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
)

// TestTooMany: connections and streams beyond the limit are refused, and who
// may only look leaves room for who may change things.
func TestTooMany(t *testing.T) {
	f := newFake()
	var mu sync.Mutex
	who := nobody()
	s := serve(t, f, Access{Owner: owner, Others: true}, func() Credentials { mu.Lock(); defer mu.Unlock(); return who })
	var held []net.Conn
	refused := 0
	for range 3 * maxLookConns {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n") // or it is closed already
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		line, err := bufio.NewReader(c).ReadString('\n')
		switch {
		case err == nil && strings.Contains(line, " 200 "):
			held = append(held, c)
		case err == nil && strings.Contains(line, " 503 "), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			refused++
		default:
			t.Fatalf("%q, %v", line, err)
		}
	}
	if len(held) != maxLookConns || refused != 2*maxLookConns {
		t.Errorf("%d held, %d refused", len(held), refused)
	}
	mu.Lock()
	who = root()
	mu.Unlock()
	if status, answer := s.ask(t, "GET", "/v1/info", ""); status != 200 {
		t.Errorf("root: %d %s", status, answer)
	}
	mu.Lock()
	who = nobody()
	mu.Unlock()
	for _, c := range held {
		c.Close()
	}
	// Room again, as soon as the server has seen them go.
	for deadline := time.Now().Add(20 * time.Second); ; {
		status, answer := s.ask(t, "GET", "/v1/info", "")
		if status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("for ever full: %d %s", status, answer)
		}
	}
}

// TestTooBusy: however many connections say nothing, one more is told why it is
// not served, and so is each that had to go for it.
func TestTooBusy(t *testing.T) {
	s := serve(t, newFake(), Access{Owner: owner}, root)
	var silent []net.Conn
	for range maxConns + 2*maxTurned {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		silent = append(silent, c)
	}
	for range 3 {
		status, answer := s.ask(t, "GET", "/v1/info", "")
		if status != http.StatusServiceUnavailable || !strings.Contains(string(answer), "too busy") {
			t.Errorf("%d %s", status, answer)
		}
	}
	for _, c := range silent[maxConns : maxConns+maxTurned] {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "too busy") {
			t.Fatalf("%d %s, %v", resp.StatusCode, body, err)
		}
	}
	for _, c := range silent {
		c.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if status, _ := s.ask(t, "GET", "/v1/info", ""); status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("for ever busy")
		}
	}
	s.turned.mu.Lock()
	defer s.turned.mu.Unlock()
	if n := len(s.turned.conns); n > maxTurned {
		t.Errorf("%d are turned away", n)
	}
}

// TestStreamsEnd: a stream ends when its client goes, which makes room for
// another; there are no more than there may be.
func TestStreamsEnd(t *testing.T) {
	f := newFake()
	s := serve(t, f, Access{Owner: owner, Others: true}, nobody)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := s.client(t)
	open := func() (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/v1/events", nil)
		if err != nil {
			return nil, err
		}
		return c.Do(req)
	}
	for range maxLookStreams {
		resp, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil || !strings.Contains(line, `"message":"hello"`) {
			t.Fatalf("%q, %v", line, err)
		}
	}
	resp, err := open()
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("one too many: %v, %v", resp, err)
	}
	resp.Body.Close()
	cancel()
	for deadline := time.Now().Add(20 * time.Second); ; {
		s.streams.mu.Lock()
		used := s.streams.used[accessLook]
		s.streams.mu.Unlock()
		if used == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are left", used)
		}
		<-time.After(time.Millisecond)
	}
}

// TestCloseEndsStreams: the serving's clean-up demands that Close is not held
// up by a stream, a stop or an upgraded connection.
func TestCloseEndsStreams(t *testing.T) {
	f := newFake()
	s := serve(t, f, Access{Owner: owner}, root)
	for _, path := range []string{"GET /v1/events", "GET /v1/stats/watch", "POST /v1/stop", "POST /v1/connect?network=tcp&address=x"} {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, api.Protocol)
		r := bufio.NewReader(c)
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") && !strings.Contains(line, " 101 ") {
			t.Fatalf("%s: %q, %v", path, line, err)
		}
	}
}

// TestMalformed sends what is no HTTP, or too much of it, or stops in the
// middle; the server answers others meanwhile.
func TestMalformed(t *testing.T) {
	s := serve(t, newFake(), Access{Owner: owner}, root)
	for _, text := range []string{
		"\x00\x01\x02\x03\r\n\r\n", "GET\r\n\r\n", "GET /v1/info HTTP/9.9\r\n\r\n",
		"GET /v1/info HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 2*maxHeader+8192) + "\r\n\r\n",
		"POST /v1/addresses HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{", // never the rest
		"POST /v1/addresses HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /v1/in", // never the rest
	} {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, text); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%.30q: %v", text, err)
		}
		if status, answer := s.ask(t, "GET", "/v1/info", ""); status != 200 {
			t.Errorf("beside %.30q: %d %s", text, status, answer)
		}
	}
}

// TestNobodyReads: whoever asks and asks and takes no answer is cut off, errors
// not excepted.
func TestNobodyReads(t *testing.T) {
	s := serveWithin(t, newFake(), Access{Owner: owner, Others: true}, nobody, 50*time.Millisecond)
	for _, path := range []string{"/v1/info", "/v1/nosuch", "/v1/openapi.json"} {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		many := []byte(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", 100))
		for err == nil {
			_, err = c.Write(many)
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a connection that was closed", path, err)
		}
	}
}

// TestEachAnswerHasItsTime: the time that one answer has does not cut off those
// that come later on the same connection.
func TestEachAnswerHasItsTime(t *testing.T) {
	const patience = time.Second
	s := serveWithin(t, newFake(), Access{Owner: owner}, root, patience)
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	ask := func(path string, want int) {
		t.Helper()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
	}
	ask("/v1/info", 200)
	for begun := time.Now(); time.Since(begun) < patience+patience/10; {
		ask("/v1/nosuch", 404)
	}
	ask("/v1/capture", 200)
}
