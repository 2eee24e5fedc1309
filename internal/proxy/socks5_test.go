package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	xproxy "golang.org/x/net/proxy"
)

func socks5(t testing.TB, o Options, auth Auth) *Service {
	t.Helper()
	s, err := SOCKS5(SOCKS5Config{Options: o, Auth: auth})
	return ending(t, s, err)
}

// dialerFunc is a dial function for golang.org/x/net/proxy.
type dialerFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialerFunc) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

func (f dialerFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// through dials target through a SOCKS 5 service with somebody else's client.
func (w *world) through(t testing.TB, s *Service, auth *xproxy.Auth, target string) (net.Conn, error) {
	t.Helper()
	d, err := xproxy.SOCKS5("tcp", s.Addr().String(), auth, dialerFunc(w.client.DialContext))
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.(xproxy.ContextDialer).DialContext(within(t), "tcp", target)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	}
	return c, err
}

func TestSOCKS5(t *testing.T) {
	for _, w := range worlds(t, nil) {
		for family := range 2 {
			t.Run(w.name, func(t *testing.T) {
				s := socks5(t, w.options(family), nil)
				c, err := w.through(t, s, nil, w.echoServer(t, family))
				if err != nil {
					t.Fatal(err)
				}
				echoes(t, c, "hello")
				_ = c.Close()
				wantCount(t, s, "an end in peace", ended(CauseClosed))
			})
		}
	}
	w := stacks(t)
	s := socks5(t, w.options(0), nil)
	for family, name := range []string{"target.example", "six.example"} {
		_, port, _ := net.SplitHostPort(w.echoServer(t, family))
		c, err := w.through(t, s, nil, name+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		echoes(t, c, name)
	}
}

// TestSOCKS5Replies: the client is told the truth, by the numbers of RFC 1928.
func TestSOCKS5Replies(t *testing.T) {
	w := stacks(t)
	w.far = blackhole(w.far, "192.0.2.77:1")
	o := w.options(0)
	o.Limits.Dial = 100 * time.Millisecond
	s := socks5(t, o, nil)
	closed := netip.MustParseAddrPort(w.closedPort(t))
	for _, tc := range []struct {
		name    string
		request []byte
		want    reply
		cause   Cause
	}{
		{"refused", appendAddr([]byte{5, 1, 0}, closed), replyRefused, CauseRefused},
		{"no route", appendAddr([]byte{5, 1, 0}, netip.MustParseAddrPort("198.51.100.1:1")), replyHostUnreachable, CauseUnreachable},
		{"no answer", appendAddr([]byte{5, 1, 0}, netip.MustParseAddrPort("192.0.2.77:1")), replyTTLExpired, CauseTimeout},
		{"no name", []byte("\x05\x01\x00\x03\x01x\x00\x50"), replyHostUnreachable, CauseName},
		{"BIND", appendAddr([]byte{5, 2, 0}, closed), replyCommand, CauseUnsupported},
		{"command 0", appendAddr([]byte{5, 0, 0}, closed), replyCommand, CauseUnsupported},
		{"address type", []byte{5, 1, 0, 2, 0, 0, 0, 0, 0, 0}, replyAddressType, CauseUnsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := s.Snapshot().Refused[tc.cause]
			c := w.dial(t, s)
			if _, err := c.Write(append([]byte{5, 1, 0}, tc.request...)); err != nil {
				t.Fatal(err)
			}
			_ = c.CloseWrite()
			got, err := io.ReadAll(c)
			want := appendReply([]byte{5, 0}, tc.want, netip.AddrPort{})
			if err != nil || len(got) != len(want) || got[3] != want[3] && tc.name != "no route" {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
			// Whether it is the host or the network that has no route is the stack's to say.
			if tc.name == "no route" && got[3] != byte(replyHostUnreachable) && got[3] != byte(replyNetworkUnreachable) {
				t.Errorf("reply %d", got[3])
			}
			wantCount(t, s, string(tc.cause), func(s Snapshot) bool { return s.Refused[tc.cause] == before+1 })
		})
	}
}

// TestSOCKS5Neighbours: a target that does not answer stalls nobody else.
func TestSOCKS5Neighbours(t *testing.T) {
	w := stacks(t)
	w.far = blackhole(w.far, "192.0.2.77:1")
	s := socks5(t, w.options(0), nil)
	var waiting sync.WaitGroup
	for range 20 {
		c := w.dial(t, s)
		if _, err := c.Write(appendAddr([]byte{5, 1, 0, 5, 1, 0}, netip.MustParseAddrPort("192.0.2.77:1"))); err != nil {
			t.Fatal(err)
		}
		waiting.Go(func() { _, _ = io.Copy(io.Discard, c) })
	}
	c, err := w.through(t, s, nil, w.echoServer(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, c, "quick")
	if got := s.Snapshot(); got.Active != 21 {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	_ = s.Shutdown(ctx)
	waiting.Wait()
}

func TestSOCKS5Auth(t *testing.T) {
	w := stacks(t)
	at := w.echoServer(t, 0)
	long := strings.Repeat("p", 255)
	s := socks5(t, w.options(0), Users(map[string]string{"ann": "secret", "long": long}))
	for _, ok := range []xproxy.Auth{{User: "ann", Password: "secret"}, {User: "long", Password: long}} {
		c, err := w.through(t, s, &ok, at)
		if err != nil {
			t.Fatal(err)
		}
		echoes(t, c, "hello")
	}
	for i, bad := range []*xproxy.Auth{{User: "ann", Password: "wrong"}, {User: "bob", Password: "secret"}, {User: "ann", Password: long}, nil} {
		if _, err := w.through(t, s, bad, at); err == nil {
			t.Errorf("%+v was let in", bad)
		}
		wantCount(t, s, "refused", func(s Snapshot) bool { return s.Refused[CauseAuth] == uint64(i+1) })
	}
}

// TestSOCKS5Early: what a client sends before it has its answer is not lost.
func TestSOCKS5Early(t *testing.T) {
	w := stacks(t)
	s := socks5(t, w.options(0), nil)
	c := w.dial(t, s)
	request := appendAddr([]byte{5, 1, 0, 5, 1, 0}, netip.MustParseAddrPort(w.echoServer(t, 0)))
	if _, err := c.Write(append(request, "early"...)); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.HasSuffix(got, []byte("early")) || len(got) != 2+10+5 {
		t.Errorf("%q, %v", got, err)
	}
}

// TestSOCKS5Hostile: clients that send something else, or half of it, or nothing.
func TestSOCKS5Hostile(t *testing.T) {
	for _, tc := range []struct {
		name, sends string
		half        bool // a FIN after it
		cause       Cause
	}{
		{"nothing", "", false, CauseStalled},
		{"half a greeting", "\x05", false, CauseStalled},
		{"half a request", "\x05\x01\x00\x05\x01\x00\x03\xff", false, CauseStalled},
		{"nothing, and a FIN", "", true, CauseGone},
		{"half a greeting, and a FIN", "\x05\x03\x00", true, CauseGone},
		{"SOCKS 4", "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", false, CauseGarbage},
		{"HTTP", "CONNECT x:1 HTTP/1.1\r\n\r\n", false, CauseGarbage},
		{"no methods", "\x05\x00", true, CauseAuth},
		{"GSSAPI", "\x05\x01\x01", true, CauseAuth},
		{"64 KiB of user name", "\x05\x02\x00\x02\x01\xff" + strings.Repeat("u", 64<<10), false, CauseAuth},
		{"version of the password", "\x05\x01\x02\x05\x01a\x01b", false, CauseGarbage},
		{"zero bytes", strings.Repeat("\x00", 64<<10), false, CauseGarbage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := stacks(t)
			o := w.options(0)
			o.Limits.Handshake = 200 * time.Millisecond
			var auth Auth
			if strings.Contains(tc.name, "user") || strings.Contains(tc.name, "password") {
				auth = Users(nil)
			}
			s := socks5(t, o, auth)
			c := w.dial(t, s)
			_, _ = io.WriteString(c, tc.sends)
			if tc.half {
				_ = c.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, c)
			wantCount(t, s, string(tc.cause), refused(tc.cause))
		})
	}
}

func TestSOCKS5SendPROXY(t *testing.T) {
	w := stacks(t)
	l := w.listen(t, 0)
	s, err := SOCKS5(SOCKS5Config{Options: w.options(0), SendPROXY: PROXYv1})
	ending(t, s, err)
	c, err := w.through(t, s, nil, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	target := accept(t, l)
	_ = c.Close()
	if got, err := io.ReadAll(target); err != nil || !strings.HasPrefix(string(got), "PROXY TCP4 192.0.2.1 192.0.2.2 ") {
		t.Errorf("%q, %v", got, err)
	}
}
