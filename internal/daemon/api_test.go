package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
	"tapstack/internal/daemon/node"
	"tapstack/internal/stacktest"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
	"tapstack/tap/capture"
)

// controlled is a daemon on one end of a pipe, with a control socket, and what
// speaks to it: a client of the socket, and a stack on the other end.
type controlled struct {
	*instance
	api  *client.Client
	peer *stack.Stack
	log  *bytes.Buffer // to be read when the daemon has ended
}

// newControlled makes one whose configuration is a file, in which %s is the
// name of its NIC.
func newControlled(t testing.TB, file string) *controlled {
	t.Helper()
	a, b := tap.Pipe(nil)
	path := filepath.Join(t.TempDir(), "f.toml")
	c := &controlled{peer: stacktest.Host(t, a, nil, client4, client6), log: &bytes.Buffer{}}
	writeConfig(t, path, b.Name(), file)
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.New(&stack.Config{TCP: cfg.TCP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	daemon := Daemon{Config: cfg, Log: slog.NewTextHandler(c.log, nil)}
	h := daemon.instance(func() {})
	h.stack, h.Node = s, node.New(s)
	h.startMetrics("", "")
	d := capture.Wrap(b)
	if _, err := s.AddNIC(d, &stack.NICConfig{Addresses: cfg.NICs[0].Address, Routes: cfg.NICs[0].Routes}); err != nil {
		t.Fatal(err)
	}
	h.AddDevice(d)
	if err := h.startServices(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = h.endServices(ctx)
	})
	// Not t.TempDir: its name may be too long for a socket.
	dir, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h.cfg.Control = ControlConfig{Path: filepath.Join(dir, "s"), Mode: 0o600, GID: -1}
	if err := h.takeClaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.release)
	end, err := h.startHost(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	c.instance, c.api = h, client.New(h.cfg.Control.Path)
	t.Cleanup(c.api.Close)
	return c
}

func writeConfig(t testing.TB, path, nic, file string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(file, "NIC", nic)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rewrite replaces the configuration file.
func (c *controlled) rewrite(t testing.TB, file string) {
	t.Helper()
	writeConfig(t, c.cfg.File, c.stack.NICs()[0].Name(), file)
}

const plain = `
[nic."NIC"]
address = ["192.0.2.2/24", "2001:db8::2/64"]
[services]
echo = ":7"
discard = ":9"
`

// listen listens in the peer's stack, and serves one connection.
func (c *controlled) listen(t testing.TB, serve func(*socketapi.TCPConn) error) (addr string, served chan error) {
	t.Helper()
	l, err := socketapi.Listen(c.peer, "tcp", client4.Addr().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	served = make(chan error, 1)
	go func() {
		conn, err := l.AcceptTCP()
		if err == nil {
			err = serve(conn)
		}
		served <- err
	}()
	return l.Addr().String(), served
}

func errnoOf(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestAPISockets(t *testing.T) {
	c := newControlled(t, plain+"accounting = true\n")
	ctx := within(t)
	d := socketapi.Dialer{Stack: c.peer}
	conn, err := d.DialContext(ctx, "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ping(t, conn)
	all, err := c.api.Sockets(ctx, &api.SocketQuery{Memory: true, Info: true, Holdup: true})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range all {
		lines = append(lines, s.Protocol+" "+s.State+" "+s.Local)
		if s.State != "ESTABLISHED" {
			continue
		}
		if rtt, ok := s.Info.Get("tcpi_rto"); !ok || rtt <= 0 || s.Send == nil || s.Receive == nil || s.Holdup == nil || s.Holdup.Verdict == "" {
			t.Errorf("incomplete: %+v", s)
		}
		if s.Remote != conn.LocalAddr().String() {
			t.Errorf("remote %s, want %v", s.Remote, conn.LocalAddr())
		}
	}
	slices.Sort(lines)
	if got, want := strings.Join(lines, ", "), "tcp ESTABLISHED 192.0.2.2:7, tcp LISTEN *:7, tcp LISTEN *:9, udp  *:7"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	some, err := c.api.Sockets(ctx, &api.SocketQuery{TCP: true, States: []string{"established"}})
	if err != nil || len(some) != 1 || some[0].Info != nil || some[0].Send != nil {
		t.Errorf("%+v, %v", some, err)
	}
	if _, err := c.api.Sockets(ctx, &api.SocketQuery{States: []string{"foo"}}); err == nil || !strings.Contains(err.Error(), `no state "foo"`) {
		t.Errorf("%v", err)
	}
}

// ping sends a few bytes to an echo, and receives them.
func ping(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

func TestAPIAddressesRoutesNeighboursLinks(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	name := c.stack.NICs()[0].Name()
	second := &api.Address{Link: name, Address: "192.0.2.77/24"}
	check := func(what string, err error, want string) {
		t.Helper()
		if got := errnoOf(err); err == nil && want != "" || err != nil && !strings.Contains(got+err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	check("add", c.api.AddAddress(ctx, second), "")
	check("add again", c.api.AddAddress(ctx, second), "EEXIST")
	check("add nonsense", c.api.AddAddress(ctx, &api.Address{Address: "foo"}), "no address with a prefix")
	check("add to nothing", c.api.AddAddress(ctx, &api.Address{Link: "foo", Address: "10.0.0.1/8"}), "ENODEV")
	check("add a group", c.api.AddAddress(ctx, &api.Address{Address: "224.0.0.1/8"}), "unicast")
	if list, err := c.api.Addresses(ctx); err != nil || !slices.Contains(list, *second) {
		t.Errorf("%v, %v", list, err)
	}
	check("remove", c.api.RemoveAddress(ctx, second), "")
	check("remove again", c.api.RemoveAddress(ctx, second), "EADDRNOTAVAIL")

	route := &api.Route{Destination: "10.0.0.0/8", Via: "192.0.2.1"}
	check("route", c.api.AddRoute(ctx, route), "")
	check("route again", c.api.AddRoute(ctx, route), "EEXIST")
	if list, err := c.api.Routes(ctx); err != nil || !slices.Contains(list, api.Route{Destination: "10.0.0.0/8", Via: "192.0.2.1", Link: name}) {
		t.Errorf("%v, %v", list, err)
	}
	check("no route", c.api.RemoveRoute(ctx, route), "")
	check("no route again", c.api.RemoveRoute(ctx, route), "ESRCH")
	check("route by its destination", c.api.AddRoute(ctx, route), "")
	check("no route to there", c.api.RemoveRoute(ctx, &api.Route{Destination: "10.0.0.0/8"}), "")
	check("no route to there again", c.api.RemoveRoute(ctx, route), "ESRCH")

	neighbour := &api.Neighbour{Address: "192.0.2.88", MAC: "02:00:00:00:00:88"}
	check("neighbour", c.api.AddNeighbour(ctx, neighbour), "")
	if list, err := c.api.Neighbours(ctx); err != nil || !slices.Contains(list, api.Neighbour{Link: name, Address: "192.0.2.88", MAC: "02:00:00:00:00:88", State: "Static"}) {
		t.Errorf("%v, %v", list, err)
	}
	check("no neighbour", c.api.RemoveNeighbour(ctx, neighbour), "")
	check("no neighbour again", c.api.RemoveNeighbour(ctx, neighbour), "ESRCH")
	check("neighbour without MAC", c.api.AddNeighbour(ctx, &api.Neighbour{Address: "192.0.2.88"}), "no hardware address")

	mtu, off, huge := 1400, false, 1<<20
	check("link", c.api.ChangeLink(ctx, &api.LinkChange{MTU: &mtu, Enabled: &off}), "")
	if list, err := c.api.Links(ctx); err != nil || len(list) != 1 || list[0].MTU != mtu || list[0].Enabled || !list[0].Up {
		t.Errorf("%+v, %v", list, err)
	}
	check("link MTU", c.api.ChangeLink(ctx, &api.LinkChange{MTU: &huge}), "EINVAL")
	check("link nothing", c.api.ChangeLink(ctx, &api.LinkChange{}), "nothing to change")
}

func TestAPIPing(t *testing.T) {
	c := newControlled(t, plain)
	for _, to := range []netip.Prefix{client4, client6} {
		var got []api.PingReply
		err := c.api.Ping(within(t), &api.PingQuery{To: to.Addr().String(), Count: 3, Interval: 10 * time.Millisecond, Size: 100}, func(r *api.PingReply) error {
			got = append(got, *r)
			return nil
		})
		if err != nil || len(got) != 3 {
			t.Fatalf("%v: %+v, %v", to, got, err)
		}
		// The first ones wait for the neighbour, and may leave in any order.
		slices.SortFunc(got, func(a, b api.PingReply) int { return a.Sequence - b.Sequence })
		for i, r := range got {
			if r.Sequence != i+1 || r.From != to.Addr().String() || r.Bytes != 108 || r.Millis <= 0 || r.Error != "" {
				t.Errorf("%+v", r)
			}
		}
	}
	var got []api.PingReply
	err := c.api.Ping(within(t), &api.PingQuery{To: "192.0.2.99", Count: 1, Timeout: 10 * time.Millisecond}, func(r *api.PingReply) error {
		got = append(got, *r)
		return nil
	})
	if err != nil || len(got) == 0 || got[0].Error == "" {
		t.Errorf("nobody: %+v, %v", got, err)
	}
	for _, q := range []*api.PingQuery{{To: "foo"}, {To: "192.0.2.1", Size: 70000}, {To: "192.0.2.1", Interval: time.Millisecond}, {To: "192.0.2.1", Timeout: 100 * time.Hour}} {
		var e *api.Error
		if err := c.api.Ping(within(t), q, nil); !errors.As(err, &e) || e.Status/100 != 4 {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestAPICapture(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	r, err := c.api.Capture(ctx, &api.CaptureQuery{Count: 4, Filter: "icmp and host 192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// For as long as it takes: the file's head comes before the first frame is
	// looked at.
	pinging, enough := context.WithCancel(ctx)
	pinged := make(chan error, 1)
	go func() {
		pinged <- c.api.Ping(pinging, &api.PingQuery{To: "192.0.2.1", Interval: 10 * time.Millisecond}, func(*api.PingReply) error { return nil })
	}()
	defer func() {
		enough()
		if err := <-pinged; !errors.Is(err, context.Canceled) {
			t.Errorf("ping: %v", err)
		}
	}()
	frames, err := capture.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		f, err := frames.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n++; f.Data[23] != 1 || f.Direction == capture.AnyDirection {
			t.Errorf("not what was asked for: %v %x", f.Direction, f.Data)
		}
	}
	if n != 4 {
		t.Errorf("%d frames", n)
	}
	for _, q := range []*api.CaptureQuery{{Filter: "foo"}, {Link: "foo"}, {Direction: "up"}, {SnapLen: 1 << 30}, {Bytes: 10}} {
		if r, err := c.api.Capture(ctx, q); err == nil {
			r.Close()
			t.Errorf("%+v was taken", q)
		}
	}
	// One that nobody reads any more ends.
	r, err = c.api.Capture(ctx, &api.CaptureQuery{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

func TestAPIStatsAndEvents(t *testing.T) {
	c := newControlled(t, plain)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var seen []api.Stats
	stop := errors.New("enough")
	err := c.api.Watch(ctx, &api.WatchQuery{Interval: 10 * time.Millisecond}, func(s *api.Stats) error {
		if seen = append(seen, *s); len(seen) == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || !seen[2].Time.After(seen[0].Time) || len(seen[0].Counters) < 30 {
		t.Errorf("%v, %v", seen, err)
	}
	one, err := c.api.Stats(ctx)
	if err != nil || !slices.ContainsFunc(one.Counters, func(c api.Counter) bool { return c.Name == "TcpInSegs" }) {
		t.Errorf("%v, %v", one, err)
	}

	got := make(chan api.Event, 10)
	heard := make(chan error, 1)
	go func() {
		heard <- c.api.Events(ctx, &api.EventQuery{Level: "warn"}, func(e *api.Event) error { got <- *e; return nil })
	}()
	// The listener is there when the first event arrives.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var e api.Event
	for e.Message == "" {
		c.instance.log.Info("not this")
		c.instance.log.With("a", 1).WithGroup("g").Warn("this", "b", "two", slog.Group("c", "d", true))
		select {
		case e = <-got:
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("no event")
		}
	}
	if e.Level != "WARN" || e.Message != "this" || fmt.Sprint(e.Attributes) != "map[a:1 g.b:two g.c.d:true]" {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-heard; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	var bad *api.Error
	if err := c.api.Events(within(t), &api.EventQuery{Level: "loud"}, nil); !errors.As(err, &bad) || bad.Status != 400 {
		t.Errorf("%v", err)
	}
}
