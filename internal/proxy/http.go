package proxy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// HTTPConfig is a HTTP proxy (RFC 9110): CONNECT, which makes a tunnel, and
// requests in absolute form, which are passed on over connections that clients
// share.
type HTTPConfig struct {
	Options

	// Auth asks clients for user and password (Basic, RFC 7617); nil lets
	// everybody in.
	Auth Auth
}

// Implementation constants.
const (
	maxHeader       = 16 << 10 // of a request; net/http allows 4 KiB more
	maxAnswerHeader = 64 << 10
	maxIdleTargets  = 64 // kept connections to targets
	via             = "1.1 tapstack"
)

// established200 is the answer to a CONNECT that has succeeded.
const established200 = "HTTP/1.1 200 Connection established\r\n\r\n"

// HTTP starts a HTTP proxy. net/http reads the requests; a tunnel is taken away
// from it and is relayed as a forward is.
//
// Errors: those of Options.Listen, with the service's name.
func HTTP(cfg HTTPConfig) (*Service, error) {
	s := newService("http", "", &cfg.Options)
	l, err := s.listen()
	if err != nil {
		return nil, err
	}
	p := &web{Service: s, auth: cfg.Auth}
	p.transport = &http.Transport{
		DialContext:            p.dialTarget,
		DisableCompression:     true,
		MaxIdleConns:           maxIdleTargets,
		IdleConnTimeout:        max(s.opt.Limits.Handshake, time.Minute),
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
	quiet := log.New(quietLog{s}, "", 0)
	p.forward = &httputil.ReverseProxy{
		Rewrite:        rewrite,
		ModifyResponse: func(r *http.Response) error { r.Header.Add("Via", via); return nil },
		Transport:      p.transport,
		FlushInterval:  -1,
		BufferPool:     bufferPool{},
		ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { p.deny(w, r, refuse(dialCause(err), err)) },
		ErrorLog:       quiet,
	}
	srv := &http.Server{
		Handler:                      p,
		ReadHeaderTimeout:            s.opt.Limits.Handshake,
		IdleTimeout:                  max(s.opt.Limits.Idle, 0),
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     quiet,
		BaseContext:                  func(net.Listener) context.Context { return s.alive },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, webKey{}, c)
		},
	}
	s.quiesce = func(ctx context.Context) {
		_ = srv.Shutdown(ctx) // its error is ctx's
		s.work.Wait()
		p.transport.CloseIdleConnections()
	}
	s.work.Go(func() { s.accepted(srv.Serve(webListener{l, s})) })
	return s, nil
}

type web struct {
	*Service
	auth      Auth
	transport *http.Transport
	forward   *httputil.ReverseProxy
}

// webKey is a request's webConn in its context.
type webKey struct{}

// ServeHTTP is one request.
func (p *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(webKey{}).(*webConn)
	switch {
	case !p.allowed(r):
		w.Header().Set("Proxy-Authenticate", `Basic realm="tapstack"`)
		p.deny(w, r, refuse(CauseAuth, errors.New("no such user and password")))
	case r.Method == http.MethodConnect:
		p.connect(c, w, r)
	case r.URL.Host == "":
		p.deny(w, r, refuse(CauseGarbage, errors.New("this is a proxy: it takes CONNECT, and GET http://host/path and the like")))
	case r.URL.Scheme != "http":
		p.deny(w, r, refuse(CauseUnsupported, fmt.Errorf("scheme %q is not passed on: use CONNECT", r.URL.Scheme)))
	default:
		c.use()
		// A target may answer before it has all of the request.
		_ = http.NewResponseController(w).EnableFullDuplex() // fails for HTTP/2 alone
		p.forward.ServeHTTP(w, r)
	}
}

// allowed checks Proxy-Authorization.
func (p *web) allowed(r *http.Request) bool {
	if p.auth == nil {
		return true
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return false
	}
	user, password, ok := strings.Cut(string(b), ":")
	return ok && p.auth(user, password)
}

// connect makes a tunnel. The relay has a goroutine of its own, so that
// net/http's memory for the connection is free.
func (p *web) connect(c *webConn, w http.ResponseWriter, r *http.Request) {
	to, err := connectTarget(r.RequestURI)
	if err != nil {
		p.deny(w, r, refuse(CauseGarbage, err))
		return
	}
	target, err := p.dial(r.Context(), "tcp", to)
	if err != nil {
		p.deny(w, r, err)
		return
	}
	_, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		reset(target)
		p.deny(w, r, refuse(CauseFailed, err))
		return
	}
	early := make([]byte, rw.Reader.Buffered())
	_, _ = rw.Read(early)
	go func() {
		_, err := io.WriteString(c.session.client, established200)
		if err != nil {
			reset(target)
			c.over(refuse(CauseGone, err))
			return
		}
		c.over(c.session.relay(target, nil, early))
	}()
}

// connectTarget reads CONNECT's host and port (RFC 9110, 9.3.6).
func connectTarget(authority string) (string, error) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("%q is no port", port)
	}
	if !validName(host) {
		return "", fmt.Errorf("%q is no host", host)
	}
	return joinName(host, uint16(n)), nil
}

// dialTarget is dial for requests that are passed on. A connection may serve
// several of them, so that it is no client's.
func (p *web) dialTarget(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.alive, cancel)()
	return p.dial(ctx, network, address)
}

// rewrite makes a request to the target of one to us. ReverseProxy takes away
// what is between client and proxy alone, Proxy-Authorization for one, but also
// what the client says of proxies on its own side.
func rewrite(r *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = v
		}
	}
	r.Out.Header.Add("Via", via)
}

// deny answers a request with an error.
func (p *web) deny(w http.ResponseWriter, r *http.Request, err error) {
	cause := causeOf(err)
	p.counts.deny(cause)
	c := r.Context().Value(webKey{}).(*webConn)
	c.denied.Store(&cause)
	level := slog.LevelInfo
	if cause == CauseAuth || cause == CauseGarbage {
		level = slog.LevelWarn
	}
	p.log.say(level, cause, "request denied", slog.Any("client", c.session.client.RemoteAddr()), slog.Any("err", err))
	http.Error(w, "tapstack: "+err.Error(), statusFor(cause))
}

func statusFor(cause Cause) int {
	switch cause {
	case CauseAuth:
		return http.StatusProxyAuthRequired
	case CauseGarbage:
		return http.StatusBadRequest
	case CauseUnsupported:
		return http.StatusNotImplemented
	case CauseTimeout:
		return http.StatusGatewayTimeout
	case CauseExhausted, CauseShutdown:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadGateway
	}
}
