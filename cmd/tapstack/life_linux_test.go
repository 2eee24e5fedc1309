package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager: a socket to which the daemon tells how it goes.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(openDir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn, path}
}

// hears waits for a message with the line, and demands that no other than
// watchdog's come before.
func (m *manager) hears(line string) {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", line, err)
		}
		got := string(b[:n])
		if strings.HasPrefix(got, line) {
			return
		}
		if got != "WATCHDOG=1" {
			m.t.Fatalf("heard %q, want %s", got, line)
		}
	}
}

// TestServiceManager: from readiness to the end, with a watchdog that is kept
// quiet, all after the drop.
func TestServiceManager(t *testing.T) {
	ns := needTAP(t)
	m := newManager(t)
	p := prepare(t, ns, "-c", config(t, controlledConfig))
	p.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=100000")
	p.begin(t)
	m.hears("READY=1\nSTATUS=1 NIC, 4 listeners")
	p.isDropped(t)
	for range 3 {
		m.hears("WATCHDOG=1")
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.hears("RELOADING=1\nMONOTONIC_USEC=")
	m.hears("READY=1")
	p.wants(t, 0, "reload")
	m.hears("RELOADING=1")
	m.hears("READY=1")
	m.hears("WATCHDOG=1")
	if log := p.stopped(t); strings.Contains(log, "not well") || strings.Contains(log, "manager can not") {
		t.Errorf("stderr:\n%s", log)
	}
	m.hears("STOPPING=1")

	p = prepare(t, ns, "-c", config(t, controlledConfig))
	p.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path+".gone")
	var out []byte
	var stderr bytes.Buffer
	p.Stderr = &stderr
	if err := ns.Do(func() (err error) { out, err = p.Output(); return err }); err == nil {
		t.Error("it started")
	}
	checkRefusal(t, p.ProcessState.ExitCode(), string(out), stderr.String(), "NOTIFY_SOCKET: ")
}

// TestDrain: who does not close in the time that there is, is reset.
func TestDrain(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig+"[process]\ndrain = '200ms'\n"))
	stays, goes := p.dial(t, "192.168.77.2:7"), p.dial(t, "192.168.77.2:7")
	ping(t, stays)
	ping(t, goes)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{goes, stays} {
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d, %v, want EOF", n, err)
		}
	}
	if c, err := ns.DialContext(within(t), "tcp", "192.168.77.2:7"); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	goes.Close()
	if err := p.Wait(); err != nil {
		t.Errorf("%v, want status 0", err)
	}
	if log := p.stderr.String(); !strings.Contains(log, "limit=200ms") || !strings.Contains(log, "1 connections were reset") {
		t.Errorf("stderr:\n%s", log)
	}
	// The reset came before the TAP was gone.
	if _, err := stays.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing: %v, want ECONNRESET", err)
	}
}

// over is a client of the control socket that speaks plain HTTP.
func (p *process) over() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.socket)
		},
	}}
}

func get(t testing.TB, c *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
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

// needTool is a program's path; one that is not installed skips the test, or with
// TAPSTACK_REQUIRE_TOOLS=1 fails it.
func needTool(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatalf("TAPSTACK_REQUIRE_TOOLS=1, but %s is not installed (package %s)", name, pkg)
		}
		t.Skipf("%s is not installed (package %s)", name, pkg)
	}
	return path
}

// TestMetrics: promtool has nothing to say against them, and they say what has
// happened.
func TestMetrics(t *testing.T) {
	promtool := needTool(t, "promtool", "prometheus")
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig), "--metrics", "127.0.0.1:9477")
	c := p.dial(t, "192.168.77.2:7")
	for range 3 {
		ping(t, c)
	}
	c.Close()
	held := p.dial(t, "192.168.77.2:9")
	udp, err := ns.DialContext(within(t), "udp", "192.168.77.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_ = udp.SetDeadline(time.Now().Add(20 * time.Second))
	ping(t, udp)
	if _, err := held.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	host := &http.Client{Transport: &http.Transport{DialContext: ns.DialContext, DisableKeepAlives: true}}
	want := []string{
		`tapstack_build_info{`, `tapstack_service_connections{service="discard"} 1`,
		`tapstack_service_connections_total{service="echo"} 1`, `tapstack_service_connections{service="echo"} 0`,
		`tapstack_service_received_bytes_total{service="echo"} 16`, `tapstack_service_sent_bytes_total{service="echo"} 16`,
		`tapstack_tcp_rtt_seconds_count{service="echo"} 1`,
		`tapstack_tcp_buffer_wait_seconds_count{part="unread",service="echo"} 1`,
		`tapstack_tcp_buffer_wait_seconds_count{part="unacked",service="echo"} 1`,
		`tapstack_receive_drops_total{cause="tcp_checksum"} 0`, `nic="tap0"`, `process_resident_memory_bytes`, `tapstack_tcp_passive_opens_total 2`,
	}
	var text string
	var missing []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		// Until the first connection is over: TCP has to be done with it.
		_, text = get(t, host, "http://127.0.0.1:9477/metrics")
		missing = nil
		for _, line := range want {
			if !strings.Contains(text, line) {
				missing = append(missing, line)
			}
		}
		if missing == nil {
			break
		}
	}
	if missing != nil {
		t.Errorf("missing: %q in\n%s", missing, text)
	}
	status, control := get(t, p.over(), "http://localhost/v1/metrics")
	if status != http.StatusOK {
		t.Errorf("control socket: %d %s", status, control)
	}
	for _, text := range []string{text, control} {
		cmd := exec.CommandContext(within(t), promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}
	for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, _ := get(t, host, "http://127.0.0.1:9477"+path); status != http.StatusNotFound {
			t.Errorf("%s on loopback: %d", path, status)
		}
	}
	if c, err := ns.DialContext(within(t), "tcp", "192.168.77.1:9477"); err == nil {
		c.Close()
		t.Error("metrics are not on loopback alone")
	}
}

// TestProfiles: all of pprof's, on the control socket, after the drop, in a form
// that go tool pprof reads.
func TestProfiles(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	p.isDropped(t)
	c := p.over()
	for path, want := range map[string]string{
		"": "goroutine", "goroutine?debug=2": "daemon.(*instance).serve", "heap?gc=1&debug=1": "heap profile",
		"allocs?debug=1": "heap profile", "mutex?debug=1": "mutex", "block?debug=1": "contention", "threadcreate?debug=1": "threadcreate",
		"cmdline": program, "symbol": "num_symbols",
	} {
		if status, body := get(t, c, "http://localhost/debug/pprof/"+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, no %q in\n%.300s", path, status, want, body)
		}
	}
	for _, path := range []string{"profile?seconds=1", "heap", "trace?seconds=1"} {
		status, body := get(t, c, "http://localhost/debug/pprof/"+path)
		if status != http.StatusOK || len(body) < 100 {
			t.Errorf("%s: %d, %d bytes: %.200q", path, status, len(body), body)
			continue
		}
		if path == "trace?seconds=1" {
			if !strings.HasPrefix(body, "go 1.") {
				t.Errorf("%s: %.20q", path, body)
			}
			continue
		}
		file := filepath.Join(t.TempDir(), "profile")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(within(t), "go", "tool", "pprof", "-top", program, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

// TestLog: its format, and its level from the start and changed live.
func TestLog(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig), "--log-format", "json", "--log-level", "warn")
	p.wants(t, 0, "set", "log-level=warn")
	p.wants(t, 0, "set log-level=debug")
	p.echoes(t, "192.168.77.2:7")
	log := p.stopped(t)
	if strings.Contains(log, "privileges dropped") || !strings.Contains(log, `"msg":"ending: closing connections"`) || !strings.Contains(log, `"level":"DEBUG","msg":"connection served"`) {
		t.Errorf("stderr:\n%s", log)
	}
}
