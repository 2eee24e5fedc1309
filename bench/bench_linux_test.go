package main

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

func TestMain(m *testing.M) {
	if playRole(os.Args) { // the measured processes are this program again
		return
	}
	os.Exit(netnstest.Main(m))
}

// TestRun measures the headline on every target, too shortly to mean anything.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	t.Setenv("GORACE", "halt_on_error=1") // of the processes that are measured
	ns := netnstest.Need(t)
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		netnstest.Skip(t, err)
	}
	cfg := config{
		rounds: 1, warm: 50 * time.Millisecond, span: 50 * time.Millisecond, idle: 50 * time.Millisecond, conns: 50, turn: 1 << 20,
		only: regexp.MustCompile(`^([a-z]+_[rt]x|rtt_p.._us|http_rps|conn_rate|udp_.*|mem_.*|idle_cpu|tcp_rx_v6|forward_.*|http_connect_tx|[a-z]+_cost_[rt]x)$`), targets: targets, out: t.TempDir(), verbose: testing.Verbose(),
	}
	var rep *report
	err := ns.Do(func() (err error) { rep, err = run(t.Context(), cfg, io.Discard); return err })
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.failures) > 0 {
		t.Errorf("failed:\n%s", strings.Join(rep.failures, "\n"))
	}
	_, err = slirpVersion()
	slirpMissing := err != nil
	if slirpMissing && os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
		t.Errorf("TAPSTACK_REQUIRE_TOOLS=1, but: %v", err)
	}
	on := make(map[string][]string)
	for _, j := range allJobs(nil) {
		for _, m := range j.metrics {
			on[m.name+j.under.suffix] = j.targets(cfg)
		}
	}
	for _, x := range rep.results {
		for _, target := range on[x.Workload] {
			if target == slirpName && slirpMissing {
				continue
			}
			if len(x.Runs[target]) != 1 {
				t.Errorf("%s on %s: measured %d times, want once", x.Workload, target, len(x.Runs[target]))
			}
		}
	}
}

// TestMeasuredAgain: a measurement that saw nothing is made again, for longer,
// and not for ever; one that failed otherwise is not.
func TestMeasuredAgain(t *testing.T) {
	ns := netnstest.Need(t)
	for _, c := range []struct {
		name       string
		nothing    int // attempts that see nothing
		then       error
		times      int
		wantFailed bool
	}{
		{"at the third", 2, nil, 3, false},
		{"never", maxAttempts, nil, maxAttempts, true},
		{"broken", 0, errors.New("broken"), 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spans []time.Duration
			j := job{metrics: []metric{connRate}, under: headline, run: func(_ context.Context, _ *pair, cfg config) ([]float64, error) {
				spans = append(spans, cfg.span)
				if len(spans) <= c.nothing {
					return []float64{0}, answer{}.failed(errNothing).err()
				}
				return []float64{7}, c.then
			}}
			r := &runner{cfg: config{span: time.Second, targets: []string{"kernel"}, only: regexp.MustCompile("")},
				log: io.Discard, report: &report{}, cores: [2]int{-1, -1}, start: time.Now(), total: 1}
			r.report.results = []*result{{Workload: connRate.name, Runs: make(map[string][]float64)}}
			if err := ns.Do(func() error { return r.job(t.Context(), j, 0) }); err != nil {
				t.Fatal(err)
			}
			if len(spans) != c.times || spans[len(spans)-1] != time.Second<<(c.times-1) {
				t.Errorf("spans %v, want %d, each twice the one before", spans, c.times)
			}
			if failed := len(r.report.failures) > 0; failed != c.wantFailed {
				t.Errorf("failures: %q", r.report.failures)
			}
		})
	}
}

// TestNothingArrived: that is told from other failures, also by the coordinator.
func TestNothingArrived(t *testing.T) {
	stuck := func() int64 { return 1 }
	a, err := window(order{Span: time.Millisecond}, stuck, nil)
	if err == nil || !errors.Is(a.failed(err).err(), errNothing) {
		t.Errorf("%v, want errNothing", err)
	}
	if other := (answer{}).failed(io.EOF).err(); errors.Is(other, errNothing) || other.Error() != "EOF" {
		t.Errorf("another error became %v", other)
	}
	if err := (answer{}).err(); err != nil {
		t.Errorf("no error became %v", err)
	}
}

// TestInterrupt: nothing is left of a measurement that is cut short.
func TestInterrupt(t *testing.T) {
	netnstest.Need(t)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := newPair(ctx, "kernel", headline, [2]int{-1, -1}, false)
	if err != nil {
		netnstest.Skip(t, err)
	}
	defer p.close()
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = bulkIn(1, false)(ctx, p, config{warm: time.Minute, span: time.Minute})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	for _, proc := range []*process{p.peer, p.sut} {
		select {
		case <-proc.done:
		default:
			t.Errorf("the %s is still running", proc.role)
		}
	}
}

// TestUnknownTarget: a target that cannot be opened says why.
func TestUnknownTarget(t *testing.T) {
	netnstest.Need(t)
	_, err := newPair(t.Context(), "nothing", headline, [2]int{-1, -1}, false)
	var no *netns.UnavailableError
	if errors.As(err, &no) {
		netnstest.Skip(t, err)
	}
	if err == nil || !strings.Contains(err.Error(), `no target "nothing"`) {
		t.Errorf("%v", err)
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range []string{"-rounds=0", "-seconds=0", "-run=(", "-conns=0", "more"} {
		if _, err := parseFlags([]string{bad}, io.Discard); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	cfg, err := parseFlags([]string{"-quick"}, io.Discard)
	if err != nil || cfg.rounds != 1 || cfg.span >= time.Second {
		t.Errorf("-quick: %+v, %v", cfg, err)
	}
}

func TestWorkloadNames(t *testing.T) {
	have := make(map[string]bool)
	for _, j := range allJobs([]string{"bbr"}) {
		for _, m := range j.metrics {
			name := m.name + j.under.suffix
			if have[name] {
				t.Errorf("%s is measured twice", name)
			}
			have[name] = true
		}
	}
	for _, name := range []string{
		"tcp_rx", "tcp_tx", "tcp_rx_4", "tcp_tx_4", "tcp_rx_v6", "tcp_tx_v6", "rtt_p50_us", "rtt_p99_us",
		"rtt_p50_us_nospin", "rtt_p99_us_nospin", "http_rps", "conn_rate", "udp_rx_pps", "udp_tx_pps", "udp_tx_batch_pps",
		"mem_per_conn", "cpu_per_gb_rx", "cpu_per_gb_tx", "idle_cpu", "tcp_rx_unpinned", "tcp_tx_bbr",
		"forward_rx", "forward_tx", "socks5_rx", "socks5_tx", "http_connect_rx", "http_connect_tx", "forward_rtt_p50_us",
		"forward_rtt_p50_us_nospin", "forward_mem",
		"layer_cost_rx", "layer_cost_tx", "account_cost_rx", "account_cost_tx",
	} {
		if !have[name] {
			t.Errorf("no workload %s", name)
		}
	}
}

func TestParseCPU(t *testing.T) {
	got, err := parseCPU("cpu  100 20 300 4000 50 6 70 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if err != nil || got != 4.96 {
		t.Errorf("%v, %v, want 4.96", got, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"} {
		if _, err := parseCPU(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestResponseLength(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nX: y\r\n\r\n"
	if n, err := responseLength([]byte(whole + "hel")); err != nil || n != len(whole)+5 {
		t.Errorf("%d, %v, want %d", n, err, len(whole)+5)
	}
	if n, err := responseLength([]byte(whole[:len(whole)-2])); err != nil || n != 0 {
		t.Errorf("incomplete: %d, %v, want 0", n, err)
	}
	for _, bad := range []string{"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n"} {
		if _, err := responseLength([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
