package control

import (
	"net/http"
	"time"

	"tapstack/internal/daemon/api"
)

// profileRoute is how a profile's path is described.
const profileRoute = api.PathProfiles + "{profile}"

// longestProfile is how long a profile may be taken: it costs all others time.
const longestProfile = 5 * time.Minute

func serveMetrics(s *Server, w http.ResponseWriter, r *http.Request) error {
	s.backend.Metrics().ServeHTTP(w, r)
	return nil
}

// serveProfile has net/http/pprof answer, who reads the parameters again.
func serveProfile(s *Server, w http.ResponseWriter, r *http.Request) error {
	var q api.ProfileQuery
	if err := readQuery(r.URL.RawQuery, &q); err != nil {
		return err
	}
	if limit := int(longestProfile / time.Second); q.Seconds > limit {
		return api.Errorf(http.StatusBadRequest, "parameter \"seconds\": at most %d", limit)
	}
	if err := streaming(w); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longestProfile + s.patience))
	s.backend.Profiles().ServeHTTP(w, r)
	return nil
}
