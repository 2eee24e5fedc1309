package metrics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkScrape is one scrape of a stack with ten thousand connections, to
// the last byte of text.
func BenchmarkScrape(b *testing.B) {
	const connections = 10000
	peer, s, _ := pair(b)
	l := listen(b, s)
	for range connections {
		far, near := connection(b, peer, l)
		b.Cleanup(func() { _, _ = far.Close(), near.Close() })
	}
	h := New(Config{Stack: s}).Handler()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		w := httptest.NewRecorder()
		w.Body = nil
		h.ServeHTTP(discard{w}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}

type discard struct{ *httptest.ResponseRecorder }

func (discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
