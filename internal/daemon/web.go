package daemon

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"text/tabwriter"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// The http service:
//
//	/status            the status, as text; at / too if there are no files
//	/stats             stack.Stats, as JSON
//	/bytes?n=N&seed=S  N pseudo-random bytes, the same for the same S (0);
//	                   their SHA-256 in hex is in the trailer X-SHA256
//	everything else    the files of ServicesConfig.Root

// newWeb makes the server. Its limits keep a client that stalls from holding a
// connection for ever; how long an answer takes is the client's affair.
func (s *Services) newWeb() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", s.serveFiles)
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.HandleFunc("GET /stats", s.serveStats)
	mux.HandleFunc("GET /bytes", serveBytes)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnState: func(c net.Conn, st http.ConnState) {
			c.(*conn).webState.Store(int64(st))
		},
	}
}

func (s *Services) listenWeb(name, addr string) error {
	l, err := s.listen(name, addr)
	if err != nil {
		return err
	}
	s.work.Go(func() { s.ended(name, s.web.Serve(&webListener{l, s, name})) })
	return nil
}

// webListener is a listener whose connections are tracked.
type webListener struct {
	*socketapi.TCPListener
	services *Services
	name     string
}

// Accept implements net.Listener.
func (l *webListener) Accept() (net.Conn, error) {
	c, err := l.services.accept(l.TCPListener, l.name, true)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// serveStatus is what curl shows a newcomer: who answers, and what it counts.
func (s *Services) serveStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	st := s.stack.Stats()
	fmt.Fprintf(t, "tapstack: a TCP/IP stack in userspace, up for %v\n", time.Since(s.started).Round(time.Second))
	fmt.Fprintf(t, "you are %s, this is %s\n", r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey))
	counters := make(map[string]stack.NICStats)
	for _, n := range st.NICs {
		counters[n.Name] = n
	}
	for _, n := range s.stack.NICs() {
		dev := counters[n.Name()].Device
		fmt.Fprintf(t, "\nNIC %s\tMTU %d\t%s\n", n.Name(), n.MTU(), n.HardwareAddr())
		for _, a := range n.Addresses() {
			fmt.Fprintf(t, "  address\t%s\n", a)
		}
		fmt.Fprintf(t, "  received\t%d frames\t%d bytes\t%d dropped\n", dev.RxFrames, dev.RxBytes, dev.RxDrops.Total())
		fmt.Fprintf(t, "  sent\t%d frames\t%d bytes\t%d dropped\n", dev.TxFrames, dev.TxBytes, dev.TxDrops.Total())
		fmt.Fprintf(t, "  by the kernel\t%d dropped before we had them\t%d after\n",
			counters[n.Name()].KernelDropsIn, counters[n.Name()].KernelDropsOut)
	}
	fmt.Fprintf(t, "\nTCP\t%d established\t%d accepted\t%d dialled\n", st.TCP.Established, st.TCP.PassiveOpens, st.TCP.ActiveOpens)
	fmt.Fprintf(t, "  segments\t%d received\t%d sent\t%d sent again\n", st.TCP.SegmentsReceived, st.TCP.SegmentsSent, st.TCP.Retransmits)
	fmt.Fprintf(t, "UDP\t%d received\t%d sent\n", st.UDP.Received, st.UDP.Sent)
	fmt.Fprintf(t, "\nservices\n")
	for _, a := range s.Addrs() {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", a.Name, a.Addr.Network(), a.Addr)
	}
	fmt.Fprintf(t, "\nall counters: /stats   random bytes with their SHA-256: /bytes?n=1000000\n")
	_ = t.Flush() // fails only when the client has gone
}

func (s *Services) serveStats(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(s.stack.Stats()) // fails only when the client has gone
}

// serveBytes generates, sums and sends as it goes: any n takes one buffer.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseUint(r.FormValue("n"), 10, 63)
	if err != nil {
		http.Error(w, "n: want a number of bytes, such as /bytes?n=1000000", http.StatusBadRequest)
		return
	}
	var seed uint64
	if text := r.FormValue("seed"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			http.Error(w, "seed: want a number, such as /bytes?n=1000000&seed=7", http.StatusBadRequest)
			return
		}
	}
	const trailer = "X-Sha256"
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", trailer)
	if r.Method == http.MethodHead {
		return
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	sum := sha256.New()
	random := io.TeeReader(io.LimitReader(rand.NewChaCha8(key), int64(n)), sum)
	// The plain struct hides ReadFrom, which would bring its own small buffer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, random, make([]byte, 256<<10)); err != nil {
		return // the client has gone
	}
	w.Header().Set(trailer, hex.EncodeToString(sum.Sum(nil)))
}

// addrPortOf reads an address of ours back.
func addrPortOf(a net.Addr) (netip.AddrPort, error) { return netip.ParseAddrPort(a.String()) }
