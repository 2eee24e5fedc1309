package metrics

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"gvisor.dev/gvisor/pkg/refs"

	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/stack"
	"tapstack/tap"
)

var update = flag.Bool("update", false, "write testdata anew")

func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	os.Exit(netnstest.Main(m))
}

var client, ours = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")

// pair makes two stacks on the two ends of a pipe, the second with its device.
func pair(t testing.TB) (peer, s *stack.Stack, dev tap.Device) {
	t.Helper()
	a, b := tap.Pipe(nil)
	return host(t, a, client), host(t, b, ours), b
}

func host(t testing.TB, dev tap.Device, addr netip.Prefix) *stack.Stack {
	t.Helper()
	s, err := stack.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{addr}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// connection is one from peer to l, both ends.
func connection(t testing.TB, peer *stack.Stack, l *socketapi.TCPListener) (far, near *socketapi.TCPConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := (&socketapi.Dialer{Stack: peer}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*socketapi.TCPConn), near
}

func listen(t testing.TB, s *stack.Stack) *socketapi.TCPListener {
	t.Helper()
	l, err := socketapi.Listen(s, "tcp", ours.Addr().String()+":7")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// scrape asks over HTTP and parses the answer as Prometheus would.
func scrape(t testing.TB, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value finds one series by its name and the values of its labels.
func value(t testing.TB, all map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range all["tapstack_"+name].GetMetric() {
		var got []string
		for _, l := range m.GetLabel() {
			got = append(got, l.GetValue())
		}
		slices.Sort(got)
		slices.Sort(labels)
		if !slices.Equal(got, labels) {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		default:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	t.Errorf("no %s%v", name, labels)
	return -1
}

// What is there, without its numbers: names are an interface to dashboards.
func TestNames(t *testing.T) {
	_, s, _ := pair(t)
	m := New(Config{Stack: s, Version: "1.2.3", Revision: "abc", Services: func() []Service {
		return []Service{{Name: "echo", Refused: map[string]uint64{"limit": 1}}}
	}})
	m.Ended("echo", withRTT(time.Millisecond), &holdup.Report{Sent: 1, Received: 1})
	var b bytes.Buffer
	all := scrape(t, m)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(name, "tapstack_") {
			continue
		}
		f := all[name]
		fmt.Fprintf(&b, "%s %s\n  %s\n", name, strings.ToLower(f.GetType().String()), f.GetHelp())
		for _, series := range f.GetMetric() {
			var labels []string
			for _, l := range series.GetLabel() {
				v := l.GetValue()
				if l.GetName() == "goversion" {
					v = "..."
				}
				labels = append(labels, l.GetName()+"="+v)
			}
			if len(labels) > 0 {
				fmt.Fprintf(&b, "    %s\n", strings.Join(labels, " "))
			}
		}
	}
	const golden = "testdata/names.golden"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("not as in %s; if it is meant, go test -update:\n%s", golden, &b)
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "process_open_fds"} {
		if all[name] == nil && (name == "go_goroutines" || len(Reads()) > 0 && exists(Reads()[0])) {
			t.Errorf("no %s", name)
		}
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func withRTT(d time.Duration) socketapi.Info {
	return socketapi.Info{Conn: &socketapi.ConnInfo{RTT: &d}}
}

// fixed is a collector of one snapshot.
type fixed struct{ *snapshot }

func (f fixed) Describe(ch chan<- *prometheus.Desc) { (&collector{}).Describe(ch) }
func (f fixed) Collect(ch chan<- prometheus.Metric) { f.emit(ch) }

// Every number there is has its place, and none has two: each field gets a
// number of its own, which has to come out once.
func TestEveryNumberComesOutOnce(t *testing.T) {
	var s snapshot
	s.stats.NICs = make([]stack.NICStats, 1)
	s.nics = []nic{{name: "tap0"}}
	s.kernel = make([]kernel, 1)
	s.services = []Service{{Name: "echo", Refused: map[string]uint64{"limit": 0}}}
	next := uint64(1000)
	number := func() uint64 { next++; return next }
	fill(reflect.ValueOf(&s.stats).Elem(), number)
	// The kernel's own counters are told with all others of the interface.
	elsewhere := []uint64{s.stats.NICs[0].KernelDropsIn, s.stats.NICs[0].KernelDropsOut}
	s.nics[0].mtu = int(number())
	k := &s.kernel[0]
	k.TxQueueLen, k.RxDropped, k.TxDropped, k.RxErrors, k.TxErrors = int(number()), number(), number(), number(), number()
	for i := range s.sockets.tcp {
		s.sockets.tcp[i] = int(number())
	}
	for i := range s.sockets.heldUp {
		s.sockets.heldUp[i] = int(number())
	}
	for _, v := range []*int{&s.sockets.udp, &s.sockets.sendSize, &s.sockets.sendQueued, &s.sockets.unsent, &s.sockets.receiveSize, &s.sockets.receiveQueued} {
		*v = int(number())
	}
	svc := &s.services[0]
	svc.Opened, svc.Active, svc.Received, svc.Sent = number(), number(), number(), number()
	svc.Refused["limit"] = number()

	r := prometheus.NewPedanticRegistry()
	r.MustRegister(fixed{&s})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64][]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			v := uint64(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			seen[v] = append(seen[v], f.GetName())
		}
	}
	for v := uint64(1001); v <= next; v++ {
		if len(seen[v]) != 1 && !slices.Contains(elsewhere, v) {
			t.Errorf("number %d of %d is in %v", v-1000, next-1000, seen[v])
		}
	}
}

// fill gives every uint64 below v a number.
func fill(v reflect.Value, number func() uint64) {
	switch v.Kind() {
	case reflect.Uint64:
		v.SetUint(number())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), number)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), number)
		}
	default:
	}
}

func TestLive(t *testing.T) {
	peer, s, dev := pair(t)
	l := listen(t, s)
	far, near := connection(t, peer, l)
	defer far.Close()
	defer near.Close()
	if err := near.SetAccounting(true); err != nil {
		t.Fatal(err)
	}
	const unread, read = 5000, 100000
	if _, err := far.Write(make([]byte, unread+read)); err != nil {
		t.Fatal(err)
	}
	if err := far.WaitAcked(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, near, read); err != nil {
		t.Fatal(err)
	}
	m := New(Config{Stack: s, Devices: func() []tap.Device { return []tap.Device{dev} }})
	all := scrape(t, m)
	snd, rcv := near.Buffers()
	for _, c := range []struct {
		want   int
		name   string
		labels []string
	}{
		{1, "tcp_sockets", []string{"ESTABLISHED"}},
		{1, "tcp_sockets", []string{"LISTEN"}},
		{0, "tcp_sockets", []string{"TIME-WAIT"}},
		{1, "tcp_passive_opens_total", nil},
		{1, "tcp_established_connections", nil},
		{rcv.Queued, "tcp_receive_queued_bytes", nil},
		{rcv.Size, "tcp_receive_buffer_bytes", nil},
		{snd.Size, "tcp_send_buffer_bytes", nil},
		{0, "tcp_send_queued_bytes", nil},
		{1, "nic_up", []string{s.NICs()[0].Name()}},
		{0, "nic_receive_drops_total", []string{s.NICs()[0].Name(), "ethertype"}},
	} {
		if got := value(t, all, c.name, c.labels...); got != float64(c.want) {
			t.Errorf("%s%v: %v, want %d", c.name, c.labels, got, c.want)
		}
	}
	if got := value(t, all, "nic_receive_bytes_total", s.NICs()[0].Name()); got < unread+read {
		t.Errorf("%v bytes received", got)
	}
	sum := 0.0
	for _, name := range slowNames {
		sum += value(t, all, "tcp_held_up_connections", name)
	}
	if sum != 1 {
		t.Errorf("%v connections are held up by somebody or nobody", sum)
	}
	if all["tapstack_nic_kernel_drops_total"] != nil {
		t.Error("a pipe with a kernel")
	}
	info, err := near.Info()
	h, ok := near.Holdup()
	if err != nil || !ok {
		t.Fatal(err, ok)
	}
	m.Ended("echo", info, &h)
	all = scrape(t, m)
	if got := value(t, all, "tcp_buffer_wait_seconds", "echo", "unread"); got != 1 {
		t.Errorf("%v observations", got)
	}
}

func TestEnded(t *testing.T) {
	_, s, _ := pair(t)
	m := New(Config{Stack: s})
	m.Ended("a", socketapi.Info{}, nil) // never got through its handshake
	m.Ended("a", withRTT(50*time.Millisecond), nil)
	m.Ended("a", withRTT(60*time.Millisecond), &holdup.Report{Sent: 1, UnsentWait: time.Second, UnackedWait: time.Millisecond})
	all := scrape(t, m)
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{2, "tcp_rtt_seconds", []string{"a"}},
		{1, "tcp_buffer_wait_seconds", []string{"a", "unsent"}},
		{1, "tcp_buffer_wait_seconds", []string{"a", "unacked"}},
	} {
		if got := value(t, all, c.name, c.labels...); got != c.want {
			t.Errorf("%s%v: %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if n := len(all["tapstack_tcp_buffer_wait_seconds"].GetMetric()); n != 2 {
		t.Errorf("%d parts observed, and nothing was received", n)
	}
	if sum := all["tapstack_tcp_rtt_seconds"].GetMetric()[0].GetHistogram().GetSampleSum(); sum < 0.109 || sum > 0.111 {
		t.Errorf("%v s in all", sum)
	}
}

// Whatever comes as a name, a scrape works and stays bounded.
func TestNamesAreBounded(t *testing.T) {
	_, s, _ := pair(t)
	m := New(Config{Stack: s, Version: "\xff", Services: func() []Service {
		var out []Service
		for i := range 3 * maxServices {
			refused := map[string]uint64{}
			for c := range 3 * maxCauses {
				refused[fmt.Sprint(c)] = 1
			}
			out = append(out, Service{Name: fmt.Sprint("s", i), Opened: 1, Refused: refused})
		}
		return append(out, Service{Name: "s1", Opened: 5}, Service{Name: "\xff\xfe"}, Service{Name: "\xfe\xff"})
	}})
	for i := range 3 * maxServices {
		m.Ended(fmt.Sprint("e\xff", i), withRTT(1), nil)
	}
	all := scrape(t, m)
	if n := len(all["tapstack_service_connections_total"].GetMetric()); n != maxServices+1 {
		t.Errorf("%d services", n)
	}
	if n := len(all["tapstack_service_refused_total"].GetMetric()); n > (maxServices+1)*(maxCauses+1) {
		t.Errorf("%d causes", n)
	}
	if n := len(all["tapstack_tcp_rtt_seconds"].GetMetric()); n != maxServices+1 {
		t.Errorf("%d services in the histogram", n)
	}
	if got := value(t, all, "service_connections_total", "s1"); got != 6 {
		t.Errorf("two of one name: %v", got)
	}
	// Nothing is lost among the others.
	sum := 0.0
	for _, one := range all["tapstack_service_refused_total"].GetMetric() {
		sum += one.GetCounter().GetValue()
	}
	if sum != 3*maxServices*3*maxCauses {
		t.Errorf("%v refusals", sum)
	}
}

// Two devices of one name are no reason to show nothing.
func TestTwoNICsOfOneName(t *testing.T) {
	_, s, _ := pair(t)
	a, b := tap.Pipe(nil)
	t.Cleanup(func() { b.Close() })
	if _, err := s.AddNIC(a, nil); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, n := range s.NICs() {
		names[n.Name()] = true
	}
	got := scrape(t, New(Config{Stack: s}))["tapstack_nic_mtu_bytes"].GetMetric()
	if len(got) != len(names) {
		t.Errorf("%d series for %v", len(got), names)
	}
}

func TestScrapesAreBounded(t *testing.T) {
	_, s, _ := pair(t)
	inside, release := make(chan struct{}), make(chan struct{})
	m := New(Config{Stack: s, Services: func() []Service {
		inside <- struct{}{}
		<-release
		return nil
	}})
	h := m.Handler()
	get := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return w.Code
	}
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() { codes <- get() }()
	}
	for range maxScrapes {
		<-inside
	}
	if code := get(); code != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", code)
	}
	close(release)
	for range maxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
}

// A stack that has ended is shown, too: that is when one looks.
func TestEndedStack(t *testing.T) {
	_, s, dev := pair(t)
	m := New(Config{Stack: s, Devices: func() []tap.Device { return []tap.Device{dev} }})
	_ = s.Close()
	all := scrape(t, m)
	if got := value(t, all, "tcp_sockets", "ESTABLISHED"); got != 0 {
		t.Error(got)
	}
}

func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/debug/pprof/", 200},
		{http.MethodGet, "/debug/pprof/heap?debug=1", 200},
		{http.MethodGet, "/debug/pprof/goroutine?debug=2", 200},
		{http.MethodGet, "/debug/pprof/no-such", 404},
		{http.MethodPost, "/debug/pprof/", 405},
		{http.MethodGet, "/metrics", 404},
	} {
		w := httptest.NewRecorder()
		Profiles().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
		if w.Code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.code)
		}
	}
}
