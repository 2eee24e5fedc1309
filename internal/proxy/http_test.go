package proxy

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"
)

func httpProxy(t testing.TB, o Options, auth Auth) *Service {
	t.Helper()
	s, err := HTTP(HTTPConfig{Options: o, Auth: auth})
	return ending(t, s, err)
}

// webServer serves f in the targets' network.
func (w *world) webServer(t testing.TB, f http.HandlerFunc) (address string) {
	t.Helper()
	l := w.listen(t, 0)
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	srv.Start()
	t.Cleanup(srv.Close)
	return l.Addr().String()
}

// browser uses a proxy as net/http does.
func (w *world) browser(t testing.TB, s *Service, user *url.Userinfo) *http.Client {
	tr := &http.Transport{
		DialContext: w.client.DialContext,
		Proxy:       http.ProxyURL(&url.URL{Scheme: "http", Host: s.Addr().String(), User: user}),
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// status reads the head of an answer, whose body, if it has one, is next.
func status(t testing.TB, r *bufio.Reader) (code int, header textproto.MIMEHeader) {
	t.Helper()
	head := textproto.NewReader(r)
	line, err := head.ReadLine()
	if err == nil {
		_, err = fmt.Sscanf(line, "HTTP/1.1 %d ", &code)
	}
	if err == nil {
		header, err = head.ReadMIMEHeader()
	}
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return code, header
}

// TestHTTPForward: requests in absolute form are passed on, with their bodies
// and headers but for those that are the proxy's.
func TestHTTPForward(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			at := w.webServer(t, func(out http.ResponseWriter, r *http.Request) {
				for _, name := range []string{"Proxy-Authorization", "Proxy-Connection"} {
					if v := r.Header.Get(name); v != "" {
						t.Errorf("%s: %s", name, v)
					}
				}
				if r.Header.Get("Via") != via || r.Header.Get("X-Forwarded-For") != "client's own" {
					t.Errorf("headers: %v", r.Header)
				}
				out.Header().Set("X-Host", r.Host)
				_ = http.NewResponseController(out).EnableFullDuplex() // answers while it reads
				_, _ = io.Copy(out, r.Body)
			})
			s := httpProxy(t, w.options(0), Users(map[string]string{"ann": "secret"}))
			web := w.browser(t, s, url.UserPassword("ann", "secret"))
			for range 3 {
				req, _ := http.NewRequestWithContext(within(t), http.MethodPost, "http://"+at+"/path", strings.NewReader(strings.Repeat("body ", 1000)))
				req.Header.Set("X-Forwarded-For", "client's own")
				resp, err := web.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || len(body) != 5000 || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Host") != at || resp.Header.Get("Via") != via {
					t.Errorf("%v: %d bytes, %v, %v", resp.Status, len(body), resp.Header, err)
				}
			}
			wantCount(t, s, "one connection", func(s Snapshot) bool { return s.Opened == 1 && s.BytesIn > 15_000 && s.BytesOut > 15_000 })
		})
	}
}

// TestHTTPConnect: a tunnel is a forward.
func TestHTTPConnect(t *testing.T) {
	for _, w := range worlds(t, nil) {
		for family := range 2 {
			t.Run(w.name, func(t *testing.T) {
				s := httpProxy(t, w.options(family), nil)
				c := w.dial(t, s)
				at := w.echoServer(t, family)
				// early comes with the request.
				if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nearly", at, at); err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(c)
				if code, header := status(t, r); code != http.StatusOK {
					t.Fatal(code, header)
				}
				if _, err := c.Write([]byte(" and late")); err != nil {
					t.Fatal(err)
				}
				_ = c.CloseWrite()
				if got, err := io.ReadAll(r); string(got) != "early and late" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				wantCount(t, s, "an end in peace", ended(CauseClosed))
			})
		}
	}
}

// TestHTTPConnectTLS: as a browser does it, by name.
func TestHTTPConnectTLS(t *testing.T) {
	w := stacks(t)
	l := w.listen(t, 0)
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(out, "over TLS")
	})}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s := httpProxy(t, w.options(0), nil)
	web := w.browser(t, s, nil)
	web.Transport.(*http.Transport).TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	web.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
	resp, err := web.Get("https://target.example:" + port)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "over TLS" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// TestHTTPErrors: what cannot be done is answered, and counted.
func TestHTTPErrors(t *testing.T) {
	w := stacks(t)
	w.far = blackhole(w.far, "192.0.2.77:80")
	closed := w.closedPort(t)
	o := w.options(0)
	o.Limits.Dial = 100 * time.Millisecond
	s := httpProxy(t, o, nil)
	for _, tc := range []struct {
		request string
		status  int
		cause   Cause
	}{
		{"CONNECT " + closed, 502, CauseRefused},
		{"CONNECT 198.51.100.1:80", 502, CauseUnreachable},
		{"CONNECT 192.0.2.77:80", 504, CauseTimeout},
		{"CONNECT nobody.example:80", 502, CauseName},
		{"CONNECT target.example", 400, CauseGarbage},
		{"CONNECT target.example:0", 400, CauseGarbage},
		{"CONNECT target.example:65536", 400, CauseGarbage},
		{"GET http://" + closed + "/", 502, CauseRefused},
		{"GET http://198.51.100.1/", 502, CauseUnreachable},
		{"GET http://192.0.2.77/", 504, CauseTimeout},
		{"GET http://nobody.example/", 502, CauseName},
		{"GET https://target.example/", 501, CauseUnsupported},
		{"GET ftp://target.example/", 501, CauseUnsupported},
		{"GET /", 400, CauseGarbage},
		{"OPTIONS *", 400, CauseGarbage},
	} {
		t.Run(tc.request, func(t *testing.T) {
			before := s.Snapshot().Denied[tc.cause]
			c := w.dial(t, s)
			if _, err := io.WriteString(c, tc.request+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tc.status || !strings.HasPrefix(string(b), "tapstack: "+string(tc.cause)) {
				t.Errorf("%s: %q", resp.Status, b)
			}
			if got := s.Snapshot().Denied[tc.cause]; got != before+1 {
				t.Errorf("%d counted, %d before", got, before)
			}
			_ = c.Close()
			wantCount(t, s, "an end", func(s Snapshot) bool { return s.Active == 0 })
		})
	}
}

func TestHTTPAuth(t *testing.T) {
	w := stacks(t)
	at := w.echoServer(t, 0)
	s := httpProxy(t, w.options(0), Users(map[string]string{"ann": "sec:ret"}))
	for header, want := range map[string]int{
		"": 407,
		"Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:sec:ret")): 200,
		"Proxy-Authorization: basic " + base64.StdEncoding.EncodeToString([]byte("ann:sec:ret")): 200,
		"Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:wrong")):   407,
		"Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann")):         407,
		"Proxy-Authorization: Basic !!!": 407,
		"Proxy-Authorization: Bearer x":  407,
		"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:sec:ret")): 407,
		"Proxy-Authorization: Basic " + strings.Repeat("A", 64<<10):                        431,
	} {
		c := w.dial(t, s)
		go func() { _, _ = fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", at, header) }()
		code, head := status(t, bufio.NewReader(c))
		if code != want {
			t.Errorf("%.60q: %d, want %d", header, code, want)
		}
		if want == 407 && head.Get("Proxy-Authenticate") == "" {
			t.Error("no Proxy-Authenticate")
		}
		_ = c.Close()
	}
}

// TestHTTPHostile: clients that send something else, or half of it, or nothing.
func TestHTTPHostile(t *testing.T) {
	for _, tc := range []struct {
		name, sends string
		half        bool
		cause       Cause
	}{
		{"nothing", "", false, CauseStalled},
		{"half a request", "GET http://x/ HTTP/1.1\r\n", false, CauseStalled},
		{"a FIN", "", true, CauseGone},
		{"SOCKS", "\x05\x01\x00\r\n\r\n", false, CauseGarbage},
		{"no HTTP", "hello\r\n\r\n", false, CauseGarbage},
		{"64 KiB of user name", "CONNECT x:1 HTTP/1.1\r\nProxy-Authorization: Basic " + strings.Repeat("dXNl", 16<<10) + "\r\n\r\n", false, CauseGarbage},
		{"zero bytes", strings.Repeat("\x00", 64<<10), false, CauseGarbage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := stacks(t)
			o := w.options(0)
			o.Limits.Handshake = 200 * time.Millisecond
			s := httpProxy(t, o, nil)
			c := w.dial(t, s)
			_, _ = io.WriteString(c, tc.sends)
			if tc.half {
				_ = c.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, c)
			wantCount(t, s, string(tc.cause), refused(tc.cause))
		})
	}
}

// TestHTTPShutdown: a request under way gets its answer, a kept connection is
// closed.
func TestHTTPShutdown(t *testing.T) {
	w := stacks(t)
	release := make(chan struct{})
	under := make(chan struct{})
	at := w.webServer(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(under)
			<-release
		}
		_, _ = io.WriteString(out, "answer")
	})
	s := httpProxy(t, w.options(0), nil)
	kept, slow := w.dial(t, s), w.dial(t, s)
	_, _ = fmt.Fprintf(kept, "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", at)
	if code, _ := status(t, bufio.NewReader(kept)); code != http.StatusOK {
		t.Fatal(code)
	}
	_, _ = fmt.Fprintf(slow, "GET http://%s/slow HTTP/1.1\r\nHost: x\r\n\r\n", at)
	<-under
	silent := w.dial(t, s)
	wantCount(t, s, "three", func(s Snapshot) bool { return s.Active == 3 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(within(t)) }()
	wantReset(t, silent)
	if _, err := io.Copy(io.Discard, kept); err != nil {
		t.Errorf("the kept connection: %v, want EOF", err)
	}
	_ = kept.Close()
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "answer" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	_ = slow.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHTTPAcceptPROXY: a header in front of HTTP.
func TestHTTPAcceptPROXY(t *testing.T) {
	w := stacks(t)
	at := w.webServer(t, func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "x") })
	o := w.options(0)
	o.AcceptPROXY = true
	s := httpProxy(t, o, nil)
	c := w.dial(t, s)
	_, _ = fmt.Fprintf(c, "PROXY TCP4 203.0.113.7 203.0.113.8 4711 80\r\nGET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", at)
	if code, _ := status(t, bufio.NewReader(c)); code != http.StatusOK {
		t.Fatal(code)
	}
	bad := w.dial(t, s)
	_, _ = fmt.Fprintf(bad, "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", at)
	wantReset(t, bad)
	wantCount(t, s, "garbage", func(s Snapshot) bool { return s.Refused[CauseGarbage] == 1 })
}

// TestHTTPLargeAnswer: what does not fit any buffer arrives whole.
func TestHTTPLargeAnswer(t *testing.T) {
	w := stacks(t)
	want := sha256.New()
	part := []byte(strings.Repeat("0123456789", 1000))
	at := w.webServer(t, func(out http.ResponseWriter, _ *http.Request) {
		for range 100 {
			_, _ = out.Write(part)
		}
	})
	for range 100 {
		_, _ = want.Write(part)
	}
	s := httpProxy(t, w.options(0), nil)
	resp, err := w.browser(t, s, nil).Get("http://" + at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := sha256.New()
	if n, err := io.Copy(got, resp.Body); err != nil || string(got.Sum(nil)) != string(want.Sum(nil)) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
