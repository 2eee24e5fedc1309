package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"tapstack/socketapi"
)

// shutdown starts Shutdown; the channel gives what it returns.
func shutdown(ctx context.Context, s *Services) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	return done
}

// segment is the payload of a full one; a sender waits for that much window.
const segment = 1440

// TestShutdownGivesEOF: connections in every state of use end without a reset,
// and what we had written arrives before.
func TestShutdownGivesEOF(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	n := &network{(&socketapi.Dialer{Stack: client}).DialContext, services.Addrs()}
	connect := func(name string) halfCloser { return n.connect(t, "tcp", name, ours4.Addr()).(halfCloser) }

	idle := []halfCloser{connect("echo"), connect("discard"), connect("http")}
	used := connect("echo")
	if _, err := used.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(used, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	keptAlive := connect("http")
	if _, err := io.WriteString(keptAlive, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := keptAlive.Read(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	// Both of chargen's buffers are full of what nobody has read.
	full := connect("chargen")
	eventually(t, "chargen fills the buffers", func() bool {
		return full.(*socketapi.TCPConn).ReceiveBuffer().Free < segment
	})

	done := shutdown(within(t), services)
	for i, c := range append(idle, used, keptAlive) {
		if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
			t.Errorf("connection %d: read %d bytes, %v; want EOF", i, len(got), err)
		}
		c.Close()
	}
	if got, err := io.ReadAll(full); err != nil || len(got) < 1<<16 {
		t.Errorf("chargen: read %d bytes, %v; want all that was written, and EOF", len(got), err)
	}
	full.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if st := ours.Stats(); st.TCP.Established != 0 {
		t.Errorf("%d connections are left", st.TCP.Established)
	}
	if _, err := n.dial(within(t), "tcp", at(t, n.addrs, "tcp", "echo", ours4.Addr())); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Shutdown, dialling gives %v, want ECONNREFUSED", err)
	}
	if err := services.Shutdown(within(t)); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

// TestShutdownEchoesWhatItHasAcknowledged: the peer relies on it.
func TestShutdownEchoesWhatItHasAcknowledged(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	n := &network{(&socketapi.Dialer{Stack: client}).DialContext, services.Addrs()}
	c := n.connect(t, "tcp", "echo", ours4.Addr()).(*socketapi.TCPConn)

	// Nobody reads the echo, so all four buffers fill and the writer stalls.
	wrote := make(chan int, 1)
	go func() {
		total := 0
		for {
			k, err := c.Write(pattern)
			total += k
			if err != nil {
				wrote <- total
				return
			}
		}
	}()
	eventually(t, "the echo is stuck", func() bool {
		snd, rcv := c.Buffers()
		return snd.Window < segment && rcv.Free < segment && snd.Queued > 0
	})
	if err := c.SetWriteDeadline(past); err != nil {
		t.Fatal(err)
	}
	total := <-wrote
	acknowledged := total - c.SendBuffer().Queued

	done := shutdown(within(t), services)
	got, err := io.ReadAll(c)
	if err != nil || len(got) < acknowledged {
		t.Errorf("read %d bytes, %v; want at least the %d that were acknowledged, and EOF", len(got), err, acknowledged)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestShutdownInTime: peers that do not close are reset when the time is over.
func TestShutdownInTime(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	n := &network{(&socketapi.Dialer{Stack: client}).DialContext, services.Addrs()}
	var conns []net.Conn
	for _, name := range []string{"echo", "discard", "chargen", "http"} {
		conns = append(conns, n.connect(t, "tcp", name, ours4.Addr()))
	}
	slow := n.connect(t, "tcp", "http", ours4.Addr())
	if _, err := io.WriteString(slow, "GET /bytes?n=1000000000 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	conns = append(conns, slow)
	eventually(t, "all are accepted", func() bool {
		services.mu.Lock()
		defer services.mu.Unlock()
		return len(services.conns) == len(conns)
	})
	eventually(t, "the answer is under way", func() bool {
		return slow.(*socketapi.TCPConn).ReceiveBuffer().Queued > 0
	})

	ctx, cancel := context.WithCancel(within(t))
	done := shutdown(ctx, services)
	for _, c := range conns[:2] {
		// EOF has come, and the peer goes on all the same.
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
		if _, err := c.Write([]byte("still here")); err != nil {
			t.Errorf("writing after EOF: %v", err)
		}
	}
	cancel()
	err := <-done
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Shutdown: %v, want one around context.Canceled", err)
	}
	t.Log(err)
	// Those that were served to their end heard EOF first, and still learn of
	// the reset by writing.
	eventually(t, "the resets arrive", func() bool {
		for _, c := range conns {
			if _, err := c.Write([]byte("x")); err == nil {
				return false
			}
		}
		return true
	})
}

func TestServicesEndWithTheStack(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	n := &network{(&socketapi.Dialer{Stack: client}).DialContext, services.Addrs()}
	c := n.connect(t, "tcp", "chargen", ours4.Addr())
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = ours.Close()
	if err := services.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestConnectionsAreForgotten: what is over takes no memory.
func TestConnectionsAreForgotten(t *testing.T) {
	client, ours := pair(t)
	services := start(t, ours)
	n := &network{(&socketapi.Dialer{Stack: client}).DialContext, services.Addrs()}
	tr := &http.Transport{DialContext: n.dial, DisableKeepAlives: true}
	for range 20 {
		checkEOF(t, n.connect(t, "tcp", "discard", ours4.Addr()).(halfCloser))
		resp, err := (&http.Client{Transport: tr}).Get("http://" + at(t, n.addrs, "tcp", "http", ours4.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	eventually(t, "all connections are forgotten", func() bool {
		services.mu.Lock()
		defer services.mu.Unlock()
		return len(services.conns) == 0
	})
}

// checkEOF sends a FIN and wants one.
func checkEOF(t *testing.T, c halfCloser) {
	t.Helper()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
		t.Errorf("read %d bytes, %v; want EOF", len(got), err)
	}
}
