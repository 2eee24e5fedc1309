package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

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
http-list = true
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
