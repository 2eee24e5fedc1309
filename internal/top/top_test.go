package top

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapstack/internal/daemon/api"
)

var update = flag.Bool("update", false, "write the golden screens anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// frozen is a look with a socket of every kind.
func frozen() *api.SocketWatch {
	buffers := func(s api.Socket, size, queued, unsent, received int) api.Socket {
		s.Send = &api.SendBuffer{Size: size, Queued: queued, Unsent: unsent, Free: size - queued, Window: 65535}
		s.Receive = &api.ReceiveBuffer{Size: size, Queued: received, Free: size - received, Window: size - received}
		s.SendQ, s.RecvQ = queued, received
		return s
	}
	tcp := func(state, local, remote string) api.Socket {
		return api.Socket{Protocol: "tcp", State: state, Local: local, Remote: remote}
	}
	sender := buffers(tcp("ESTABLISHED", "192.168.77.2:80", "192.168.77.1:43546"), 1_000_000, 750_000, 250_000, 0)
	sender.Holdup = &api.Holdup{
		Verdict: "the network: the congestion window is full (61% of 12s)", Seconds: 12,
		Application: 0.2, Congestion: 0.61, PeerWindow: 0.19,
	}
	sender.Info = api.Fields{
		{Name: "tcpi_state", Value: 1}, {Name: "tcpi_rto", Value: 204000}, {Name: "tcpi_snd_mss", Value: 1448},
		{Name: "tcpi_unacked", Value: 12}, {Name: "tcpi_rtt", Value: 1534}, {Name: "tcpi_snd_cwnd", Value: 10}, {Name: "tcpi_total_retrans", Value: 3},
	}
	slow := buffers(tcp("ESTABLISHED", "192.168.77.2:7", "192.168.77.1:51744"), 1_000_000, 0, 0, 1_000_000)
	slow.Holdup = &api.Holdup{Verdict: "the reader: received bytes wait to be read (88% of 3s)", Seconds: 3}
	closing := buffers(tcp("CLOSE-WAIT", "[2001:db8:77::2]:443", "[2001:db8:77:1:2:3:4:5]:50000"), 1_000_000, 10, 10, 10)
	udp := api.Socket{Protocol: "udp", Local: "*:53", RecvQ: 500, Receive: &api.ReceiveBuffer{Size: 1000, Queued: 500, Dropped: 7}}
	return &api.SocketWatch{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Matched: 10_002,
		States: map[string]int{"ESTABLISHED": 9_999, "CLOSE-WAIT": 1, "LISTEN": 1, "UDP": 1},
		Links: []api.LinkTraffic{
			{Name: "tap0", Rx: api.LinkCounts{Drops: 1234}, Rates: &api.LinkRates{RxBytes: 1.234e9, TxBytes: 2048, RxFrames: 34_567, TxFrames: 999}},
			{Name: "tap1"},
		},
		Sockets: []api.WatchedSocket{
			{Socket: sender, Rates: &api.Rates{In: 12, Out: 1.2e9}},
			{Socket: slow, Rates: &api.Rates{In: 999_499}},
			{Socket: closing},
			{Socket: udp, Rates: &api.Rates{In: 9_949}},
			{Socket: tcp("LISTEN", "*:80", ""), Rates: &api.Rates{}},
		},
	}
}

// after is a model that has seen the frozen look and these events.
func after(width, height int, events ...any) *Model {
	m := NewModel(&Options{Interval: time.Second}, width, height)
	m.Update(Looked{frozen()})
	for _, e := range events {
		m.Update(e)
	}
	return m
}

func keys(k ...Key) []any {
	out := make([]any, len(k))
	for i := range k {
		out[i] = k[i]
	}
	return out
}

// TestScreens compares with testdata/NAME.txt, a line of which ends at a bar.
func TestScreens(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *Model
	}{
		{"waiting", NewModel(&Options{}, 80, 24)},
		{"list", after(80, 24)},
		{"wide", after(160, 24)},
		{"narrow", after(50, 12)},
		{"tiny", after(20, 6)},
		{"scrolled", after(80, 8, keys("End")...)},
		{"detail", after(80, 24, keys("Enter")...)},
		{"detail-udp", after(80, 24, keys("Down", "Down", "Down", "Enter")...)},
		{"help", after(80, 24, keys("h")...)},
		{"chosen", after(80, 24, keys("s", "r", "t", "/", "s", "p", "o", "r", "t", " ", "8", "0", "Enter", "p")...)},
		{"filter", after(80, 24, keys("/", "f", "o", "o", "Enter")...)},
		{"failed", after(80, 24, Failed{errors.New("no daemon answers at /run/tapstack/control.sock")})},
		{"gone", after(80, 24, Key("Enter"), Looked{&api.SocketWatch{Sockets: []api.WatchedSocket{}, States: map[string]int{}}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			lines := c.m.View()
			if len(lines) > c.m.height {
				t.Errorf("%d lines on a screen of %d", len(lines), c.m.height)
			}
			for _, l := range lines {
				text := l.Text()
				if n := len([]rune(text)); n > c.m.width {
					t.Errorf("%d cells on a screen of %d: %s", n, c.m.width, text)
				}
				b.WriteString(text + "|\n")
			}
			path := filepath.Join("testdata", c.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || b.String() != string(want) {
				t.Errorf("got (%v)\n%swant\n%s", err, &b, want)
			}
		})
	}
}

// TestActions: what is asked of the daemon, and when.
func TestActions(t *testing.T) {
	m := after(80, 24)
	step := func(event any, want Action) {
		t.Helper()
		if got := m.Update(event); got != want {
			t.Fatalf("%v: %d, want %d", event, got, want)
		}
	}
	query := func(want string) {
		t.Helper()
		q, ok := m.Query()
		got := q.Sort + " " + q.Filter
		if q.TCP {
			got += " tcp"
		}
		if q.Reverse {
			got += " reversed"
		}
		if q.Info {
			got += " info"
		}
		if !ok {
			got += " paused"
		}
		if got != want {
			t.Fatalf("asks for %q, want %q", got, want)
		}
	}
	query("rate ")
	step(Key("S"), Ask)
	query("state ")
	step(Key("s"), Ask)
	step(Key("r"), Ask)
	query("rate  reversed")
	step(Key("r"), Ask)
	step(Key("t"), Ask)
	query("rate  tcp")
	step(Key("t"), Ask)
	query("rate ")
	step(Key("p"), Ask)
	query("rate  paused")
	step(Key("p"), Ask)
	step(Key("Down"), Draw)
	step(Key("Down"), Draw)
	step(Key("Enter"), Ask)
	query("rate src [2001:db8:77::2]:443 and dst [2001:db8:77:1:2:3:4:5]:50000 tcp info")
	step(Key("s"), Draw)
	step(Key("Esc"), Ask)
	step(Key("End"), Draw)
	step(Key("Enter"), Ask)
	query("rate sport = :80 tcp info")
	step(Key("Enter"), Ask)
	step(Key("/"), Draw)
	for _, k := range "xq" {
		step(Key(string(k)), Draw)
	}
	step(Key("Enter"), Draw) // wrong, and said so
	query("rate ")
	step(Key("Backspace"), Draw)
	step(Key("Ctrl-U"), Draw)
	for _, k := range "state listen" {
		step(Key(string(k)), Draw)
	}
	step(Key("Enter"), Ask)
	query("rate state listen")
	step(Key("/"), Draw)
	step(Key("Esc"), Draw)
	query("rate state listen")
	step(Key("F1"), Draw)
	step(Key("x"), Draw)
	step(Resize{80, 200}, Ask) // room for more than was asked for
	step(Resize{80, 24}, Draw)
	step(Key("Ctrl-C"), Quit)
	step(Key("q"), Quit)
}

// TestSelection: it stays with its socket when the order changes.
func TestSelection(t *testing.T) {
	m := after(80, 24, keys("Down")...)
	second := frozen()
	second.Sockets[0], second.Sockets[1] = second.Sockets[1], second.Sockets[0]
	m.Update(Looked{second})
	if got := m.current().Socket.Local; got != "192.168.77.2:7" {
		t.Errorf("selected is %s", got)
	}
	second.Sockets = second.Sockets[1:]
	m.Update(Looked{second})
	if got := m.current().Socket.Local; got != "192.168.77.2:80" {
		t.Errorf("with that gone, selected is %s, not the first", got)
	}
	marked := 0
	for _, l := range m.View() {
		for _, s := range l {
			if s.Style == Selected {
				marked++
				break
			}
		}
	}
	if marked != 1 {
		t.Errorf("%d lines are marked", marked)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999.4: "999", 999.6: "1.0k", 9949: "9.9k", 9951: "10k", 999_499: "999k", 999_500: "1.0M", 1e18: "1.0E", 1e22: "many"} {
		if got := human(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for _, c := range []struct {
		width, size int
		parts, want []int
	}{
		{10, 100, []int{0, 0}, []int{0, 0}}, {10, 100, []int{100}, []int{10}}, {10, 100, []int{1, 1}, []int{1, 1}},
		{10, 100, []int{50, 50}, []int{5, 5}}, {10, 100, []int{99, 0}, []int{9, 0}}, {10, 0, []int{5}, []int{0}},
		{3, 10, []int{200, 100}, []int{2, 1}}, {10, 1000, []int{333, 667}, []int{3, 7}}, {1, 10, []int{5, 5}, []int{1, 0}},
	} {
		got := cells(c.width, c.size, c.parts...)
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%+v: %v", c, got)
				break
			}
		}
	}
}
