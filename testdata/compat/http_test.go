package compat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tapstack/testdata/compat/world"
)

// httpBytes is how much each bulk request moves.
const httpBytes = 2 << 20

// crowd is how many ask at the same time.
const crowd = 40

// site is a web server on the link's server, and a browser on its client.
type site struct {
	*http.Client
	url   string
	conns atomic.Int64 // the server has ever had

	// No request for /crowd is answered before so many are there.
	crowd    atomic.Int64
	complete chan struct{}

	hung chan error // what ended each request for /hang
}

// serve starts a site. The protocol is "HTTP/1.1", in the clear, or
// "HTTP/2.0" over TLS.
func serve(t *testing.T, l *world.Link, protocol string) *site {
	t.Helper()
	s := &site{hung: make(chan error, 1), complete: make(chan struct{})}
	srv := httptest.NewUnstartedServer(s.handler())
	_ = srv.Listener.Close() // a kernel's socket
	srv.Listener = l.Listen(t)
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	if protocol == "HTTP/2.0" {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	s.url, s.Client = srv.URL, srv.Client()
	tr := s.Transport.(*http.Transport)
	tr.DialContext = l.Client.DialContext
	tr.MaxIdleConnsPerHost = 100
	if tr.TLSClientConfig != nil {
		tr.TLSClientConfig.ServerName = "example.com" // what httptest's certificate is for
	}
	return s
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /digest", func(w http.ResponseWriter, r *http.Request) {
		d, err := world.Digest(r.Body)
		if err != nil {
			d = err.Error()
		}
		_, _ = io.WriteString(w, d)
	})
	mux.HandleFunc("GET /noise", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.FormValue("n"), 10, 64)
		w.Header().Set("Trailer", "Digest")
		_, _ = io.Copy(w, world.Noise(n))
		w.Header().Set("Digest", world.NoiseDigest(n))
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex() // HTTP/2 is, and says that it cannot be told
		_ = c.Flush()
		for in := bufio.NewScanner(r.Body); in.Scan(); _ = c.Flush() {
			_, _ = fmt.Fprintln(w, in.Text())
		}
	})
	mux.HandleFunc("GET /hang", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		s.hung <- r.Context().Err()
	})
	mux.HandleFunc("GET /crowd", func(w http.ResponseWriter, r *http.Request) {
		if s.crowd.Add(1) == crowd {
			close(s.complete)
		}
		<-s.complete
	})
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, "hello over", r.Proto)
	})
	mux.HandleFunc("GET /hijack", func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(c, rw)
	})
	return mux
}

// answer is a response whose body is closed with the test. (As a field, not as
// itself, so that the linter does not ask its users to close it.)
type answer struct{ *http.Response }

// do sends a request, with headers in pairs.
func (s *site) do(ctx context.Context, t *testing.T, method, path string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return answer{resp}
}

func TestHTTP(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol[5:], func(t *testing.T) {
			world.Each(t, func(t *testing.T, l *world.Link) {
				s := serve(t, l, protocol)
				t.Run("hello", func(t *testing.T) {
					resp := s.do(world.Within(t), t, "GET", "/hello", nil)
					got, err := io.ReadAll(resp.Body)
					if want := "hello over " + protocol + "\n"; string(got) != want || resp.Proto != protocol || err != nil {
						t.Errorf("%q over %s, %v; want %q", got, resp.Proto, err, want)
					}
				})
				t.Run("bulk", s.bulk)
				t.Run("streaming", s.streaming)
				t.Run("cancelled", s.cancelled)
				t.Run("crowd", func(t *testing.T) { s.keepAlive(t, protocol) })
				if protocol == "HTTP/1.1" {
					t.Run("hijacked", s.hijacked)
				}
			})
		})
	}
}

// bulk uploads and downloads at the same time.
func (s *site) bulk(t *testing.T) {
	up := make(chan bool)
	go func() {
		defer close(up)
		req, _ := http.NewRequestWithContext(world.Within(t), http.MethodPost, s.url+"/digest", world.Noise(httpBytes))
		resp, err := s.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != world.NoiseDigest(httpBytes) || err != nil {
			t.Errorf("the server has %s, %v", got, err)
		}
	}()
	resp := s.do(world.Within(t), t, "GET", fmt.Sprint("/noise?n=", httpBytes), nil)
	world.WantNoise(t, resp.Body, httpBytes)
	if got, want := resp.Trailer.Get("Digest"), world.NoiseDigest(httpBytes); got != want {
		t.Errorf("trailer says %q, want %q", got, want)
	}
	<-up
}

// streaming sends each line of a body only when the one before has come back.
func (s *site) streaming(t *testing.T) {
	body, lines := io.Pipe()
	resp := s.do(world.Within(t), t, "POST", "/echo", body)
	back := bufio.NewReader(resp.Body)
	for i := range 50 {
		line := strings.Repeat("line ", i*10) + "\n"
		if _, err := io.WriteString(lines, line); err != nil {
			t.Fatal(err)
		}
		if got, err := back.ReadString('\n'); got != line || err != nil {
			t.Fatalf("line %d came back as %q, %v", i, got, err)
		}
	}
	_ = lines.Close()
	if rest, err := io.ReadAll(back); len(rest) != 0 || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// cancelled gives up in the middle of a response: both sides are told.
func (s *site) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(world.Within(t))
	resp := s.do(ctx, t, "GET", "/hang", nil)
	cancel()
	if n, err := io.Copy(io.Discard, resp.Body); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("client: %d bytes, %v", n, err)
	}
	select {
	case err := <-s.hung:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("server: %v", err)
		}
	case <-world.Within(t).Done():
		t.Error("the server has not been told")
	}
}

// keepAlive has many at once ask, and ask again: over HTTP/1.1 each on a
// connection that it finds again, over HTTP/2 all on one.
func (s *site) keepAlive(t *testing.T, protocol string) {
	const requests = 10
	s.CloseIdleConnections()
	s.do(world.Within(t), t, "GET", "/hello", nil).Body.Close() // settles what HTTP/2 is spoken on
	before := s.conns.Load()
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() {
			for i := range requests {
				path := "/hello"
				if i == 0 {
					path = "/crowd"
				}
				req, _ := http.NewRequestWithContext(world.Within(t), http.MethodGet, s.url+path, nil)
				resp, err := s.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Error(resp.Status, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	all.Wait()
	most := int64(0)
	if protocol == "HTTP/1.1" {
		// The transport may dial beside waiting for one that is coming free.
		most = 2 * crowd
	}
	if got := s.conns.Load() - before; got > most {
		t.Errorf("%d requests took %d connections", crowd*requests, got)
	}
}

// hijacked takes the connection from the server, which aborts its own read of
// it by a deadline in the past, and closes it in halves.
func (s *site) hijacked(t *testing.T) {
	resp := s.do(world.Within(t), t, "GET", "/hijack", nil, "Connection", "Upgrade", "Upgrade", "echo")
	rw := resp.Body.(io.ReadWriteCloser)
	go func() {
		_, _ = io.Copy(rw, world.Noise(1<<20))
		_ = rw.(interface{ CloseWrite() error }).CloseWrite()
	}()
	world.WantNoise(t, rw, 1<<20)
}
