package metrics

import (
	"net/http"
	"net/http/pprof"
)

// Profiles serves net/http/pprof below /debug/pprof/. Whoever can ask may slow
// the process down and read what is in its memory: the control socket's owner.
// (Importing pprof also adds it to http.DefaultServeMux; serve that nowhere.)
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
