package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
)

// TestProxyPrograms: curl and socat, through forwards and proxies of a daemon
// that has dropped its privileges.
func TestProxyPrograms(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"forward.in", "127.0.0.1:8080 -> target:9000", "in the stack -> 127.0.0.1:9000", "socks5"} {
		if !strings.Contains(w.text, text) {
			t.Errorf("it does not say %q:\n%s", text, w.text)
		}
	}
	for _, c := range []struct {
		name, proxy, url string
		want             string // "" is a failure
	}{
		{"socks5 by address", "socks5://127.0.0.1:1080", "http://192.168.77.1:9001", "for 192.168.77.1:9001 from 192.168.77.2"},
		{"socks5 by a name of the table", "socks5h://127.0.0.1:1080", "http://target:9001", "for target:9001 from 192.168.77.2"},
		{"socks5 by a name of the server", "socks5h://127.0.0.1:1080", "http://dns.example:9001", "for dns.example:9001 from 192.168.77.2"},
		{"socks5 by no name", "socks5h://127.0.0.1:1080", "http://nobody.example:9001", ""},
		{"socks5 to nobody", "socks5h://127.0.0.1:1080", "http://target:1", ""},
		{"http", "http://ann:secret@127.0.0.1:3128", "http://dns.example:9001", "for dns.example:9001 from 192.168.77.2"},
		{"http without a password", "http://127.0.0.1:3128", "http://dns.example:9001", ""},
	} {
		out, err := w.tool(t, nil, "curl", "--silent", "--show-error", "--fail", "--noproxy", "", "--proxy", c.proxy, c.url)
		if (err == nil) != (c.want != "") || !strings.HasPrefix(out, c.want) {
			t.Errorf("%s: %q, %v", c.name, out, err)
		}
	}
	if out, err := w.tool(t, nil, "curl", "--silent", "--fail", "--proxytunnel", "--proxy", "http://ann:secret@127.0.0.1:3128", "http://target:9001"); err != nil || !strings.HasPrefix(out, "for target") {
		t.Errorf("CONNECT: %q, %v", out, err)
	}
	data := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	// -t: how long the other direction may last after a FIN.
	for _, at := range []string{"TCP:127.0.0.1:8080", "TCP:192.168.77.2:2222", "SOCKS5-CONNECT:127.0.0.1:1080:192.168.77.1:9000"} {
		out, err := w.tool(t, bytes.NewReader(data), "socat", "-t20", "-", at)
		if at[0] == 'S' && err != nil && strings.Contains(err.Error(), "unknown device/address") {
			continue // an old socat
		}
		if err != nil || out != string(data) {
			t.Errorf("%s: %d of %d bytes, or others: %v", at, len(out), len(data), err)
		}
	}
	if out, err := w.tool(t, strings.NewReader("datagram"), "socat", "-t1", "-", "UDP:127.0.0.1:8080"); err != nil || out != "datagram" {
		t.Errorf("UDP: %q, %v", out, err)
	}
	w.wants(t, 0, "services", "forward.in", "forward.dgram", "socks5", "http-proxy", "daytime", "refused 1 (name)")
	w.wants(t, 0, "nstat Service*.forward.in", "ServiceInBytes.forward.in", "3145728")
	var list []api.Service
	if out := w.wants(t, 0, "services --json"); json.Unmarshal([]byte(out), &list) != nil || len(list) != 10 {
		t.Errorf("services --json: %d\n%s", len(list), out)
	}
	w.wants(t, 0, "ping -c 1 dns.example", "PING dns.example (192.168.77.1) 56(84)", "from 192.168.77.1")
	w.wants(t, 1, "ping -c 1 nobody.example", "no such host")
	w.wants(t, 0, "nc -z target 9000", "9000 open")
	if status, out, stderr := w.ask(t, strings.NewReader("by name"), "nc", "dns.example", "9000"); status != 0 || out != "by name" {
		t.Errorf("nc: %d %q %s", status, out, stderr)
	}
	w.wants(t, 0, "check -c "+w.file, "good: 1 NIC, 3 services, 5 forwards and proxies")
}

// TestReloadWhileTransferring: a forward comes, changes and goes, by signal and
// by command, while bytes run through another and through the one that goes.
func TestReloadWhileTransferring(t *testing.T) {
	w := newWorld(t)
	type transfer struct {
		conn net.Conn
		done chan error
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	begin := func(at string) transfer {
		tr := transfer{w.dial(t, at), make(chan error, 1)}
		block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		go func() {
			for ctx.Err() == nil {
				if _, err := tr.conn.Write(block); err != nil {
					tr.done <- err
					return
				}
			}
			_ = tr.conn.(*net.TCPConn).CloseWrite()
		}()
		go func() {
			r := bufio.NewReaderSize(tr.conn, 1<<20)
			got := make([]byte, len(block))
			for {
				if _, err := io.ReadFull(r, got); err == io.EOF {
					tr.done <- nil
					return
				} else if err != nil {
					tr.done <- err
					return
				}
				if !bytes.Equal(got, block) {
					tr.done <- fmt.Errorf("not what was sent")
					return
				}
			}
		}()
		return tr
	}
	transfers := map[string]transfer{"in": begin("127.0.0.1:8080"), "out": begin("192.168.77.2:2222")}

	without := strings.Replace(proxiesConfig, "[forward.out]\nfrom   = \"stack\"\nlisten = \":2222\"\nto     = \"127.0.0.1:9000\"\n", "", 1)
	changed := strings.Replace(without, "to     = \"target:9000\"", "to     = \"target:9001\"", 1) + "[forward.new]\nlisten = '127.0.0.1:8081'\nto = '192.168.77.1:9000'\n"
	w.write(t, changed)
	out := w.wants(t, 0, "reload", "changed  forward.out (removed)", "changed  forward.in\n", "changed  forward.new (added)")
	if strings.Contains(out, "socks5") || strings.Contains(out, "dgram") {
		t.Errorf("what is as it was:\n%s", out)
	}
	if resp, err := w.tool(t, nil, "curl", "--silent", "--fail", "http://127.0.0.1:8080/"); err != nil || !strings.HasPrefix(resp, "for 127.0.0.1:8080 from 192.168.77.2") {
		t.Errorf("the changed forward: %q, %v", resp, err)
	}
	ping(t, w.dial(t, "127.0.0.1:8081"))
	if c, err := w.ns.DialContext(within(t), "tcp", "192.168.77.2:2222"); err == nil {
		t.Error("the removed forward listens")
		c.Close()
	}
	w.wants(t, 0, "services", "retired")

	// A file that is wrong, and one that cannot be carried out by a process
	// without privileges: all is as it was.
	for _, bad := range []struct{ add, want string }{
		{"[forward.low]\nlisten = '127.0.0.1:81'\nto = 'target:9000'\n", "needs CAP_NET_BIND_SERVICE, which this process has given up"},
		{"[forward.taken]\nlisten = '127.0.0.1:9000'\nto = 'target:9000'\n", "in use"},
		{"[forward.new2]\nlistn = 5\n", `did you mean "listen"?`},
	} {
		w.write(t, changed+bad.add)
		w.wants(t, 1, "reload", bad.want)
		ping(t, w.dial(t, "127.0.0.1:8081"))
	}

	// By signal, and back.
	w.write(t, proxiesConfig)
	if err := w.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for limit := within(t); ; {
		c, err := w.ns.DialContext(limit, "tcp", "192.168.77.2:2222")
		if err == nil {
			c.Close()
			break
		}
		if limit.Err() != nil {
			t.Fatalf("SIGHUP: %v", err)
		}
	}
	stop()
	for name, tr := range transfers {
		if err := <-tr.done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFiles: what is below the directory is served, and nothing else.
func TestFiles(t *testing.T) {
	w := newWorld(t)
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(w.root, "index.html"), "the index")
	write(filepath.Join(w.root, "sub", "a.txt"), strings.Repeat("text ", 100_000))
	write(filepath.Join(filepath.Dir(w.root), "secret"), "secret")
	for link, to := range map[string]string{"out": "../secret", "abs": "/etc/hostname", "in": "sub/a.txt", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(w.root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(w.root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: w.ns.DialContext}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]string{
		"/": "the index", "/sub/a.txt": "text text", "/in": "text text", "/sub/": "a.txt",
		"/status": "tapstack: a TCP/IP stack", "/stats": "{", "/bytes?n=5": "",
		"/out": "!", "/abs": "!", "/up/secret": "!", "/up/": "!", "/fifo": "!", "/nosuch": "!",
		"/../secret": "!", "/%2e%2e/secret": "!", "/sub/..%2f..%2fsecret": "!", "/..%00/secret": "!",
	} {
		req, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://192.168.77.2"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if bad := resp.StatusCode != http.StatusOK; bad != (want == "!") || strings.Contains(string(body), "secret") || !bad && !strings.HasPrefix(strings.TrimPrefix(string(body), "<!doctype html>"), want) && !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.60q", path, resp.StatusCode, body)
		}
	}
	c := w.dial(t, "192.168.77.2:13")
	if line, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(line), "\r\n") {
		t.Errorf("daytime: %q, %v", line, err)
	} else if at, err := time.Parse("Monday, January 2, 2006 15:04:05-MST\r\n", string(line)); err != nil {
		t.Errorf("daytime: %q, %v, %v", line, at, err)
	}
	if out, err := w.tool(t, strings.NewReader("?"), "socat", "-t1", "-", "UDP:192.168.77.2:13"); err != nil || !strings.Contains(out, ", 20") {
		t.Errorf("daytime over UDP: %q, %v", out, err)
	}
}
