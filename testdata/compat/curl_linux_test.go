package compat

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"tapstack/testdata/compat/world"
)

// fileBytes is the length of the file that web servers serve.
const fileBytes = 3_000_000

// website serves a file of noise with ranges, and takes uploads, over plain
// HTTP/1.1 or, with a certificate, HTTP/2 and HTTP/1.1 over TLS. It returns
// its URL, which has no path.
func website(t *testing.T, l *world.Link, cert *world.Cert) string {
	t.Helper()
	file, err := io.ReadAll(world.Noise(fileBytes))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "noise", time.Time{}, bytes.NewReader(file))
	})
	mux.HandleFunc("GET /small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
	mux.HandleFunc("PUT /file", func(w http.ResponseWriter, r *http.Request) {
		d, err := world.Digest(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, d)
	})
	ln := l.Listen(t)
	srv := &http.Server{Handler: mux}
	served := make(chan error, 1)
	scheme := "http://"
	if cert == nil {
		go func() { served <- srv.Serve(ln) }()
	} else {
		scheme = "https://"
		srv.TLSConfig = cert.Server.Clone()
		go func() { served <- srv.ServeTLS(ln, "", "") }()
	}
	t.Cleanup(func() { _ = srv.Close(); <-served })
	return scheme + ln.Addr().String()
}

// TestCurl asks our web server.
func TestCurl(t *testing.T) {
	curl := world.Tool(t, "curl", "curl")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		cert := world.NewCert(t)
		inTheClear, secure := website(t, l, nil), website(t, l, cert)
		for _, c := range []struct {
			name, version string
			url           string
			args          []string
		}{
			{"1.1", "1.1", inTheClear, []string{"--http1.1"}},
			{"1.1 TLS", "1.1", secure, []string{"--http1.1", "--cacert", cert.CertFile}},
			{"2 TLS", "2", secure, []string{"--http2", "--cacert", cert.CertFile}},
		} {
			t.Run(c.name, func(t *testing.T) {
				run := func(args ...string) string {
					t.Helper()
					out, status := l.Run(t, nil, curl, append(append([]string{"-sS", "--fail", "--max-time", "60"}, c.args...), args...)...)
					if status != 0 {
						t.Errorf("curl %v: exit status %d", args, status)
					}
					return out
				}
				curlCase(t, run, c.url, c.version)
			})
		}
	})
}

// curlCase downloads, takes a range, uploads, and asks many times at once.
func curlCase(t *testing.T, run func(args ...string) string, url, version string) {
	dir := t.TempDir()
	got := filepath.Join(dir, "got")
	out := run("-o", got, "-w", "%{http_version} %{http_code} %{size_download}", url+"/file")
	if want := fmt.Sprint(version, " 200 ", fileBytes); out != want {
		t.Errorf("curl says %q, want %q", out, want)
	}
	wantFile(t, got, fileBytes)

	out = run("-r", "1000000-1999999", "-o", got, "-w", "%{http_code}", url+"/file")
	part, err := os.ReadFile(got)
	all, _ := io.ReadAll(world.Noise(fileBytes))
	if out != "206" || err != nil || sha256.Sum256(part) != sha256.Sum256(all[1_000_000:2_000_000]) {
		t.Errorf("range: status %s, %d bytes, %v", out, len(part), err)
	}

	sent := filepath.Join(dir, "sent")
	if err := os.WriteFile(sent, all, 0o600); err != nil {
		t.Fatal(err)
	}
	if out = run("-T", sent, url+"/file"); out != world.NoiseDigest(fileBytes) {
		t.Errorf("upload: the server has %s", out)
	}

	const times = 50
	out = run("--parallel", "--parallel-max", "20", "-w", "%{http_code}\n", "-o", filepath.Join(dir, "small#1"),
		fmt.Sprintf("%s/small?[1-%d]", url, times))
	if n := bytes.Count([]byte(out), []byte("200\n")); n != times {
		t.Errorf("%d answers of %d", n, times)
	}
	for i := range times {
		if b, err := os.ReadFile(filepath.Join(dir, "small"+strconv.Itoa(i+1))); string(b) != "small" || err != nil {
			t.Errorf("answer %d: %q, %v", i+1, b, err)
		}
	}
}

// wantFile wants n bytes of noise in a file.
func wantFile(t *testing.T, name string, n int64) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	world.WantNoise(t, f, n)
}

// TestWrk loads our web server for a second.
func TestWrk(t *testing.T) {
	wrk := world.Tool(t, "wrk", "wrk")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		out, status := l.Run(t, nil, wrk, "-t", "2", "-c", "50", "-d", "1s", website(t, l, nil)+"/small")
		m := regexp.MustCompile(`(?m)^ +(\d+) requests in`).FindStringSubmatch(out)
		if status != 0 || m == nil {
			t.Fatalf("exit status %d\n%s", status, out)
		}
		t.Logf("%s", out)
		if n, _ := strconv.Atoi(m[1]); n < 50 {
			t.Errorf("%d requests", n)
		}
		// Lines that are there only if there is something to say.
		if regexp.MustCompile(`Non-2xx|Socket errors`).MatchString(out) {
			t.Errorf("not everything went well:\n%s", out)
		}
	})
}
