package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/socketapi"
)

// TestFiles: what begins with a dot is not there, by any name; a directory's
// names are told only if they are to be, and never those.
func TestFiles(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"plain.txt": "plain", ".secret": "s3cret", ".git/config": "s3cret", "dir/page.txt": "page", "dir/.htpasswd": "s3cret",
		"home/index.html": "home", "dir/..x": "s3cret",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	client, ours := pair(t)
	services := start(t, ours)
	d := &socketapi.Dialer{Stack: client}
	at := at(t, services.Addrs(), "tcp", "http", ours4.Addr())
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, at)
	}}}
	t.Cleanup(web.CloseIdleConnections)
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://x"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	for _, list := range []bool{false, true} {
		if err := services.SetRoot(root, list); err != nil {
			t.Fatal(err)
		}
		listed := http.StatusForbidden
		if list {
			listed = http.StatusOK
		}
		for path, want := range map[string]int{
			"/plain.txt": 200, "/dir/page.txt": 200, "/home/": 200, "/": listed, "/dir/": listed,
			"/.secret": 404, "/.git/": 404, "/.git/config": 404, "/dir/.htpasswd": 404, "/dir/..x": 404,
			"/%2esecret": 404, "/dir/%2ehtpasswd": 404, "/nosuch": 404,
		} {
			status, body := get(path)
			if status != want || strings.Contains(body, "s3cret") || strings.Contains(body, ".git") || strings.Contains(body, "htpasswd") {
				t.Errorf("list %v: %s: %d %q, want %d", list, path, status, body, want)
			}
			if want == 200 && path == "/dir/" && !strings.Contains(body, "page.txt") {
				t.Errorf("%s does not list page.txt: %q", path, body)
			}
		}
	}
}
