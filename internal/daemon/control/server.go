package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tapstack/internal/daemon/api"
)

// Server answers requests with a Backend. Make it with New; end it with Close.
type Server struct {
	backend Backend
	log     *slog.Logger
	http    *http.Server
	routes  map[string]map[string]*route // by path and method

	access  atomic.Pointer[Access]
	conns   budget
	turned  turned
	streams budget
	peer    func(*net.UnixConn) (Credentials, error)

	patience time.Duration // for an answer, or a piece of a stream, to be taken

	mu      sync.Mutex          // guards what follows
	seen    map[uint32]struct{} // UIDs whose refusal was logged
	closing bool                // nothing new is served

	ctx   context.Context // of everything under way
	end   context.CancelFunc
	serve sync.WaitGroup // one per request, those of upgraded connections included
}

// New makes a server. logger may be nil.
func New(b Backend, a Access, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{backend: b, log: logger, patience: writeTimeout, seen: make(map[uint32]struct{}), peer: peerOf}
	s.access.Store(&a)
	s.conns.max = [...]int{0, maxLookConns, maxConns}
	s.streams.max = [...]int{0, maxLookStreams, maxStreams}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.routes = make(map[string]map[string]*route)
	for i := range routes {
		r := &routes[i]
		if s.routes[r.path] == nil {
			s.routes[r.path] = make(map[string]*route)
		}
		s.routes[r.path][r.method] = r
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.dispatch),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c.(*peerConn))
		},
	}
	return s
}

type peerKey struct{}

// peerOfRequest is the connection that a request came by.
func peerOfRequest(r *http.Request) *peerConn {
	return r.Context().Value(peerKey{}).(*peerConn) // every connection's context has one
}

// Listener is a Unix socket that is listened on: a *net.UnixListener, or what
// life.Listen makes.
type Listener interface {
	net.Listener
	AcceptUnix() (*net.UnixConn, error)
}

// Serve answers whoever connects to l until Close. It owns l.
func (s *Server) Serve(l Listener) error {
	err := s.http.Serve(&peerListener{l, s})
	l.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// SetAccess changes who may do what, for connections from now on.
func (s *Server) SetAccess(a Access) { s.access.Store(&a) }

func (s *Server) accessOf(c *Credentials) access { return s.access.Load().of(c) }

// refused logs that a user was turned away, once for each.
func (s *Server) refused(c *Credentials) {
	const most = 1000 // then it is no news any more
	s.mu.Lock()
	_, known := s.seen[c.UID]
	news := !known && len(s.seen) < most
	if news {
		s.seen[c.UID] = struct{}{}
	}
	s.mu.Unlock()
	if news {
		s.log.Warn("control: refused", "uid", c.UID, "gid", c.GID, "pid", c.PID)
	}
}

// Close ends streams and upgraded connections, waits for answers under way
// until ctx is done, and for every goroutine.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.end()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	s.serve.Wait()
	return err
}

// begin counts a request, unless the server ends.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.serve.Add(1)
	return true
}

// blame logs a handler that panics, of which net/http says nothing that is not
// lost among what clients do wrong. It ends the connection.
func (s *Server) blame(r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
		s.log.Error("control: a request made us panic", "path", clip(r.URL.Path), "panic", p, "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// hurry gives the client its time to take what is written next. The deadline
// before was that of another request, or of another piece.
func (s *Server) hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.patience))
}

// dispatch finds the route of a request, and whether it may be asked for.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	s.hurry(w)
	if !s.begin() {
		w.Header().Set("Connection", "close")
		fail(w, api.Errorf(http.StatusServiceUnavailable, "the daemon is ending"))
		return
	}
	defer s.serve.Done()
	defer s.blame(r)
	peer := peerOfRequest(r)
	if peer.why != nil {
		w.Header().Set("Connection", "close")
		fail(w, peer.why)
		return
	}
	methods := s.routes[r.URL.Path]
	if methods == nil && strings.HasPrefix(r.URL.Path, api.PathProfiles) {
		methods = s.routes[profileRoute]
	}
	if methods == nil {
		fail(w, api.Errorf(http.StatusNotFound, "there is no %s; see %s", clip(r.URL.Path), api.PathOpenAPI))
		return
	}
	rt := methods[r.Method]
	if rt == nil {
		for m := range methods {
			w.Header().Add("Allow", m)
		}
		fail(w, api.Errorf(http.StatusMethodNotAllowed, "%s does not take %s", r.URL.Path, clip(r.Method)))
		return
	}
	if rt.change && peer.access != accessChange {
		fail(w, &api.Error{Status: http.StatusForbidden, Code: "EPERM",
			Message: "only root and the control socket's group may do this: you may look"})
		return
	}
	if len(r.URL.RawQuery) > maxQuery {
		fail(w, api.Errorf(http.StatusRequestURITooLong, "parameters of more than %d bytes", maxQuery))
		return
	}
	if rt.query == nil {
		if err := readQuery(r.URL.RawQuery, &struct{}{}); err != nil {
			fail(w, err)
			return
		}
	}
	if rt.stream {
		if !s.streams.take(peer.access) {
			fail(w, api.Errorf(http.StatusServiceUnavailable, "too many streams at once"))
			return
		}
		defer s.streams.give(peer.access)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := rt.handle(s, w, r); err != nil {
		fail(w, err)
	}
}

// clip keeps what somebody sent from filling an answer.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	e := errorOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(api.Failure{Error: *e})
}
