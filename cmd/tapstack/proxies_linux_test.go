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
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tapstack/internal/daemon/api"
	"tapstack/internal/netns"
)

// The kernel's end of the TAP, 192.168.77.1, is the host in the stack's network
// that there is; the namespace's loopback is this machine.
const proxiesConfig = `
[nic.tap0]
address = ["192.168.77.2/24"]
host    = ["192.168.77.1/24"]
[services]
echo = ":7"
daytime = ":13"
http = ":80"
http-root = "ROOT"
[forward.in]
listen = "127.0.0.1:8080"
to     = "target:9000"
[forward.dgram]
protocol = "udp"
listen = "127.0.0.1:8080"
to     = "192.168.77.1:9000"
[forward.out]
from   = "stack"
listen = ":2222"
to     = "127.0.0.1:9000"
[socks5]
listen = "127.0.0.1:1080"
[http-proxy]
listen = ":3128"
users  = { ann = "secret" }
[dns]
servers = ["192.168.77.1"]
[hosts]
target = "192.168.77.1"
`

// world is a daemon with proxies, in a namespace with an echo over TCP and UDP
// at port 9000, a page at 9001 and a name server in the stack's network.
type world struct {
	*process
	file, root string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ns := needTAP(t)
	// Not t.TempDir: what an unprivileged process is to read cannot be below a
	// directory of root's own.
	root, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	w := &world{root: filepath.Join(root, "www"), file: filepath.Join(root, "etc", "tapstack.toml")}
	for _, dir := range []string{root, filepath.Dir(w.file), w.root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, proxiesConfig)
	w.process = start(t, ns, "-c", w.file)
	echo(t, ns)
	page(t, ns)
	nameServer(t, ns)
	return w
}

func (w *world) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.file, []byte(strings.ReplaceAll(text, "ROOT", w.root)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// echo echoes TCP and UDP at port 9000 of every address of the kernel's.
func echo(t *testing.T, ns *netns.NS) {
	t.Helper()
	l, err := ns.Listen("tcp", ":9000")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	var work sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			work.Go(func() {
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
				c.Close()
			})
		}
	})
	for _, at := range []string{"192.168.77.1:9000", "127.0.0.1:9000"} {
		answer(t, ns, at, func(p []byte) []byte { return p })
	}
}

// answer answers datagrams.
func answer(t *testing.T, ns *netns.NS, at string, reply func([]byte) []byte) {
	t.Helper()
	pc, err := ns.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(reply(buf[:n]), from)
		}
	}()
}

// page says who asks.
func page(t *testing.T, ns *netns.NS) {
	t.Helper()
	l, err := ns.Listen("tcp", "192.168.77.1:9001")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "for %s from %.12s", r.Host, r.RemoteAddr)
	})}}
	srv.Start()
	t.Cleanup(srv.Close)
}

// nameServer knows dns.example, and nobody else.
func nameServer(t *testing.T, ns *netns.NS) {
	answer(t, ns, "192.168.77.1:53", func(p []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(p) != nil || len(m.Questions) != 1 {
			return nil
		}
		q := m.Questions[0]
		m.Response = true
		if q.Name.String() != "dns.example." {
			m.RCode = dnsmessage.RCodeNameError
		} else if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 168, 77, 1}},
			}}
		}
		b, _ := m.Pack()
		return b
	})
}

// tool runs a program in the namespace; one that is not installed skips the
// test, or with TAPSTACK_REQUIRE_TOOLS=1 fails it.
func (w *world) tool(t *testing.T, stdin io.Reader, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.CommandContext(within(t), path, args...)
	cmd.Stdin = stdin
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	var failed error
	if err := w.ns.Do(func() error { failed = cmd.Run(); return nil }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		failed = fmt.Errorf("%s %v: %w: %s", name, args, failed, &stderr)
	}
	return out.String(), failed
}

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
	w.wants(t, 0, "check -c "+w.file, "good: 1 NICs, 3 services, 5 forwards and proxies")
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
