package control

import (
	"net/http"
	"strings"
	"testing"
)

func TestMetricsAndProfiles(t *testing.T) {
	s := serve(t, newFake(), Access{Owner: owner}, root)
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/v1/metrics", http.StatusOK, "metrics of /v1/metrics"},
		{"/v1/metrics?x=1", http.StatusBadRequest, "no parameter"},
		{"/debug/pprof/", http.StatusOK, "profile /debug/pprof/"},
		{"/debug/pprof/heap?gc=1&debug=1", http.StatusOK, "profile /debug/pprof/heap gc=1&debug=1"},
		{"/debug/pprof/profile?seconds=301", http.StatusBadRequest, "at most 300"},
		{"/debug/pprof/profile?seconds=-1", http.StatusBadRequest, "want a number"},
		{"/debug/pprof/profile?hz=1000", http.StatusBadRequest, "no parameter"},
		{"/debug/pprof", http.StatusNotFound, "there is no"},
	} {
		status, body := s.ask(t, "GET", c.path, "")
		if status != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.path, status, body, c.status, c.want)
		}
	}
	if status, body := s.ask(t, "POST", "/debug/pprof/symbol", "x"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d %s", status, body)
	}
}
