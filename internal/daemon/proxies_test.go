package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// freePort is a TCP and UDP port of loopback that nobody uses.
func freePort(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err != nil {
			continue
		}
		pc.Close()
		return l.Addr().String()
	}
}

// echoTCP echoes connections, until each peer's FIN, on l.
func echoTCP(t testing.TB, l net.Listener, err error) string {
	t.Helper()
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
				// Without splice(2), whose pipes package net keeps for later.
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
				c.Close()
			})
		}
	})
	return l.Addr().String()
}

// peerEcho is an echo in the stack's network, hostEcho one on this machine.
func (c *controlled) peerEcho(t testing.TB) string {
	l, err := socketapi.Listen(c.peer, "tcp", client4.Addr().String()+":0")
	return echoTCP(t, l, err)
}

func hostEcho(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return echoTCP(t, l, err)
}

func dialHost(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func forwards(sections ...string) string { return plain + strings.Join(sections, "\n") }

func section(name string, lines ...string) string {
	return "[" + name + "]\n" + strings.Join(lines, "\n")
}

// service finds one in the API's list.
func (c *controlled) service(t testing.TB, name string, retired bool) *api.Service {
	t.Helper()
	list, err := c.api.Services(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Name == name && list[i].Retired == retired {
			return &list[i]
		}
	}
	return nil
}

// TestForwardsBothWays: bytes and half-closes through a forward each way, with
// the buffers that were asked for, in the list and the counters.
func TestForwardsBothWays(t *testing.T) {
	c := newControlled(t, plain)
	in, out := freePort(t), hostEcho(t)
	c.rewrite(t, forwards(
		section("forward.in", "listen = '"+in+"'", "to = '"+c.peerEcho(t)+"'", "rcvbuf = 70000", "sndbuf = 80000"),
		section("forward.out", "from = 'stack'", "listen = ':2222'", "to = '"+out+"'", "rcvbuf = 90000"),
	))
	if done, err := c.api.Reload(within(t)); err != nil || fmt.Sprint(done.Changed) != "[forward.in (added) forward.out (added)]" {
		t.Fatalf("%+v, %v", done, err)
	}
	d := socketapi.Dialer{Stack: c.peer, Timeout: 5 * time.Second}
	fromPeer, err := d.DialContext(within(t), "tcp", "192.0.2.2:2222")
	if err != nil {
		t.Fatal(err)
	}
	defer fromPeer.Close()
	_ = fromPeer.SetDeadline(time.Now().Add(30 * time.Second))
	for name, one := range map[string]struct {
		conn             net.Conn
		receive, send    int
		local, remoteEnd string
	}{
		"in":  {dialHost(t, in), 70000, 80000, "", client4.Addr().String()},
		"out": {fromPeer, 90000, 0, "192.0.2.2:2222", ""},
	} {
		ping(t, one.conn)
		list, err := c.api.Sockets(within(t), &api.SocketQuery{TCP: true, States: []string{"established"}, Memory: true})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(s api.Socket) bool {
			return one.local != "" && s.Local == one.local || one.remoteEnd != "" && strings.HasPrefix(s.Remote, one.remoteEnd+":") && s.Local != "192.0.2.2:2222"
		})
		if i < 0 || list[i].Receive.Size != one.receive || one.send != 0 && list[i].Send.Size != one.send {
			t.Errorf("%s: sockets %+v", name, list)
		}
		sent := bytes.Repeat([]byte("0123456789"), 50_000)
		go func() {
			_, _ = one.conn.Write(sent)
			_ = one.conn.(halfCloser).CloseWrite()
		}()
		if got, err := io.ReadAll(one.conn); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		s := c.service(t, name, false)
		if s == nil || s.Kind != "forward" || s.Opened != 1 || s.BytesIn != uint64(len(sent)+4) || s.BytesOut != s.BytesIn {
			t.Errorf("%s: %+v", name, s)
		}
	}
	st, err := c.api.Stats(within(t))
	if err != nil || !slices.ContainsFunc(st.Counters, func(n api.Counter) bool { return n.Name == "ServiceInBytes.forward.in" && n.Value == 500_004 }) {
		t.Errorf("%+v, %v", st, err)
	}
	if n := len(c.serviceCounts()); n < 4 {
		t.Errorf("%d services for metrics", n)
	}
	eventually(t, "the round trip times of both are observed", func() bool {
		w := httptest.NewRecorder()
		c.Metrics().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return strings.Contains(w.Body.String(), `tapstack_tcp_rtt_seconds_count{service="forward.in"} 1`) &&
			strings.Contains(w.Body.String(), `tapstack_tcp_rtt_seconds_count{service="forward.out"} 1`)
	})
}

// TestNames: what the API connects and pings to may have a name, and each way
// that one cannot be found has its own answer.
func TestNames(t *testing.T) {
	c := newControlled(t, forwards(section("hosts", "db = ['192.0.2.1', '2001:db8::1']", "four = '192.0.2.1'")))
	for name, want := range map[string]string{"db": "192.0.2.1", "DB.": "192.0.2.1", "nobody": "[dns] has no servers"} {
		var got []api.PingReply
		err := c.api.Ping(within(t), &api.PingQuery{To: name, Count: 1}, func(r *api.PingReply) error { got = append(got, *r); return nil })
		if text := fmt.Sprint(got, err); !strings.Contains(text, want) {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, q := range []api.PingQuery{{To: "db", Network: "ip6"}, {To: "four", Network: "ip6"}, {To: "192.0.2.1", Network: "ip6"}, {To: "db", Network: "tcp"}} {
		q.Count = 1
		var from string
		err := c.api.Ping(within(t), &q, func(r *api.PingReply) error { from = r.From; return nil })
		var e *api.Error
		if good := q.To == "db" && q.Network == "ip6"; good && from != "2001:db8::1" || !good && (!errors.As(err, &e) || e.Status/100 != 4) {
			t.Errorf("%+v: %s, %v", q, from, err)
		}
	}
	// A DNS server in the stack's network, and none on the machine, is asked.
	pc, err := socketapi.ListenUDP(c.peer, "udp", client4.Addr().String()+":5300")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	asked := make(chan string, 8)
	go func() {
		buf := make([]byte, 600)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			asked <- from.Addr().String()
			answer := append([]byte(nil), buf[:n]...)
			answer[2], answer[3] = 0x81, 3 // NXDOMAIN
			_, _ = pc.WriteToUDPAddrPort(answer, from)
		}
	}()
	c.rewrite(t, forwards(section("dns", "servers = ['192.0.2.1:5300']")))
	done, err := c.api.Reload(within(t))
	if err != nil || fmt.Sprint(done.Changed) != "[dns.servers hosts]" {
		t.Fatalf("%+v, %v", done, err)
	}
	var e *api.Error
	if _, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "tcp", Address: "nobody.example:80"}, nil); !errors.As(err, &e) || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("%v", err)
	}
	if from := <-asked; from != ours4.Addr().String() {
		t.Errorf("asked from %s", from)
	}
}

// TestShutdownWithProxies: connections through forwards may end by themselves,
// and are reset when the time is over.
func TestShutdownWithProxies(t *testing.T) {
	c := newControlled(t, plain)
	at := freePort(t)
	c.rewrite(t, forwards(section("forward.in", "listen = '"+at+"'", "to = '"+c.peerEcho(t)+"'")))
	if _, err := c.api.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	conn, retired := dialHost(t, at), dialHost(t, at)
	ping(t, conn)
	ping(t, retired)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := c.endServices(ctx)
	if err == nil || !strings.Contains(err.Error(), "2 connections were reset") {
		t.Errorf("%v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
	// Too late to start: it ends as well.
	if err := c.proxies.start(proxySetting{"forward.late", &ForwardConfig{Name: "late", Listen: at, To: "192.0.2.1:9"}}); err != nil {
		t.Error(err)
	}
	if err := c.proxies.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", at); err == nil {
		t.Error("it listens")
		conn.Close()
	}
}
