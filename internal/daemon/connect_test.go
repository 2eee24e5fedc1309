package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
	"tapstack/socketapi"
)

// readAll receives until the end.
func readAll(c *client.Connection) ([]byte, error) {
	var out []byte
	for {
		p, err := c.Receive()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, p...)
	}
}

// TestConnectHalfClose: much data both ways, each direction ended by itself.
func TestConnectHalfClose(t *testing.T) {
	c := newControlled(t, plain)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	addr, served := c.listen(t, func(conn *socketapi.TCPConn) error {
		defer conn.Close()
		got, err := io.ReadAll(conn) // until our FIN
		if err == nil {
			_, err = conn.Write(got)
		}
		return err
	})
	conn, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "tcp", Address: addr}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Remote != addr || !strings.HasPrefix(conn.Local, "192.0.2.2:") {
		t.Errorf("%+v", conn)
	}
	if _, err := conn.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(conn)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes back, %v", len(got), err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestConnectTheirEndFirst: their FIN first, ours later.
func TestConnectTheirEndFirst(t *testing.T) {
	c := newControlled(t, plain)
	addr, served := c.listen(t, func(conn *socketapi.TCPConn) error {
		defer conn.Close()
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		if err := conn.CloseWrite(); err != nil {
			return err
		}
		got, err := io.ReadAll(conn)
		if err == nil && string(got) != "and goodbye" {
			err = errors.New("got " + string(got))
		}
		return err
	})
	conn, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "tcp", Address: addr}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := readAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := conn.Write([]byte("and goodbye")); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestConnectReset: a reset is told as one.
func TestConnectReset(t *testing.T) {
	c := newControlled(t, plain)
	addr, served := c.listen(t, func(conn *socketapi.TCPConn) error { return conn.Abort() })
	conn, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "tcp", Address: addr}, nil)
	if err == nil {
		defer conn.Close()
		_, err = readAll(conn)
	}
	if errnoOf(err) != "ECONNRESET" {
		t.Errorf("%v, want ECONNRESET", err)
	}
	<-served
}

// TestConnectRefusedToTheHasty: a client that sends before it is connected, and
// then is not, leaves nothing behind: there is still room for others.
func TestConnectRefusedToTheHasty(t *testing.T) {
	c := newControlled(t, plain)
	const streams = 64 // as many as there may be
	var all []net.Conn
	for range streams {
		raw, err := net.Dial("unix", c.cfg.Control.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		_, err = io.WriteString(raw, "POST /v1/connect?network=tcp&address=192.0.2.99:1&timeout=50ms HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "+
			api.Protocol+"\r\n\r\n\x03\x00\x00\x01x")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
	}
	for _, raw := range all {
		_ = raw.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, raw); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "there is room again", func() bool {
		_, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "tcp", Address: "192.0.2.1:1"}, nil)
		return errnoOf(err) == "ECONNREFUSED"
	})
}

// TestConnectClientGoes: without saying so; the connection goes too.
func TestConnectClientGoes(t *testing.T) {
	c := newControlled(t, plain)
	for _, end := range []bool{false, true} { // having ended its direction before
		addr, served := c.listen(t, func(conn *socketapi.TCPConn) error {
			defer conn.Close()
			for {
				if _, err := conn.Write(make([]byte, 1000)); err != nil {
					return nil
				}
			}
		})
		conn, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "tcp", Address: addr}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Receive(); err != nil {
			t.Fatal(err)
		}
		if end {
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		select {
		case <-served:
		case <-within(t).Done():
			t.Fatalf("having ended before: %v: the connection outlives its client", end)
		}
	}
}

func TestConnectRefusals(t *testing.T) {
	c := newControlled(t, plain)
	for _, one := range []struct {
		q    api.ConnectQuery
		want string
	}{
		{api.ConnectQuery{Network: "tcp", Address: "192.0.2.1:1"}, "ECONNREFUSED"},
		{api.ConnectQuery{Network: "tcp", Address: "203.0.113.1:1"}, "UNREACH"},
		{api.ConnectQuery{Network: "tcp", Address: "192.0.2.99:1", Timeout: 20 * time.Millisecond}, ""},
		{api.ConnectQuery{Network: "tcp", Address: "nonsense"}, ""},
		{api.ConnectQuery{Network: "sctp", Address: "192.0.2.1:1"}, ""},
		{api.ConnectQuery{Network: "tcp", Address: "192.0.2.1:1", Source: "x"}, ""},
		{api.ConnectQuery{Network: "tcp", Address: ":7", Listen: true}, "EADDRINUSE"},
		{api.ConnectQuery{Network: "udp", Address: ":7", Listen: true}, "EADDRINUSE"},
	} {
		conn, err := c.api.Connect(within(t), &one.q, nil)
		if err == nil {
			conn.Close()
			t.Errorf("%+v was taken", one.q)
			continue
		}
		if !strings.Contains(errnoOf(err), one.want) {
			t.Errorf("%+v: %v, want %s", one.q, err, one.want)
		}
	}
}

func TestConnectListens(t *testing.T) {
	c := newControlled(t, plain)
	for _, network := range []string{"tcp", "udp"} {
		came := make(chan error, 1)
		conn, err := c.api.Connect(within(t), &api.ConnectQuery{Network: network, Address: "192.0.2.2:6000", Listen: true}, func(local string) {
			go func() {
				d := socketapi.Dialer{Stack: c.peer}
				p, err := d.DialContext(within(t), network, local)
				if err != nil {
					came <- err
					return
				}
				defer p.Close()
				_ = p.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err = p.Write([]byte("hello")); err == nil {
					_, err = io.ReadFull(p, make([]byte, 7))
				}
				came <- err
			}()
		})
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if got, err := conn.Receive(); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", network, got, err)
		}
		if _, err := conn.Write([]byte("goodbye")); err != nil {
			t.Error(err)
		}
		if err := <-came; err != nil {
			t.Errorf("%s: %v", network, err)
		}
		conn.Close()
	}
	// A client that gives up waiting frees the port.
	for range 3 {
		ctx, cancel := context.WithCancel(within(t))
		_, err := c.api.Connect(ctx, &api.ConnectQuery{Network: "tcp", Address: ":6001", Listen: true}, func(string) { cancel() })
		if !errors.Is(err, context.Canceled) && errnoOf(err) != "EADDRINUSE" { // the one before is just ending
			t.Errorf("given up: %v", err)
		}
		cancel()
	}
}

// TestConnectUDP: datagrams stay what they are.
func TestConnectUDP(t *testing.T) {
	c := newControlled(t, plain)
	u, err := socketapi.ListenUDP(c.peer, "udp", "192.0.2.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(buf[:n], from)
		}
	}()
	conn, err := c.api.Connect(within(t), &api.ConnectQuery{Network: "udp", Address: u.LocalAddr().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, n := range []int{1, 0, 1000, 60000} {
		if _, err := conn.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if got, err := conn.Receive(); err != nil || len(got) != n {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
	}
	u.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Receive(); errnoOf(err) != "ECONNREFUSED" {
		t.Errorf("to nobody: %v", err)
	}
}

// TestConnectGarbage: what is no frame ends the connection, and the server
// goes on.
func TestConnectGarbage(t *testing.T) {
	c := newControlled(t, plain)
	for _, garbage := range []string{"\xff\xff\xff\xff", "\x01\x00\x00\x00", "\x03\xff\xff\xff", "\x04\x00\x00\x05hello", "\x03\x00"} {
		addr, served := c.listen(t, func(conn *socketapi.TCPConn) error {
			_, err := io.Copy(io.Discard, conn)
			conn.Close()
			return err
		})
		raw, err := net.Dial("unix", c.cfg.Control.Path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(raw, "POST /v1/connect?network=tcp&address="+addr+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "+api.Protocol+"\r\n\r\n"+garbage)
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_ = raw.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, raw); err != nil {
			t.Errorf("%q: %v", garbage, err)
		}
		raw.Close()
		select {
		case <-served: // as far as it got that far
		default:
		}
		if _, err := c.api.Info(within(t)); err != nil {
			t.Errorf("after %q: %v", garbage, err)
		}
	}
}
