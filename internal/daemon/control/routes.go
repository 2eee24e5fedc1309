package control

import (
	"encoding/json"
	"net/http"
	"time"

	"tapstack/internal/daemon/api"
)

// route is one thing that can be asked for.
type route struct {
	method, path string
	change       bool // only for those who may change things
	stream       bool // lasts, and is counted
	handle       func(*Server, http.ResponseWriter, *http.Request) error

	// For the test of openapi.json: a value of the type of the parameters or
	// the body, and of the answer; nil is none.
	query, body, answer any
}

// routes are all there is.
var routes = []route{
	{method: "GET", path: api.PathOpenAPI, handle: serveOpenAPI},
	{method: "GET", path: api.PathInfo, handle: serveInfo, answer: api.Info{}},
	{method: "GET", path: api.PathSockets, handle: serveSockets, query: api.SocketQuery{}, answer: []api.Socket{}},
	{method: "GET", path: api.PathServices, handle: get(func(b Backend) []api.Service { return b.Services() }), answer: []api.Service{}},
	{method: "GET", path: api.PathWatchSockets, stream: true, handle: serveWatchSockets, query: api.SocketWatchQuery{}, answer: api.SocketWatch{}},
	{method: "GET", path: api.PathStats, handle: get(func(b Backend) api.Stats { return b.Stats() }), answer: api.Stats{}},
	{method: "GET", path: api.PathWatch, stream: true, handle: serveWatch, query: api.WatchQuery{}, answer: api.Stats{}},
	{method: "GET", path: api.PathEvents, stream: true, handle: serveEvents, query: api.EventQuery{}, answer: api.Event{}},

	{method: "GET", path: api.PathLinks, handle: get(func(b Backend) []api.Link { return b.Links() }), answer: []api.Link{}},
	{method: "PATCH", path: api.PathLinks, change: true, handle: change(Backend.ChangeLink), body: api.LinkChange{}},
	{method: "GET", path: api.PathAddresses, handle: get(func(b Backend) []api.Address { return b.Addresses() }), answer: []api.Address{}},
	{method: "POST", path: api.PathAddresses, change: true, handle: change(Backend.AddAddress), body: api.Address{}},
	{method: "DELETE", path: api.PathAddresses, change: true, handle: change(Backend.RemoveAddress), body: api.Address{}},
	{method: "GET", path: api.PathRoutes, handle: get(func(b Backend) []api.Route { return b.Routes() }), answer: []api.Route{}},
	{method: "POST", path: api.PathRoutes, change: true, handle: change(Backend.AddRoute), body: api.Route{}},
	{method: "DELETE", path: api.PathRoutes, change: true, handle: change(Backend.RemoveRoute), body: api.Route{}},
	{method: "GET", path: api.PathNeighbours, handle: get(func(b Backend) []api.Neighbour { return b.Neighbours() }), answer: []api.Neighbour{}},
	{method: "POST", path: api.PathNeighbours, change: true, handle: change(Backend.AddNeighbour), body: api.Neighbour{}},
	{method: "DELETE", path: api.PathNeighbours, change: true, handle: change(Backend.RemoveNeighbour), body: api.Neighbour{}},

	{method: "GET", path: api.PathSettings, handle: get(func(b Backend) api.Settings { return b.Settings() }), answer: api.Settings{}},
	{method: "PATCH", path: api.PathSettings, change: true, handle: change(Backend.Change), body: api.Settings{}},
	{method: "POST", path: api.PathReload, change: true, handle: serveReload, answer: api.Reloaded{}},
	{method: "POST", path: api.PathStop, change: true, stream: true, handle: serveStop, answer: api.Stopping{}},

	{method: "GET", path: api.PathMetrics, handle: serveMetrics},
	{method: "GET", path: profileRoute, change: true, stream: true, handle: serveProfile, query: api.ProfileQuery{}},

	{method: "GET", path: api.PathCapture, change: true, stream: true, handle: serveCapture, query: api.CaptureQuery{}},
	{method: "GET", path: api.PathPing, change: true, stream: true, handle: servePing, query: api.PingQuery{}, answer: api.PingReply{}},
	{method: "POST", path: api.PathConnect, change: true, stream: true, handle: serveConnect, query: api.ConnectQuery{}},
}

// get is a handler for what takes no parameters and does not fail.
func get[T any](ask func(Backend) T) func(*Server, http.ResponseWriter, *http.Request) error {
	return func(s *Server, w http.ResponseWriter, _ *http.Request) error {
		return answer(w, ask(s.backend))
	}
}

// change is a handler for what takes a body and answers with nothing.
func change[T any](do func(Backend, *T) error) func(*Server, http.ResponseWriter, *http.Request) error {
	return func(s *Server, w http.ResponseWriter, r *http.Request) error {
		var body T
		if err := readBody(r.Body, &body); err != nil {
			return err
		}
		if err := do(s.backend, &body); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// answer writes one JSON value.
func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // fails only when the client has gone
	return nil
}

func serveOpenAPI(_ *Server, w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(api.OpenAPI)
	return nil
}

func serveInfo(s *Server, w http.ResponseWriter, r *http.Request) error {
	info := s.backend.Info()
	info.Version = api.Version
	info.MayChange = peerOfRequest(r).access == accessChange
	return answer(w, info)
}

func serveReload(s *Server, w http.ResponseWriter, _ *http.Request) error {
	done, err := s.backend.Reload()
	if err != nil {
		return err
	}
	return answer(w, done)
}

// serveStop answers at once, and ends the answer when the daemon is done.
func serveStop(s *Server, w http.ResponseWriter, r *http.Request) error {
	if err := streaming(w); err != nil {
		return err
	}
	s.backend.Stop()
	send := s.sender(w)
	if send(api.Stopping{Stopping: true}) == nil {
		<-r.Context().Done()
	}
	return nil
}

// streaming prepares for an answer that lasts.
func streaming(w http.ResponseWriter) error {
	// Both deadlines are a short answer's: they would end a long one.
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return rc.SetWriteDeadline(time.Time{})
}

// sender writes one JSON value a line, each at once, and gives up on a client
// that does not take it.
func (s *Server) sender(w http.ResponseWriter) func(v any) error {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	return func(v any) error {
		s.hurry(w)
		if err := enc.Encode(v); err != nil {
			return err
		}
		return rc.Flush()
	}
}

// flushing writes an answer that is a file, and keeps nothing back.
type flushing struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

// Write implements io.Writer.
func (f *flushing) Write(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", "application/x-pcapng")
	}
	n, err := f.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}
