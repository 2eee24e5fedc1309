package compat

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"tapstack/testdata/compat/world"
)

// nginxConf wants a directory, two addresses to listen on, certificate and
// key. It makes one process: what there is to see is its sockets.
const nginxConf = `
daemon off;
user root; # a user namespace has no other
master_process off;
error_log stderr notice;
pid %[1]s/pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path       %[1]s/proxy;
	fastcgi_temp_path     %[1]s/fastcgi;
	uwsgi_temp_path       %[1]s/uwsgi;
	scgi_temp_path        %[1]s/scgi;
	server {
		listen %[2]s;
		listen %[3]s ssl http2;
		ssl_certificate     %[4]s;
		ssl_certificate_key %[5]s;
		root %[1]s;
		client_max_body_size 0;
		dav_methods PUT;
	}
}
`

// TestNginx has our HTTP client ask nginx.
func TestNginx(t *testing.T) {
	nginx := world.Tool(t, "nginx", "nginx")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		// The server is the kernel's here.
		l.Server, l.Client = l.Client, l.Server
		cert, dir := world.NewCert(t), t.TempDir()
		host := l.Server.Addr().String()
		inTheClear, secure := net.JoinHostPort(host, "80"), net.JoinHostPort(host, "443")
		conf := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, inTheClear, secure, cert.CertFile, cert.KeyFile), 0o600); err != nil {
			t.Fatal(err)
		}
		// It says who it is when its sockets are there.
		l.Start(t, "nginx/", nginx, "-e", "stderr", "-p", dir, "-c", conf)

		for _, c := range []struct{ protocol, url string }{
			{"HTTP/1.1", "http://" + inTheClear},
			{"HTTP/2.0", "https://" + secure},
		} {
			t.Run(c.protocol[5:], func(t *testing.T) {
				tr := &http.Transport{
					DialContext:         l.Client.DialContext,
					TLSClientConfig:     cert.Client.Clone(),
					ForceAttemptHTTP2:   true,
					MaxIdleConnsPerHost: 100,
				}
				defer tr.CloseIdleConnections()
				nginxCase(t, &browser{http.Client{Transport: tr}, c.protocol, c.url})
			})
		}
	})
}

// browser is a client of one site.
type browser struct {
	http.Client
	protocol, url string
}

// ask returns the whole answer to a request, which must have the status.
func (b *browser) ask(t *testing.T, method, path string, body io.Reader, status int, header ...string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(world.Within(t), method, b.url+path, body)
	if err != nil {
		t.Error(err)
		return nil
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if body != nil {
		req.ContentLength = fileBytes // nginx takes no PUT without
	}
	resp, err := b.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if resp.StatusCode != status || resp.Proto != b.protocol || err != nil {
		t.Errorf("%s %s: %s over %s, %v; want %d over %s", method, path, resp.Status, resp.Proto, err, status, b.protocol)
	}
	return got
}

// nginxCase uploads a file, downloads it and a part of it, and asks from many
// goroutines at once.
func nginxCase(t *testing.T, b *browser) {
	path := "/" + b.protocol[5:] + ".noise"
	b.ask(t, "PUT", path, world.Noise(fileBytes), http.StatusCreated)
	got := b.ask(t, "GET", path, nil, http.StatusOK)
	world.WantNoise(t, bytes.NewReader(got), fileBytes)
	if part := b.ask(t, "GET", path, nil, http.StatusPartialContent, "Range", "bytes=1000-1999"); !bytes.Equal(part, got[1000:2000]) {
		t.Errorf("range: %d bytes", len(part))
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for i := range 20 {
				span := fmt.Sprintf("bytes=%d-%d", i*100, i*100+9)
				if part := b.ask(t, "GET", path, nil, http.StatusPartialContent, "Range", span); !bytes.Equal(part, got[i*100:i*100+10]) {
					t.Errorf("%s: %q", span, part)
				}
			}
		})
	}
	all.Wait()
}
