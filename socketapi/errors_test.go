package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/tap"
)

// nested checks the grammar of errors: exactly one OpError outside, at most
// one SyscallError in it, an errno or a std error at the core.
func nested(t *testing.T, err error, op string, core error) {
	t.Helper()
	outer, ok := err.(*net.OpError) //nolint:errorlint // it must be the outermost
	if !ok {
		t.Fatalf("%T (%v) is not an OpError", err, err)
	}
	if outer.Op != op {
		t.Errorf("op %q, want %q", outer.Op, op)
	}
	if errors.As(outer.Err, new(*net.OpError)) {
		t.Errorf("wrapped twice: %v", err)
	}
	if !errors.Is(err, core) {
		t.Errorf("%v is not %v", err, core)
	}
	if errno := syscall.Errno(0); errors.As(core, &errno) {
		if sys := new(os.SyscallError); !errors.As(err, &sys) || !errors.Is(sys.Err, errno) {
			t.Errorf("%v has no SyscallError around %v", err, errno)
		}
	}
}

func TestDialErrors(t *testing.T) {
	a, _ := pair(t, nil)
	d := &socketapi.Dialer{Stack: a}
	t.Run("nobody listens", func(t *testing.T) {
		_, err := d.DialContext(within(t), "tcp", netip.AddrPortFrom(b4.Addr(), 1).String())
		nested(t, err, "dial", syscall.ECONNREFUSED)
		var op *net.OpError
		if errors.As(err, &op); op.Addr == nil || op.Addr.String() != "192.0.2.2:1" {
			t.Errorf("address %v", op.Addr)
		}
	})
	t.Run("no such neighbour", func(t *testing.T) {
		_, err := d.DialContext(within(t), "tcp", "192.0.2.99:1")
		nested(t, err, "dial", syscall.EHOSTUNREACH)
	})
	t.Run("no route", func(t *testing.T) {
		_, err := d.DialContext(within(t), "tcp", "198.51.100.1:1")
		nested(t, err, "dial", syscall.ENETUNREACH)
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := d.DialContext(ctx, "tcp", "192.0.2.99:1")
		nested(t, err, "dial", context.Canceled)
	})
	t.Run("cancelled during", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := d.DialContext(ctx, "tcp", "192.0.2.99:1")
		nested(t, err, "dial", context.Canceled)
	})
	t.Run("out of time", func(t *testing.T) {
		_, err := (&socketapi.Dialer{Stack: a, Timeout: 20 * time.Millisecond}).Dial("tcp", "192.0.2.99:1")
		nested(t, err, "dial", os.ErrDeadlineExceeded)
		nested(t, err, "dial", context.DeadlineExceeded)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%v is not a timeout", err)
		}
	})
	for name, c := range map[string]struct{ network, address string }{
		"unknown network": {"sctp", "192.0.2.2:1"},
		"wrong family":    {"tcp6", "192.0.2.2:1"},
		"name":            {"tcp", "example.com:1"},
		"no port":         {"tcp", "192.0.2.2"},
		"bad port":        {"tcp", "192.0.2.2:65536"},
		"no such zone":    {"tcp", "[fe80::1%nic9]:1"},
		"empty network":   {"", "192.0.2.2:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := d.DialContext(within(t), c.network, c.address)
			if err == nil {
				_ = c.Close()
				t.Fatal("no error")
			}
			if op := new(net.OpError); !errors.As(err, &op) || op.Op != "dial" {
				t.Errorf("%T %v", err, err)
			}
		})
	}
	t.Run("no stack", func(t *testing.T) {
		_, err := new(socketapi.Dialer).Dial("tcp", "192.0.2.2:1")
		nested(t, err, "dial", syscall.EINVAL)
	})
}

func TestListenErrors(t *testing.T) {
	_, b := pair(t, nil)
	l, err := socketapi.Listen(b, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().String(); got != "[::]:80" {
		t.Errorf("address %q", got)
	}
	for _, address := range []string{":80", "192.0.2.2:80", "[2001:db8::2]:80"} {
		_, err := socketapi.Listen(b, "tcp", address)
		nested(t, err, "listen", syscall.EADDRINUSE)
	}
	_, err = socketapi.Listen(b, "tcp", "192.0.2.77:81")
	nested(t, err, "listen", syscall.EADDRNOTAVAIL)
	_, err = socketapi.ListenUDP(b, "udp", "192.0.2.77:81")
	nested(t, err, "listen", syscall.EADDRNOTAVAIL)
	for _, address := range []string{"localhost:1", ":http2", "192.0.2.2"} {
		if l, err := socketapi.Listen(b, "tcp", address); err == nil {
			_ = l.Close()
			t.Errorf("%q was accepted", address)
		}
	}
}

// TestConnErrors drives a connection into each of its ends and asks every
// method what it says.
func TestConnErrors(t *testing.T) {
	a, b := pair(t, nil)
	buf := make([]byte, 10)

	t.Run("closed by us", func(t *testing.T) {
		c, _ := connect(t, a, b, b4.Addr())
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(buf)
		nested(t, err, "read", net.ErrClosed)
		_, err = c.Write(buf)
		nested(t, err, "write", net.ErrClosed)
		nested(t, c.Close(), "close", net.ErrClosed)
		nested(t, c.CloseWrite(), "close", net.ErrClosed)
		nested(t, c.Abort(), "abort", net.ErrClosed)
		nested(t, c.SetDeadline(time.Now()), "set", net.ErrClosed)
		nested(t, c.SetNoDelay(true), "set", net.ErrClosed)
		nested(t, c.SetReadBuffer(1), "set", net.ErrClosed)
		if c.LocalAddr() == nil || c.RemoteAddr() == nil {
			t.Error("addresses are gone")
		}
	})
	t.Run("FIN from the peer", func(t *testing.T) {
		c, peer := connect(t, a, b, b4.Addr())
		if _, err := peer.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "bye" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := c.Read(buf); err != io.EOF { //nolint:errorlint // bare io.EOF is what is promised
			t.Errorf("got %v, want bare io.EOF", err)
		}
	})
	t.Run("reset by the peer", func(t *testing.T) {
		c, peer := connect(t, a, b, b6.Addr())
		if err := peer.Abort(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(buf)
		nested(t, err, "read", syscall.ECONNRESET)
	})
	t.Run("peer closes with our data unread", func(t *testing.T) {
		c, peer := connect(t, a, b, b4.Addr())
		if _, err := c.Write([]byte("never read")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has arrived", func() bool { return peer.ReceiveBuffer().Queued > 0 })
		if err := peer.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(buf)
		nested(t, err, "read", syscall.ECONNRESET)
	})
	t.Run("write after CloseWrite", func(t *testing.T) {
		c, _ := connect(t, a, b, b4.Addr())
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Write(buf)
		nested(t, err, "write", syscall.EPIPE)
	})
	t.Run("read after CloseRead", func(t *testing.T) {
		c, _ := connect(t, a, b, b4.Addr())
		if err := c.CloseRead(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != io.EOF { //nolint:errorlint // bare io.EOF is what is promised
			t.Errorf("got %v", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		c, _ := connect(t, a, b, b4.Addr())
		for _, at := range []time.Time{time.Unix(1, 0), time.Now().Add(20 * time.Millisecond)} {
			if err := c.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
			_, err := c.Read(buf)
			nested(t, err, "read", os.ErrDeadlineExceeded)
		}
		// Moved to the far future, it is no longer passed.
		if err := c.SetReadDeadline(time.Now().Add(1000 * time.Hour)); err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }()
		_, err := c.Read(buf)
		nested(t, err, "read", os.ErrDeadlineExceeded)
	})
	t.Run("stack closed", func(t *testing.T) {
		a, b := pair(t, nil)
		c, _ := connect(t, a, b, b4.Addr())
		l, err := socketapi.Listen(a, "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		u, err := socketapi.ListenUDP(a, "udp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		p, err := socketapi.ListenPing(a, "ping6", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(buf)
		nested(t, err, "read", net.ErrClosed)
		_, err = c.Write(buf)
		nested(t, err, "write", net.ErrClosed)
		_, err = l.Accept()
		nested(t, err, "accept", net.ErrClosed)
		_, _, err = u.ReadFrom(buf)
		nested(t, err, "read", net.ErrClosed)
		_, err = u.WriteTo(buf, u.LocalAddr())
		nested(t, err, "write", net.ErrClosed)
		_, _, err = p.ReadFrom(buf)
		nested(t, err, "read", net.ErrClosed)
		// Nothing new can be made that would wait for ever.
		for _, network := range []string{"tcp", "udp"} {
			_, err = (&socketapi.Dialer{Stack: a}).Dial(network, netip.AddrPortFrom(b4.Addr(), 1).String())
			nested(t, err, "dial", net.ErrClosed)
		}
		_, err = socketapi.Listen(a, "tcp", ":81")
		nested(t, err, "listen", net.ErrClosed)
		_, err = socketapi.ListenUDP(a, "udp", ":81")
		nested(t, err, "listen", net.ErrClosed)
		_, err = socketapi.ListenPing(a, "ping4", "")
		nested(t, err, "listen", net.ErrClosed)
	})
	t.Run("device gone", func(t *testing.T) {
		da, db := tap.Pipe(nil)
		a, b := host(t, da, nil, a4), host(t, db, nil, b4)
		c, _ := connect(t, a, b, b4.Addr())
		da.(*tap.PipeEnd).Delete()
		_, err := c.Read(buf)
		nested(t, err, "read", tap.ErrGone)
		if err := a.Err(); !errors.Is(err, tap.ErrGone) {
			t.Errorf("the stack says %v", err)
		}
	})
}

// TestCloseWakesEveryone: Read, Write and Accept that wait all return
// net.ErrClosed, however many there are.
func TestCloseWakesEveryone(t *testing.T) {
	a, b := pair(t, fixed())
	c, _ := connect(t, a, b, b4.Addr())
	l, err := socketapi.Listen(b, "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 9)
	for range 3 {
		wg.Go(func() { _, err := c.Read(make([]byte, 1)); errs <- err })
		wg.Go(func() { _, err := io.Copy(struct{ io.Writer }{c}, zeros{}); errs <- err })
		wg.Go(func() { _, err := l.Accept(); errs <- err })
	}
	eventually(t, "the writers wait", func() bool { b := c.SendBuffer(); return b.Window == 0 && b.Unsent == b.Queued && b.Queued > 0 })
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() { _ = c.Close(); _ = l.Close() })
	}
	closers.Wait()
	wg.Wait()
	close(errs)
	for err := range errs {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestHTTP runs package net/http on both sides, keep-alive and concurrency
// included.
func TestHTTP(t *testing.T) {
	a, b := pair(t, nil)
	l, err := socketapi.Listen(b, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s asks for %s", r.RemoteAddr, r.URL.Path)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	tr := &http.Transport{DialContext: (&socketapi.Dialer{Stack: a}).DialContext}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for _, host := range []string{"192.0.2.2", "[2001:db8::2]"} {
				resp, err := (&http.Client{Transport: tr}).Get(fmt.Sprintf("http://%s/%d", host, i))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := fmt.Sprintf("asks for /%d", i); err != nil || len(body) < len(want) || string(body[len(body)-len(want):]) != want {
					t.Errorf("%q, %v", body, err)
				}
			}
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	if err := srv.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// TestPortIsFreeAfterClose: with somebody waiting inside, Close still returns
// only when the port can be listened on again.
func TestPortIsFreeAfterClose(t *testing.T) {
	_, b := pair(t, nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 200 {
		l, err := socketapi.Listen(b, "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		u, err := socketapi.ListenUDP(b, "udp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _, _ = l.Accept() })
		wg.Go(func() { _, _, _ = u.ReadFrom(make([]byte, 1)) })
		_ = l.Close()
		_ = u.Close()
	}
}

// TestListenersOverlapAsOnLinux listens two and three times on one port, in
// every combination, and compares with what the kernel allows.
func TestListenersOverlapAsOnLinux(t *testing.T) {
	kinds := []struct {
		network string
		addr    func(v4, v6 string) string
	}{
		{"tcp", func(_, _ string) string { return "" }},
		{"tcp4", func(_, _ string) string { return "" }},
		{"tcp6", func(_, _ string) string { return "" }},
		{"tcp", func(v4, _ string) string { return v4 }},
		{"tcp", func(_, v6 string) string { return v6 }},
	}
	_, b := pair(t, nil)
	try := func(sequence []int, listen func(network, address string) (net.Listener, error), v4, v6, port string) (verdict []bool) {
		for _, k := range sequence {
			l, err := listen(kinds[k].network, net.JoinHostPort(kinds[k].addr(v4, v6), port))
			verdict = append(verdict, err == nil)
			if err == nil {
				defer l.Close()
			} else if !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatal(err)
			}
		}
		return verdict
	}
	ours := func(network, address string) (net.Listener, error) {
		l, err := socketapi.Listen(b, network, address)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	ns := netnstest.Need(t)
	for i := range kinds {
		for j := range kinds {
			for k := range kinds {
				sequence := []int{i, j, k}
				want := try(sequence, ns.Listen, "127.0.0.1", "::1", "80")
				if got := try(sequence, ours, b4.Addr().String(), b6.Addr().String(), "80"); !slices.Equal(got, want) {
					t.Errorf("%v: %v, the kernel says %v", sequence, got, want)
				}
			}
		}
	}
}

// TestUserTimeoutIsRounded: up to milliseconds, and nothing below zero is none.
func TestUserTimeoutIsRounded(t *testing.T) {
	a, b := pair(t, nil)
	c, _ := connect(t, a, b, b4.Addr())
	for _, w := range []struct {
		set  time.Duration
		want int // milliseconds
		err  error
	}{
		{1, 1, nil}, {time.Millisecond, 1, nil}, {time.Millisecond + 1, 2, nil},
		{-1, 2, syscall.EINVAL}, {-time.Second, 2, syscall.EINVAL}, {math.MaxInt64, 2, syscall.EINVAL}, {0, 0, nil},
	} {
		if err := c.SetUserTimeout(w.set); !errors.Is(err, w.err) {
			t.Errorf("%v: %v, want %v", w.set, err, w.err)
		}
		if got, err := c.Socket().Option(socketapi.TCP_USER_TIMEOUT); got != w.want || err != nil {
			t.Errorf("%v: reads %d ms, %v", w.set, got, err)
		}
	}
}
