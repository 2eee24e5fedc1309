package control

import (
	"context"
	"io"
	"net/http"

	"tapstack/internal/daemon/api"
)

// Backend is what is controlled. Its methods are called concurrently. Errors
// that are an *api.Error keep their status; errnos get one that fits (see
// statusOf); all others are internal errors.
type Backend interface {
	Info() api.Info
	Services() []api.Service
	// Sockets calls each for every socket until each fails, not before
	// everything that the query can be refused for has been checked. The
	// socket is the backend's again when each returns.
	Sockets(q *api.SocketQuery, each func(*api.Socket) error) error
	Stats() api.Stats

	Links() []api.Link
	ChangeLink(c *api.LinkChange) error
	Addresses() []api.Address
	AddAddress(a *api.Address) error
	RemoveAddress(a *api.Address) error
	Routes() []api.Route
	AddRoute(r *api.Route) error
	RemoveRoute(r *api.Route) error
	Neighbours() []api.Neighbour
	AddNeighbour(n *api.Neighbour) error
	RemoveNeighbour(n *api.Neighbour) error

	Settings() api.Settings
	Change(s *api.Settings) error
	// Reload reads the configuration again. With an error nothing has changed.
	Reload() (api.Reloaded, error)
	// Stop begins to end the daemon, and does not wait for it.
	Stop()

	// Metrics answers with Prometheus's text, Profiles with those of
	// net/http/pprof below api.PathProfiles.
	Metrics() http.Handler
	Profiles() http.Handler

	// WatchSockets calls each for every look until ctx is done or each fails.
	WatchSockets(ctx context.Context, q *api.SocketWatchQuery, each func(*api.SocketWatch) error) error
	// Events calls each for every event until ctx is done or each fails.
	Events(ctx context.Context, q *api.EventQuery, each func(*api.Event) error) error
	// Capture writes a pcapng file to w, not a byte of it before everything
	// that the query can be refused for has been checked.
	Capture(ctx context.Context, q *api.CaptureQuery, w io.Writer) error
	// Ping calls each for every reply and every request without one.
	Ping(ctx context.Context, q *api.PingQuery, each func(*api.PingReply) error) error
	// Connect carries a connection of the stack's as frames over rw until it
	// is over both ways, or ctx is done. It tells errors as frames, and closes
	// rw.
	Connect(ctx context.Context, q *api.ConnectQuery, rw io.ReadWriteCloser) error
}
