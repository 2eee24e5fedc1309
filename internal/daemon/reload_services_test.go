package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// TestReloadForwards: those that are unchanged notice nothing, connections of
// those that are gone or changed go on, and what listens is what the file says.
func TestReloadForwards(t *testing.T) {
	c := newControlled(t, plain)
	first, second := c.peerEcho(t), hostEcho(t)
	kept, changed, removed := freePort(t), freePort(t), freePort(t)
	keep := section("forward.kept", "listen = '"+kept+"'", "to = '"+first+"'")
	change := section("forward.changed", "listen = '"+changed+"'", "to = '"+first+"'")
	remove := section("forward.removed", "listen = '"+removed+"'", "to = '"+first+"'")
	c.rewrite(t, forwards(keep, change, remove))
	if _, err := c.api.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	conns := map[string]net.Conn{"kept": dialHost(t, kept), "changed": dialHost(t, changed), "removed": dialHost(t, removed)}
	for _, conn := range conns {
		ping(t, conn)
	}
	c.rewrite(t, forwards(keep, change+"\nmax-connections = 1", section("forward.out", "from = 'stack'", "listen = ':9999'", "to = '"+second+"'")))
	done, err := c.api.Reload(within(t))
	if err != nil || fmt.Sprint(done.Changed) != "[forward.removed (removed) forward.changed forward.out (added)]" {
		t.Fatalf("%+v, %v", done, err)
	}
	for name, conn := range conns {
		ping(t, conn)
		if s := c.service(t, name, name != "kept"); s == nil || s.Active != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if conn, err := net.Dial("tcp", removed); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the removed one listens: %v", err)
		conn.Close()
	}
	ping(t, dialHost(t, kept))
	ping(t, dialHost(t, changed))
	// The new limit holds: one is the limit, and one there is.
	if n, err := dialHost(t, changed).Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes from one too many", n)
	}
	// What is retired goes when its last connection does.
	conns["removed"].(halfCloser).CloseWrite()
	if _, err := io.ReadAll(conns["removed"]); err != nil {
		t.Error(err)
	}
	for c.service(t, "removed", true) != nil {
		if within(t).Err() != nil {
			t.Fatal("it stays")
		}
	}
	// And all of it can go.
	c.rewrite(t, plain)
	if _, err := c.api.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	ping(t, conns["kept"])
	if conn, err := net.Dial("tcp", kept); err == nil {
		t.Error("it still listens")
		conn.Close()
	}
}

// TestReloadKeepsForwards: with a file that cannot be carried out, all forwards
// go on, those too that were to change; the ports of loopback are never closed.
func TestReloadKeepsForwards(t *testing.T) {
	c := newControlled(t, plain)
	echo := c.peerEcho(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	mine, udp := freePort(t), freePort(t)
	one := section("forward.mine", "listen = '"+mine+"'", "to = '"+echo+"'")
	two := section("forward.dgram", "protocol = 'udp'", "listen = '"+udp+"'", "to = '192.0.2.1:9'")
	stackSide := section("forward.out", "from = 'stack'", "listen = ':5000'", "to = '"+hostEcho(t)+"'")
	good := forwards(one, two, stackSide, section("hosts", "db = '192.0.2.1'"))
	c.rewrite(t, good)
	if _, err := c.api.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	conn := dialHost(t, mine)
	ping(t, conn)
	// Whoever knows the socket can tell that it is the same one.
	before := fmt.Sprintf("%p", c.proxies.ports.open["tcp "+mine].socket)
	d := socketapi.Dialer{Stack: c.peer, Timeout: 5 * time.Second}
	for _, bad := range []string{
		section("forward.late", "listen = '"+taken.Addr().String()+"'", "to = '"+echo+"'"),
		section("socks5", "listen = '"+taken.Addr().String()+"'"),
		section("forward.late", "from = 'stack'", "listen = ':5001'", "to = '127.0.0.1:9'") + "\n" + section("socks5", "listen = '"+taken.Addr().String()+"'"),
	} {
		c.rewrite(t, forwards(one+"\nmax-connections = 5", two+"\nmax-clients = 5", stackSide+"\nmax-connections = 5", bad))
		_, err := c.api.Reload(within(t))
		if err == nil || !strings.Contains(err.Error(), "in use: choose another") {
			t.Errorf("%s: %v", bad, err)
		}
		ping(t, conn)
		ping(t, dialHost(t, mine))
		fromPeer, err := d.DialContext(within(t), "tcp", "192.0.2.2:5000")
		if err != nil {
			t.Fatal(err)
		}
		ping(t, fromPeer)
		fromPeer.Close()
		if c, err := d.DialContext(within(t), "tcp", "192.0.2.2:5001"); err == nil {
			t.Error("what was started before the failure still listens")
			c.Close()
		}
		if _, err := c.names.LookupNetIP(within(t), "ip", "db"); err != nil {
			t.Errorf("names: %v", err)
		}
	}
	if after := fmt.Sprintf("%p", c.proxies.ports.open["tcp "+mine].socket); after != before {
		t.Error("another socket listens")
	}
	if n := len(c.proxies.ports.open); n != 2 {
		t.Errorf("%d ports are open", n)
	}
}

// TestReloadServices: buffers, files, level and passwords.
func TestReloadServices(t *testing.T) {
	c := newControlled(t, plain+"http = ':80'\n")
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("the index"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := socketapi.Dialer{Stack: c.peer, Timeout: 5 * time.Second}
	get := func() string {
		t.Helper()
		conn, err := d.DialContext(within(t), "tcp", "192.0.2.2:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	size := func(conn net.Conn) int {
		t.Helper()
		ping(t, conn)
		list, err := c.api.Sockets(within(t), &api.SocketQuery{TCP: true, States: []string{"established"}, Memory: true})
		i := slices.IndexFunc(list, func(s api.Socket) bool { return s.Remote == conn.LocalAddr().String() })
		if err != nil || i < 0 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list[i].Receive.Size
	}
	old, err := d.DialContext(within(t), "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	before := size(old)
	if text := get(); !strings.Contains(text, "a TCP/IP stack in userspace") {
		t.Errorf("no files: %s", text)
	}
	changed := plain + "http = ':80'\nhttp-root = '" + root + "'\nrcvbuf = 54321\n" + section("log", "level = 'debug'") + "\n" +
		section("http-proxy", "listen = '127.0.0.1:0'", "users = { ann = 'secret' }")
	c.rewrite(t, changed)
	if err := os.Chmod(c.cfg.File, 0o644); err != nil {
		t.Fatal(err)
	}
	heard := make(chan api.Event, 16)
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan error, 1)
	listening := make(chan struct{})
	go func() {
		ended <- c.Events(ctx, &api.EventQuery{}, func(e *api.Event) error {
			if e == nil {
				close(listening)
			} else {
				heard <- *e
			}
			return nil
		})
	}()
	<-listening
	done, err := c.api.Reload(within(t))
	if err != nil || fmt.Sprint(done.Changed) != "[services.rcvbuf, sndbuf http-proxy (added) services.http-root log.level]" {
		t.Errorf("%+v, %v", done, err)
	}
	for e := range heard {
		if strings.Contains(e.Message, "may read the proxies' passwords") {
			break
		}
	}
	cancel()
	<-ended
	if now := size(old); now != before {
		t.Errorf("a connection there was has %d bytes now, had %d", now, before)
	}
	fresh, err := d.DialContext(within(t), "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if n := size(fresh); n != 54321 {
		t.Errorf("a new one has %d bytes", n)
	}
	if text := get(); !strings.HasSuffix(text, "the index") {
		t.Errorf("files: %s", text)
	}
	if s, err := c.api.Settings(within(t)); err != nil || *s.LogLevel != "debug" {
		t.Errorf("%+v, %v", s, err)
	}
	c.rewrite(t, plain+"http = ':80'\n")
	if _, err := c.api.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	if text := get(); !strings.Contains(text, "a TCP/IP stack in userspace") {
		t.Errorf("no files any more: %s", text)
	}
}
