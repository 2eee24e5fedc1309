// Package api is the language of the control API: the names, values and frames
// that server (internal/daemon/control) and client (internal/daemon/client)
// exchange as HTTP and JSON. It is described for everybody else by
// openapi.json, which a test holds against these types and the server.
//
// It holds data and no behaviour beyond reading and writing itself, has no
// goroutine, and imports nothing of the stack.
package api

import _ "embed"

// Version is the first part of every path.
const Version = "v1"

// OpenAPI describes the API, as OpenAPI 3 in JSON.
//
//go:embed openapi.json
var OpenAPI []byte

// Paths of the API.
const (
	PathOpenAPI      = "/v1/openapi.json"
	PathInfo         = "/v1/info"
	PathSockets      = "/v1/sockets"
	PathWatchSockets = "/v1/sockets/watch"
	PathServices     = "/v1/services"
	PathLinks        = "/v1/links"
	PathAddresses    = "/v1/addresses"
	PathRoutes       = "/v1/routes"
	PathNeighbours   = "/v1/neighbours"
	PathStats        = "/v1/stats"
	PathWatch        = "/v1/stats/watch"
	PathEvents       = "/v1/events"
	PathCapture      = "/v1/capture"
	PathPing         = "/v1/ping"
	PathConnect      = "/v1/connect"
	PathSettings     = "/v1/settings"
	PathReload       = "/v1/reload"
	PathStop         = "/v1/stop"
	PathMetrics      = "/v1/metrics"

	// PathProfiles is where Go's tools look for net/http/pprof: below it are
	// its profiles.
	PathProfiles = "/debug/pprof/"
)

// Protocol is what a connection to PathConnect is upgraded to.
const Protocol = "tapstack-frames/1"
