package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/stacktest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

var (
	host       = stacktest.Host
	within     = stacktest.Within
	eventually = stacktest.Eventually
)

// The two ends of a cable.
var (
	peer4, ours4 = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	peer6, ours6 = netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")
)

// cable makes two stacks on the two ends of a pipe, gone when the test is: one
// for the service to be on, one for its peers.
func cable(t testing.TB, cfg *stack.Config) (peer, ours *stack.Stack) {
	t.Helper()
	a, b := tap.Pipe(nil)
	return host(t, a, cfg, peer4, peer6), host(t, b, cfg, ours4, ours6)
}

// world is a service between two networks: clients are in one, targets in the
// other.
//
//	client --- near [service] far --- target
type world struct {
	name                      string
	client, near, far, target Network
	nearAddr, targetAddr      [2]netip.Addr // IPv4, IPv6
	nearStack, farStack       *stack.Stack  // nil for the kernel
}

// zone is the names of the targets' network.
type zone map[string]netip.Addr

// LookupNetIP implements socketapi.Resolver.
func (z zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := z[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

var loopback = [2]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}

// worlds are all pairs of networks that there are in use. The kernel's side is
// its loopback.
func worlds(t testing.TB, cfg *stack.Config) []*world {
	t.Helper()
	both := &world{name: "stack to stack"}
	both.stackNear(t, cfg)
	both.stackFar(t, cfg)
	in := &world{name: "kernel to stack", client: Kernel(), near: Kernel(), nearAddr: loopback}
	in.stackFar(t, cfg)
	out := &world{name: "stack to kernel", far: Kernel(), target: Kernel(), targetAddr: loopback}
	out.stackNear(t, cfg)
	return []*world{both, in, out}
}

func stacks(t testing.TB) *world { return worlds(t, nil)[0] }

func (w *world) stackNear(t testing.TB, cfg *stack.Config) {
	peer, ours := cable(t, cfg)
	w.client, w.near, w.nearStack = Stack(peer, nil), Stack(ours, nil), ours
	w.nearAddr = [2]netip.Addr{ours4.Addr(), ours6.Addr()}
}

func (w *world) stackFar(t testing.TB, cfg *stack.Config) {
	peer, ours := cable(t, cfg)
	w.far, w.target, w.farStack = Stack(ours, zone{"target.example": peer4.Addr(), "six.example": peer6.Addr()}), Stack(peer, nil), ours
	w.targetAddr = [2]netip.Addr{peer4.Addr(), peer6.Addr()}
}

// options are a service's in this world, at the near side's address of a family.
func (w *world) options(family int) Options {
	return Options{
		Name:    "test",
		Listen:  w.near,
		Address: netip.AddrPortFrom(w.nearAddr[family], 0).String(),
		Dial:    w.far,
	}
}

// ending has a service shut down before its stacks are closed. Tests that do not
// end what they opened leave it to a reset.
func ending(t testing.TB, s *Service, err error) *Service {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		if left := s.Snapshot(); left.Active != 0 {
			t.Errorf("after Shutdown: %+v", left)
		}
		if sum := s.Snapshot(); sum.Opened != total(sum.Refused)+total(sum.Ended) {
			t.Errorf("the sums are wrong: %+v", sum)
		}
	})
	return s
}

func total(m map[Cause]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// conn is what both kinds of TCP connection have.
type conn interface {
	net.Conn
	CloseWrite() error
}

// dial connects a client to a service.
func (w *world) dial(t testing.TB, s *Service) conn {
	t.Helper()
	return dialed(t, w.client, s.Addr().String())
}

func dialed(t testing.TB, n Network, address string) conn {
	t.Helper()
	c, err := n.DialContext(within(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return bounded(t, c)
}

// bounded is a connection that is closed when the test is over, with a deadline
// that only a hang meets.
func bounded(t testing.TB, c net.Conn) conn {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(conn)
}

// listen listens in the targets' network.
func (w *world) listen(t testing.TB, family int) net.Listener {
	t.Helper()
	l, err := w.target.Listen(within(t), "tcp", netip.AddrPortFrom(w.targetAddr[family], 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func accept(t testing.TB, l net.Listener) conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return bounded(t, c)
}

// echoServer echoes until the client's FIN.
func (w *world) echoServer(t testing.TB, family int) string {
	t.Helper()
	l := w.listen(t, family)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
				_ = c.(conn).CloseWrite()
			}()
		}
	}()
	return l.Addr().String()
}

// closedPort is an address in the targets' network where nobody listens.
func (w *world) closedPort(t testing.TB) string {
	t.Helper()
	l := w.listen(t, 0)
	_ = l.Close()
	return l.Addr().String()
}

// echoes sends text and wants it back.
func echoes(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// connectSOCKS5 has a SOCKS 5 service connect c.
func connectSOCKS5(t testing.TB, c net.Conn, target string) {
	t.Helper()
	if err := ask(c, "socks5", target); err != nil {
		t.Fatal(err)
	}
}

// connectHTTP has a HTTP service make a tunnel of c.
func connectHTTP(t testing.TB, c net.Conn, target string) {
	t.Helper()
	if err := ask(c, "http", target); err != nil {
		t.Fatal(err)
	}
}

// ask has a proxy of a kind connect c to target; a forward needs no asking. It
// reads as much as the answer that lets it in has.
func ask(c net.Conn, kind, target string) error {
	request, answer := "", 0
	switch kind {
	case "socks5":
		request, answer = string(appendAddr([]byte{5, 1, 0, 5, 1, 0}, netip.MustParseAddrPort(target))), 2+10
	case "http":
		request, answer = "CONNECT "+target+" HTTP/1.1\r\nHost: x\r\n\r\n", len(established200)
	}
	_, err := io.WriteString(c, request)
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, answer))
	}
	return err
}

// wantReset reads until an error, which has to be a RST.
func wantReset(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, then %v; want ECONNRESET", n, err)
	}
}

// wantRejected dials a service that resets whoever connects. That may be so
// soon that the kernel's connect(2) tells it.
func (w *world) wantRejected(t testing.TB, s *Service) {
	t.Helper()
	c, err := w.client.DialContext(within(t), "tcp", s.Addr().String())
	if err == nil {
		wantReset(t, bounded(t, c))
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("dialling: %v; want a connection, or ECONNRESET", err)
	}
}

// wantEOF reads what is left, and a FIN.
func wantEOF(t testing.TB, c net.Conn, want string) {
	t.Helper()
	if got, err := io.ReadAll(c); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q and EOF", got, err, want)
	}
}

// wantCount waits until a service has counted something.
func wantCount(t testing.TB, s *Service, what string, ok func(Snapshot) bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("%+v", s.Snapshot())
		}
	}()
	eventually(t, what, func() bool { return ok(s.Snapshot()) })
}

func refused(cause Cause) func(Snapshot) bool {
	return func(s Snapshot) bool { return s.Refused[cause] == 1 && s.Active == 0 }
}

func ended(cause Cause) func(Snapshot) bool {
	return func(s Snapshot) bool { return s.Ended[cause] == 1 && s.Active == 0 }
}

var _ conn = (*socketapi.TCPConn)(nil)
