package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapstack/internal/daemon/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a backend that answers with everything filled in, and notes what it
// was asked.
type fake struct {
	mu    sync.Mutex
	asked []any
	err   error

	stream chan struct{} // closed by the first stream that has begun
	once   sync.Once
}

func newFake() *fake { return &fake{stream: make(chan struct{})} }

func (f *fake) note(v any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, v)
	return f.err
}

func (f *fake) last() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return nil
	}
	return f.asked[len(f.asked)-1]
}

var when = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (f *fake) Info() api.Info { return api.Info{PID: 7, Started: when, Config: "/etc/tapstack.toml"} }
func (f *fake) Sockets(q *api.SocketQuery, each func(*api.Socket) error) error {
	if err := f.note(*q); err != nil {
		return err
	}
	for _, one := range []api.Socket{{
		Protocol: "tcp", State: "ESTABLISHED", Local: "192.0.2.1:80", Remote: "192.0.2.2:4", Service: "echo", RecvQ: 1, SendQ: 2,
		Send: &api.SendBuffer{Size: 1}, Receive: &api.ReceiveBuffer{Size: 1, Dropped: 1},
		Info: api.Fields{{Name: "tcpi_rtt", Value: 3}}, Holdup: &api.Holdup{Verdict: "nobody"},
	}, {Protocol: "udp", Local: "*:7"}} {
		if err := each(&one); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) WatchSockets(ctx context.Context, q *api.SocketWatchQuery, each func(*api.SocketWatch) error) error {
	if err := f.note(*q); err != nil {
		return err
	}
	f.begun()
	err := each(&api.SocketWatch{
		Time: when, Matched: 1, States: map[string]int{"ESTABLISHED": 1},
		Links:   []api.LinkTraffic{{Name: "tap0", Rates: &api.LinkRates{}}},
		Sockets: []api.WatchedSocket{{Socket: api.Socket{Protocol: "udp", Local: "*:7"}, Rates: &api.Rates{In: 1}}},
	})
	<-ctx.Done()
	return err
}
func (f *fake) Services() []api.Service {
	return []api.Service{{
		Kind: "forward", Name: "web", Network: "tcp", Side: "host", Address: "127.0.0.1:8080", Target: "192.0.2.1:80", Retired: true,
		Opened: 3, Active: 1, Refused: map[string]uint64{"limit": 1}, Ended: map[string]uint64{"closed": 1}, Denied: map[string]uint64{"auth": 2},
	}}
}
func (f *fake) Stats() api.Stats {
	return api.Stats{Time: when, Counters: []api.Counter{{Name: "TcpInSegs", Value: 1}, {Name: "TcpCurrEstab", Gauge: true}}}
}
func (f *fake) Links() []api.Link                  { return []api.Link{{Name: "tap0", MTU: 1500}} }
func (f *fake) ChangeLink(c *api.LinkChange) error { return f.note(*c) }
func (f *fake) Addresses() []api.Address {
	return []api.Address{{Link: "tap0", Address: "192.0.2.1/24"}}
}
func (f *fake) AddAddress(a *api.Address) error    { return f.note(*a) }
func (f *fake) RemoveAddress(a *api.Address) error { return f.note(*a) }
func (f *fake) Routes() []api.Route {
	return []api.Route{{Destination: "::/0", Via: "fe80::1", Link: "tap0"}}
}
func (f *fake) AddRoute(r *api.Route) error            { return f.note(*r) }
func (f *fake) RemoveRoute(r *api.Route) error         { return f.note(*r) }
func (f *fake) AddNeighbour(n *api.Neighbour) error    { return f.note(*n) }
func (f *fake) RemoveNeighbour(n *api.Neighbour) error { return f.note(*n) }
func (f *fake) Neighbours() []api.Neighbour {
	return []api.Neighbour{{Link: "tap0", Address: "192.0.2.2", MAC: "02:00:00:00:00:01", State: "Reachable"}}
}
func (f *fake) Settings() api.Settings {
	level, on := "info", true
	return api.Settings{LogLevel: &level, Accounting: &on, TCP: map[string]string{"net.ipv4.tcp_sack": "1"}}
}
func (f *fake) Change(s *api.Settings) error { return f.note(*s) }
func (f *fake) Reload() (api.Reloaded, error) {
	return api.Reloaded{Changed: []string{"tcp"}, Restart: []string{"nic.tap0.mtu"}}, f.note("reload")
}
func (f *fake) Stop() { _ = f.note("stop") }

func (f *fake) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "metrics of", r.URL.Path) })
}

func (f *fake) Profiles() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "profile", r.URL.Path, r.URL.RawQuery)
	})
}

// begun says that a stream is under way.
func (f *fake) begun() { f.once.Do(func() { close(f.stream) }) }

func (f *fake) Events(ctx context.Context, q *api.EventQuery, each func(*api.Event) error) error {
	if err := f.note(*q); err != nil {
		return err
	}
	f.begun()
	err := each(&api.Event{Time: when, Level: "INFO", Message: "hello", Attributes: map[string]any{"n": 1}, Lost: 2})
	<-ctx.Done()
	return err
}
func (f *fake) Capture(ctx context.Context, q *api.CaptureQuery, w io.Writer) error {
	if err := f.note(*q); err != nil {
		return err
	}
	_, err := w.Write([]byte("pcapng"))
	return err
}
func (f *fake) Ping(ctx context.Context, q *api.PingQuery, each func(*api.PingReply) error) error {
	if err := f.note(*q); err != nil {
		return err
	}
	return each(&api.PingReply{Sequence: 1, From: "192.0.2.2", Bytes: 64, Millis: 0.5, Duplicate: true, Error: "late"})
}

// Connect is an echo.
func (f *fake) Connect(ctx context.Context, q *api.ConnectQuery, rw io.ReadWriteCloser) error {
	defer rw.Close()
	out := api.NewFrameWriter(rw)
	if err := f.note(*q); err != nil {
		return err
	}
	f.begun()
	if err := out.Write(api.FrameOpen, []byte(`{"local":"192.0.2.1:1","remote":"192.0.2.2:2"}`)); err != nil {
		return err
	}
	buf := make([]byte, api.MaxFrame)
	for {
		t, p, err := api.ReadFrame(rw, buf)
		if err != nil {
			return err
		}
		if err := out.Write(t, p); err != nil || t == api.FrameEnd {
			return err
		}
	}
}

// serving is a server on a socket of its own.
type serving struct {
	*Server
	path string
}

// serve serves b; whoever connects has the credentials that who gives, or his
// own if it is nil.
func serve(t testing.TB, b Backend, a Access, who func() Credentials) *serving {
	t.Helper()
	return serveWithin(t, b, a, who, writeTimeout)
}

// serveWithin is serve with a time for clients to take an answer.
func serveWithin(t testing.TB, b Backend, a Access, who func() Credentials, patience time.Duration) *serving {
	t.Helper()
	s := New(b, a, nil)
	s.patience = patience
	if who != nil {
		s.peer = func(*net.UnixConn) (Credentials, error) { return who(), nil }
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return &serving{s, path}
}

// root and nobody are two users.
func root() Credentials   { return Credentials{} }
func nobody() Credentials { return Credentials{UID: 65534, GID: 65534} }

// owner is a user that no test is run by.
const owner = 4000000
