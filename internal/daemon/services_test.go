package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// TestServices asks every service, from a stack and over both families. The
// same checks run from the kernel's side in TestRun.
func TestServices(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	n := &network{(&socketapi.Dialer{Stack: client}).DialContext, services.Addrs()}
	t.Run("IPv4", func(t *testing.T) { checkServices(t, n, ours4.Addr()) })
	t.Run("IPv6", func(t *testing.T) { checkServices(t, n, ours6.Addr()) })
}

func checkServices(t *testing.T, n *network, addr netip.Addr) {
	t.Run("echo", func(t *testing.T) { checkEcho(t, n.connect(t, "tcp", "echo", addr).(halfCloser)) })
	t.Run("echo UDP", func(t *testing.T) { checkEchoUDP(t, n.connect(t, "udp", "echo", addr)) })
	t.Run("discard", func(t *testing.T) { checkDiscard(t, n.connect(t, "tcp", "discard", addr).(halfCloser)) })
	t.Run("chargen", func(t *testing.T) { checkChargen(t, n.connect(t, "tcp", "chargen", addr).(halfCloser)) })
	t.Run("http", func(t *testing.T) { checkHTTP(t, n, addr) })
}

// checkEcho writes while it reads, then a FIN.
func checkEcho(t *testing.T, c halfCloser) {
	sent := pattern[:1000]
	go func() {
		for range 1000 {
			if _, err := c.Write(sent); err != nil {
				return // the reader sees it
			}
		}
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.Repeat(sent, 1000)) {
		t.Errorf("got %d bytes back that are not what was sent", len(got))
	}
}

func checkEchoUDP(t *testing.T, c net.Conn) {
	for _, text := range []string{"hello", "", strings.Repeat("long ", 280), "bye"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 2000)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) != text {
			t.Errorf("got %q back for %q", buf[:n], text)
		}
	}
}

// checkDiscard demands that everything is taken and nothing comes back but an
// EOF for an EOF.
func checkDiscard(t *testing.T, c halfCloser) {
	for range 10 {
		if _, err := c.Write(pattern); err != nil {
			t.Fatal(err)
		}
	}
	checkEOF(t, c)
}

// checkChargen reads some, closes its half, and reads to the end.
func checkChargen(t *testing.T, c halfCloser) {
	const some = 1 << 20
	head := make([]byte, some)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("thrown away")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	tail, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	got := append(head, tail...)
	want := bytes.Repeat(pattern, len(got)/len(pattern)+1)[:len(got)]
	if !bytes.Equal(got, want) {
		t.Error("not the pattern of RFC 864")
	}
	if first := ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefg\r\n!\"#"; !strings.HasPrefix(string(got), first) {
		t.Errorf("begins with %q, RFC 864 with %q", got[:80], first)
	}
}

func checkHTTP(t *testing.T, n *network, addr netip.Addr) {
	tr := &http.Transport{DialContext: n.dial}
	defer tr.CloseIdleConnections()
	web := &http.Client{Transport: tr}
	base := "http://" + at(t, n.addrs, "tcp", "http", addr)
	type answer struct {
		status int
		sum    string
		body   []byte
	}
	get := func(path string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(within(t), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{resp.StatusCode, resp.Trailer.Get("X-SHA256"), body}
	}

	page := get("/")
	if text := string(page.body); page.status != http.StatusOK || !strings.Contains(text, addr.String()) || !strings.Contains(text, "chargen") || !strings.Contains(text, "by the kernel") {
		t.Errorf("%d, page:\n%s", page.status, text)
	}

	var st stack.Stats
	if a := get("/stats"); a.status != http.StatusOK || json.Unmarshal(a.body, &st) != nil || st.TCP.Established == 0 {
		t.Errorf("%d, stats:\n%s", a.status, a.body)
	}

	const size = 500_001
	first := get(fmt.Sprintf("/bytes?n=%d&seed=1", size))
	if sum := sha256.Sum256(first.body); len(first.body) != size || first.sum != hex.EncodeToString(sum[:]) {
		t.Errorf("%d bytes, trailer %q, want %d and %x", len(first.body), first.sum, size, sum)
	}
	if again := get(fmt.Sprintf("/bytes?n=%d&seed=1", size)); !bytes.Equal(first.body, again.body) {
		t.Error("the same seed gave other bytes")
	}
	if other := get(fmt.Sprintf("/bytes?n=%d&seed=2", size)); bytes.Equal(first.body, other.body) {
		t.Error("another seed gave the same bytes")
	}
	for path, want := range map[string]int{
		"/bytes?n=0":          http.StatusOK,
		"/bytes":              http.StatusBadRequest,
		"/bytes?n=-1":         http.StatusBadRequest,
		"/bytes?n=1&seed=x":   http.StatusBadRequest,
		"/bytes?n=9e99":       http.StatusBadRequest,
		"/favicon.ico":        http.StatusNotFound,
		"/../../etc/passwd":   http.StatusNotFound,
		"/stats/../bytes?n=1": http.StatusOK,
	} {
		if a := get(path); a.status != want {
			t.Errorf("%s: %d, want %d: %s", path, a.status, want, a.body)
		}
	}
}

func TestEchoesDoNotAnswerEachOther(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	to := at(t, services.Addrs(), "udp", "echo", ours4.Addr())
	_, port, _ := net.SplitHostPort(to)
	dial := func(local string) net.Conn {
		d := &socketapi.Dialer{Stack: client}
		if local != "" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local))
		}
		c, err := d.DialContext(within(t), "udp4", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	twin, other := dial(client4.Addr().String()+":"+port), dial("")
	if _, err := twin.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	checkEchoUDP(t, other) // answered after the twin's datagram was handled
	if err := twin.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := twin.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("echo answered its own port: %d bytes, %v", n, err)
	}
}

func TestStartServicesRefuses(t *testing.T) {
	_, ours := pair(t)
	l, err := socketapi.Listen(ours, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := socketapi.ListenUDP(ours, "udp", ":70")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for _, c := range []struct {
		cfg   ServicesConfig
		want  string
		errno error
	}{
		{ServicesConfig{Echo: ":7", HTTP: ":80"}, `http: TCP port of ":80" is in use: choose another`, syscall.EADDRINUSE},
		{ServicesConfig{Echo: ":70"}, `echo: UDP port of ":70" is in use: choose another`, syscall.EADDRINUSE},
		{ServicesConfig{Discard: "192.0.2.9:9"}, `discard: "192.0.2.9:9" is not at an address of this stack`, syscall.EADDRNOTAVAIL},
	} {
		// Twice: what the first had opened is closed again.
		for range 2 {
			_, err := StartServices(ours, c.cfg)
			if err == nil {
				t.Fatalf("%+v: no error", c.cfg)
			}
			if !strings.HasPrefix(err.Error(), c.want) || !errors.Is(err, c.errno) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		}
	}
	none, err := StartServices(ours, ServicesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := none.Shutdown(context.Background()); err != nil {
		t.Errorf("no services: Shutdown: %v", err)
	}
}
