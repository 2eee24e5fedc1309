package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"tapstack/internal/daemon/metrics"
	"tapstack/internal/daemon/privilege"
	"tapstack/socketapi"
	"tapstack/tap"
)

// startMetrics makes the metrics of the stack, which the control socket shows
// and, if it is to be there, a listener on loopback.
func (h *instance) startMetrics(version, revision string) {
	h.metrics = metrics.New(metrics.Config{
		Stack: h.stack,
		Devices: func() (out []tap.Device) {
			for _, d := range h.Devices() {
				out = append(out, d)
			}
			return out
		},
		Services: h.serviceCounts,
		Version:  version, Revision: revision,
	})
}

// serviceCounts are those of all services, forwards and proxies.
func (h *instance) serviceCounts() []metrics.Service {
	if h.services == nil || h.proxies == nil {
		return nil // not started yet
	}
	return append(h.services.Counts(), h.proxies.counts()...)
}

// Metrics implements control.Backend.
func (h *instance) Metrics() http.Handler { return h.metrics.Handler() }

// Profiles implements control.Backend.
func (h *instance) Profiles() http.Handler { return metrics.Profiles() }

// metricsServer serves /metrics on a loopback address, or nowhere. Its zero
// value needs log and handler.
type metricsServer struct {
	log     *slog.Logger
	handler http.Handler

	mu     sync.Mutex
	at     netip.AddrPort
	server *http.Server
	served chan struct{}
}

// maxScrapers is how many connections there may be at once; one more waits.
const maxScrapers = 32

// open listens. Serving begins with start: after the privileges are dropped.
func (m *metricsServer) open(at netip.AddrPort) (net.Listener, error) {
	op := "metrics: listen on " + at.String()
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", privilege.Explain(op, "CAP_NET_BIND_SERVICE", err))
	}
	return l, nil
}

// start serves l, which may be nil.
func (m *metricsServer) start(l net.Listener, at netip.AddrPort) {
	if l == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.handler)
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		// Everybody on this machine may connect: not with all our descriptors.
		if err := srv.Serve(netutil.LimitListener(l, maxScrapers)); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("metrics: no longer served", "err", err)
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at, m.server, m.served = at, srv, served
}

// stop ends serving, after a second whatever is under way.
func (m *metricsServer) stop() {
	m.mu.Lock()
	srv, served := m.server, m.served
	m.at, m.server = netip.AddrPort{}, nil
	m.mu.Unlock()
	if srv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if srv.Shutdown(ctx) != nil {
		_ = srv.Close()
	}
	<-served
}

// move serves somewhere else, or nowhere. With an error it is where it was.
func (m *metricsServer) move(to netip.AddrPort) error {
	m.mu.Lock()
	same := m.at == to
	m.mu.Unlock()
	if same {
		return nil
	}
	if !to.IsValid() {
		m.stop()
		return nil
	}
	l, err := m.open(to)
	if err != nil {
		return err
	}
	m.stop()
	m.start(l, to)
	return nil
}

// openMetrics opens the listener of the configuration; nil is none.
func (h *instance) openMetrics() (net.Listener, error) {
	h.metricsHTTP = metricsServer{log: h.log, handler: h.metrics.Handler()}
	if at := h.cfg.Metrics.Listen; at.IsValid() {
		return h.metricsHTTP.open(at)
	}
	return nil, nil
}

// alive is nil if the daemon is well: what the watchdog asks. It goes through
// all that a connection lives by: the loop that obeys signals, the locks of
// configuration, services and sockets, and the stack's TCP processors.
func (h *instance) alive(ctx context.Context) error {
	select {
	case <-h.stack.Done():
		return fmt.Errorf("the stack has ended: %w", h.stack.Err())
	default:
	}
	select {
	case h.pulse <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	h.Info()
	h.services.Addrs()
	h.proxies.Addrs()
	_ = h.stack.Stats()
	_ = socketapi.TCPSockets(h.stack)
	h.stack.Quiesce()
	return nil
}

// settled tells the service manager how it stands, after a start or a reload.
func (h *instance) settled() {
	h.mu.Lock()
	nics := len(h.cfg.NICs)
	h.mu.Unlock()
	status := fmt.Sprintf("%s, %d listeners", counted(nics, "NIC"), len(h.services.Addrs())+len(h.proxies.Addrs()))
	if err := h.manager.Ready(status); err != nil {
		h.log.Warn("the service manager can not be told", "err", err)
	}
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
