package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/stack"
	"tapstack/tap"
)

// A private is a namespace with a TAP, and a stack on it. Its kernel is on both
// sides of a service: programs use its loopback, and the kernel's end of the
// TAP is the host in the stack's network that there is.
//
//	program -- 127.0.0.1 -- [service] -- stack 10.1.0.2 -- TAP -- 10.1.0.1 kernel
//	program -- 10.1.0.1 -- TAP -- 10.1.0.2 stack -- [service] -- 127.0.0.1
type private struct {
	*netns.NS
	kernel, stack Network
}

var (
	tapHost = netip.MustParsePrefix("10.1.0.1/24")
	tapOurs = netip.MustParsePrefix("10.1.0.2/24")
)

func newPrivate(t testing.TB) *private {
	t.Helper()
	ns := netnstest.Need(t)
	var dev tap.Device
	if err := ns.Do(func() (err error) { dev, err = tap.Open(&tap.Config{Host: []netip.Prefix{tapHost}}); return err }); err != nil {
		netnstest.Skip(t, err)
	}
	return privateOn(t, ns, dev, nil)
}

func privateOn(t testing.TB, ns *netns.NS, dev tap.Device, cfg *stack.Config) *private {
	return &private{
		NS: ns,
		kernel: Network{
			DialContext: ns.DialContext,
			Listen: func(_ context.Context, network, address string) (net.Listener, error) {
				return ns.Listen(network, address)
			},
			ListenPacket: func(_ context.Context, network, address string) (net.PacketConn, error) {
				return ns.ListenPacket(network, address)
			},
		},
		stack: Stack(host(t, dev, cfg, tapOurs), zone{"target.example": tapHost.Addr()}),
	}
}

// in are the options of a service that programs reach on loopback and that dials
// from the stack, out of one on the stack that dials on the kernel's loopback.
func (p *private) in() Options {
	return Options{Name: "in", Listen: p.kernel, Address: "127.0.0.1:0", Dial: p.stack}
}

func (p *private) out() Options {
	return Options{Name: "out", Listen: p.stack, Address: "10.1.0.2:0", Dial: p.kernel}
}

// program finds a program, or skips the test by its name; with
// TAPSTACK_REQUIRE_TOOLS=1 it fails it.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err := exec.LookPath(filepath.Join("/usr/sbin", name)); err == nil {
			return path
		}
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatalf("TAPSTACK_REQUIRE_TOOLS=1, but: %v", err)
		}
		t.Skip(err)
	}
	return path
}

// run runs a program in the namespace and returns what it printed.
func (p *private) run(t testing.TB, stdin io.Reader, name string, args ...string) (out string, err error) {
	t.Helper()
	cmd := exec.CommandContext(within(t), program(t, name), args...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var b []byte
	if runErr := p.Do(func() error { b, err = cmd.Output(); return nil }); runErr != nil {
		t.Fatal(runErr)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return string(b), err
}

// succeed runs a program that has to exit with 0.
func (p *private) succeed(t testing.TB, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	out, err := p.run(t, stdin, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// daemon starts a program in the namespace, waits until it has printed ready,
// and kills it when the test is over.
func (p *private) daemon(t testing.TB, ready, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = p.Do(cmd.Start)
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		t.Fatal(err)
	}
	up := make(chan string, 1)
	var reading = make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-reading
		_ = r.Close()
	})
	go func() {
		defer close(reading)
		var seen strings.Builder
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			fmt.Fprintln(&seen, lines.Text())
			if strings.Contains(lines.Text(), ready) {
				up <- ""
				break
			}
		}
		select {
		case up <- seen.String():
		default:
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	if said := <-up; said != "" {
		t.Fatalf("%s has ended:\n%s", name, said)
	}
}

// freePort is a TCP port of the kernel's that nobody uses.
func (p *private) freePort(t testing.TB) string {
	t.Helper()
	l, err := p.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// web serves one page at the kernel's end of the TAP.
func (p *private) web(t testing.TB) string {
	t.Helper()
	l, err := p.Listen("tcp", "10.1.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "for %s from %.9s", r.Host, r.RemoteAddr)
	})
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: page}}
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// echo echoes TCP and UDP, on one port, at an address of the kernel's.
func (p *private) echo(t testing.TB, addr string) string {
	t.Helper()
	w := &world{target: p.kernel, targetAddr: [2]netip.Addr{netip.MustParseAddr(addr)}}
	at := w.echoServer(t, 0)
	pc, err := p.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(buf[:n], from)
		}
	}()
	return at
}

// TestCurl is curl through every proxy, to the stack's network: by address and
// by a name that only that network knows.
func TestCurl(t *testing.T) {
	p := newPrivate(t)
	port := p.web(t)
	users := Users(map[string]string{"ann": "secret"})
	open := socks5(t, p.in(), nil).Addr().String()
	asking := socks5(t, p.in(), users).Addr().String()
	plain := httpProxy(t, p.in(), nil).Addr().String()
	httpAsking := httpProxy(t, p.in(), users).Addr().String()
	for _, tc := range []struct {
		name string
		args []string
		ok   bool
	}{
		{"socks5", []string{"--proxy", "socks5://" + open, "http://10.1.0.1:" + port}, true},
		{"socks5h", []string{"--proxy", "socks5h://" + open, "http://target.example:" + port}, true},
		{"password", []string{"--proxy", "socks5h://ann:secret@" + asking, "http://target.example:" + port}, true},
		{"wrong password", []string{"--proxy", "socks5h://ann:guess@" + asking, "http://target.example:" + port}, false},
		{"no password", []string{"--proxy", "socks5h://" + asking, "http://target.example:" + port}, false},
		{"unknown name", []string{"--proxy", "socks5h://" + open, "http://nobody.example:" + port}, false},
		{"http", []string{"--proxy", "http://" + plain, "http://target.example:" + port}, true},
		{"CONNECT", []string{"--proxytunnel", "--proxy", "http://" + plain, "http://target.example:" + port}, true},
		{"http, password", []string{"--proxy-user", "ann:secret", "--proxy", "http://" + httpAsking, "http://target.example:" + port}, true},
		{"http, no password", []string{"--proxy", "http://" + httpAsking, "http://target.example:" + port}, false},
		{"CONNECT, password", []string{"--proxytunnel", "--proxy-user", "ann:secret", "--proxy", "http://" + httpAsking, "http://target.example:" + port}, true},
		{"CONNECT, no password", []string{"--proxytunnel", "--proxy", "http://" + httpAsking, "http://target.example:" + port}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := p.run(t, nil, "curl", append([]string{"--silent", "--show-error", "--fail", "--noproxy", ""}, tc.args...)...)
			if (err == nil) != tc.ok || tc.ok && !strings.HasSuffix(out, "from 10.1.0.2:") {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// TestSocat has socat send and half-close, through forwards both ways.
func TestSocat(t *testing.T) {
	p := newPrivate(t)
	data := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(data)
	for name, c := range map[string]struct {
		o    Options
		echo string
	}{"in": {p.in(), p.echo(t, "10.1.0.1")}, "out": {p.out(), p.echo(t, "127.0.0.1")}} {
		t.Run(name, func(t *testing.T) {
			s, err := ForwardTCP(TCPForward{Options: c.o, Target: c.echo})
			ending(t, s, err)
			// -t: how long the other direction may last after a FIN.
			if out := p.succeed(t, bytes.NewReader(data), "socat", "-t30", "-", "TCP:"+s.Addr().String()); out != string(data) {
				t.Errorf("%d of %d bytes, or others", len(out), len(data))
			}
			wantCount(t, s, "an end in peace", ended(CauseClosed))
			u := forwardUDP(t, c.o, c.echo)
			if out := p.succeed(t, strings.NewReader("datagram"), "socat", "-t1", "-", "UDP:"+u.Addr().String()); out != "datagram" {
				t.Errorf("%q", out)
			}
		})
	}
	t.Run("CONNECT", func(t *testing.T) {
		host, port, _ := net.SplitHostPort(httpProxy(t, p.in(), nil).Addr().String())
		to := "PROXY:" + host + ":" + strings.Replace(p.echo(t, "10.1.0.1"), "10.1.0.1", "target.example", 1) + ",proxyport=" + port
		if out := p.succeed(t, bytes.NewReader(data), "socat", "-t30", "-", to); out != string(data) {
			t.Errorf("%d of %d bytes, or others", len(out), len(data))
		}
	})
}

// TestNcat is a third client of SOCKS 5.
func TestNcat(t *testing.T) {
	p := newPrivate(t)
	s := socks5(t, p.in(), Users(map[string]string{"ann": "secret"}))
	host, port, _ := net.SplitHostPort(p.echo(t, "10.1.0.1"))
	out := p.succeed(t, strings.NewReader("hello"), "ncat", "--proxy", s.Addr().String(), "--proxy-type", "socks5", "--proxy-auth", "ann:secret", host, port)
	if out != "hello" {
		t.Errorf("%q", out)
	}
}

// TestIperf3 runs iperf3 both ways through a forward: a control connection and
// four for data.
func TestIperf3(t *testing.T) {
	p := newPrivate(t)
	port := p.freePort(t)
	s, err := ForwardTCP(TCPForward{Options: p.in(), Target: "10.1.0.1:" + port})
	ending(t, s, err)
	host, at, _ := net.SplitHostPort(s.Addr().String())
	p.daemon(t, "Server listening", "iperf3", "-s", "-B", "10.1.0.1", "-p", port, "--forceflush")
	for _, more := range [][]string{nil, {"-R"}} {
		out := p.succeed(t, nil, "iperf3", append([]string{"-c", host, "-p", at, "-n", "16M", "-P", "4"}, more...)...)
		if !strings.Contains(out, "iperf Done") {
			t.Error(out)
		}
	}
	// Sending, iperf3 ends when it has written: what is on its way then it resets.
	if got := s.Snapshot(); got.BytesIn < 1<<20 || got.BytesOut < 16<<20 || got.Opened != 10 {
		t.Errorf("%+v", got)
	}
}

// TestRedis runs redis-benchmark through a forward: many connections, small
// messages.
func TestRedis(t *testing.T) {
	p := newPrivate(t)
	port := p.freePort(t)
	s, err := ForwardTCP(TCPForward{Options: p.in(), Target: "10.1.0.1:" + port})
	ending(t, s, err)
	p.daemon(t, "eady to accept connections", "redis-server", "--bind", "10.1.0.1", "--port", port, "--protected-mode", "no", "--save", "", "--dir", t.TempDir())
	host, at, _ := net.SplitHostPort(s.Addr().String())
	p.succeed(t, nil, "redis-cli", "-h", host, "-p", at, "set", "key", "value")
	if out := p.succeed(t, nil, "redis-cli", "-h", host, "-p", at, "get", "key"); strings.TrimSpace(out) != "value" {
		t.Errorf("%q", out)
	}
	out := p.succeed(t, nil, "redis-benchmark", "-h", host, "-p", at, "-t", "set,get", "-n", "2000", "-c", "50", "-q")
	if strings.Count(out, "requests per second") != 2 {
		t.Error(out)
	}
	wantCount(t, s, "all closed", func(s Snapshot) bool { return s.Active == 0 && s.Opened > 100 })
}
