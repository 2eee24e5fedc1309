package metrics

import (
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/stack"
	"tapstack/tap"
)

// Config is what is shown. All functions are called by each scrape, several at
// a time, and must not block.
type Config struct {
	Stack *stack.Stack

	// Devices are those of the stack's NICs, by which the kernel's own
	// counters are found; nil leaves those out.
	Devices func() []tap.Device

	// Services are the daemon's services; nil is none.
	Services func() []Service

	// Version and Revision of the program.
	Version, Revision string
}

// Service counts what one service, forward or proxy did since it began. Names
// come from the configuration; two of one name are added up.
type Service struct {
	Name string

	Opened uint64 // connections, or of UDP: flows
	Active uint64 // of these, now

	// Bytes of payload: taken from the stack's network, given to it.
	Received, Sent uint64

	// Refused by cause: a few short constants ("limit", "denied", "unreachable",
	// "refused", "timeout"), never a text with an address in it.
	Refused map[string]uint64
}

// Bounds on what a mistake in a configuration or a program can cost.
const (
	maxServices = 256 // further ones are "other"
	maxCauses   = 16  // of each service
	maxScrapes  = 2   // at a time; more get 503
	scrapeTime  = 10 * time.Second
	other       = "other"
)

// Metrics are those of one stack. Its methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	rtt      *prometheus.HistogramVec
	wait     *prometheus.HistogramVec

	mu    sync.Mutex
	ended map[string]bool // services that the histograms know
}

// buckets reach from what a TAP takes to what a bad day on the Internet does:
// 20 us to 3.5 s, a factor of three apart.
var buckets = prometheus.ExponentialBuckets(20e-6, 3, 12)

// New makes them. The Go runtime's, the process's and the build's are among
// them.
func New(cfg Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		ended:    make(map[string]bool),
		rtt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tapstack_tcp_rtt_seconds", Buckets: buckets,
			Help: "Smoothed round trip time of each connection, when it ended.",
		}, []string{"service"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tapstack_tcp_buffer_wait_seconds", Buckets: buckets,
			Help: "How long a byte spent on average in a part of the buffers of each connection that kept an account, when it ended: unsent (written, not sent), unacked (sent, not acknowledged), unread (acknowledged, not read).",
		}, []string{"service", "part"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tapstack_build_info", Help: "1; what is running.",
		ConstLabels: prometheus.Labels{"version": valid(cfg.Version), "revision": valid(cfg.Revision), "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		&collector{cfg}, m.rtt, m.wait, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Reads are the files, besides /proc/self, that scrapes and profiles open: for
// those who limit what this process may read.
func Reads() []string {
	files := []string{"/proc/stat"} // when the machine started
	if self, err := os.Executable(); err == nil {
		files = append(files, self) // its build ID is in every profile
	}
	return files
}

// Handler answers GET with all metrics, in the format that is asked for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// Half an answer, with a count of what is missing, is better than none
		// on the day one looks.
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            m.registry,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTime,
	})
}

// Ended observes a connection that has ended: its last tcp_info, and its
// account or nil. It costs less than a microsecond.
func (m *Metrics) Ended(service string, info socketapi.Info, account *holdup.Report) {
	service = m.known(service)
	if info.Conn != nil && info.Conn.RTT != nil {
		m.rtt.WithLabelValues(service).Observe(info.Conn.RTT.Seconds())
	}
	if account == nil {
		return
	}
	if account.Sent > 0 {
		m.wait.WithLabelValues(service, "unsent").Observe(account.UnsentWait.Seconds())
		m.wait.WithLabelValues(service, "unacked").Observe(account.UnackedWait.Seconds())
	}
	if account.Received > 0 {
		m.wait.WithLabelValues(service, "unread").Observe(account.UnreadWait.Seconds())
	}
}

// known bounds the services that histograms are kept for.
func (m *Metrics) known(service string) string {
	service = valid(service)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended[service] {
		if len(m.ended) >= maxServices {
			return other
		}
		m.ended[service] = true
	}
	return service
}

// valid is what Prometheus takes for a label's value: one bad byte would cost
// the whole scrape.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
