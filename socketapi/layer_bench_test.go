package socketapi_test

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi"
	"tapstack/socketapi/internal/engine"
	"tapstack/tap"
)

// BenchmarkLayers is what this package costs on top of gVisor's endpoints, and
// what keeping an account costs on top of that: three connections side by side,
// which move 16 MiB each in turn. The turns of an iteration are milliseconds
// apart, so that whatever else the machine does falls on all three alike, and
// it is their ratios of which the median is taken. Both ends are counted.
// %socket is TCPConn over the endpoints, %account TCPConn with an account over
// one without; ± is half of what lies between the quartiles of the ratios.
//
// With -cpu=1 the quartiles are closest: it is then the work that is compared,
// and not who was woken on which processor.
func BenchmarkLayers(b *testing.B) {
	for _, size := range []string{"large", "small"} {
		b.Run(size, func(b *testing.B) { layers(b, maxSegLinks[size+" frames"]) })
	}
}

func layers(b *testing.B, link *tap.PipeConfig) {
	const volume = 16 << 20
	var moves []func()
	for _, make := range []func(*testing.B, *tap.PipeConfig) (io.Writer, io.Reader){direct, sockets, accounted} {
		w, r := make(b, link)
		moves = append(moves, mover(b, w, r, volume))
	}
	took := make([][]float64, len(moves))
	b.SetBytes(volume)
	for turn := 0; b.Loop(); turn++ {
		for i := range moves {
			i = (i + turn) % len(moves)
			start := time.Now()
			moves[i]()
			took[i] = append(took[i], float64(time.Since(start)))
		}
	}
	for i, name := range []string{"socket", "account"} {
		cost, spread := overhead(took[i+1], took[i])
		b.ReportMetric(cost, "%"+name)
		b.ReportMetric(spread, "±"+name)
	}
}

// mover returns a function that moves n bytes from w to r and waits for them.
func mover(b *testing.B, w io.Writer, r io.Reader, n int) func() {
	arrived := make(chan struct{})
	go func() {
		in, got := make([]byte, 64<<10), 0
		for {
			k, err := r.Read(in)
			if err != nil {
				return
			}
			if got += k; got == n {
				got = 0
				arrived <- struct{}{}
			}
		}
	}()
	out := make([]byte, 64<<10)
	return func() {
		for range n / len(out) {
			if _, err := w.Write(out); err != nil {
				b.Error(err)
			}
		}
		<-arrived
	}
}

// overhead is the median of what a[i] is above b[i], and half the distance of
// the quartiles, in percent.
func overhead(a, b []float64) (median, spread float64) {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = 100 * (a[i]/b[i] - 1)
	}
	slices.Sort(ratios)
	at := func(q float64) float64 { return ratios[int(q*float64(len(ratios)-1))] }
	return at(0.5), (at(0.75) - at(0.25)) / 2
}

// layerBuffer is the size of all the buffers: with larger ones it is the
// processor's caches that decide, by how far the writer gets ahead.
const layerBuffer = 256 << 10

func sockets(b *testing.B, link *tap.PipeConfig) (io.Writer, io.Reader) { return withBuffers(b, link) }

func withBuffers(b *testing.B, link *tap.PipeConfig) (w, r *socketapi.TCPConn) {
	w, r = overPipe(b, link)
	if err := errors.Join(w.SetWriteBuffer(layerBuffer), r.SetReadBuffer(layerBuffer)); err != nil {
		b.Fatal(err)
	}
	return w, r
}

func accounted(b *testing.B, link *tap.PipeConfig) (io.Writer, io.Reader) {
	w, r := withBuffers(b, link)
	for _, c := range []*socketapi.TCPConn{w, r} {
		if err := c.SetAccounting(true); err != nil {
			b.Fatal(err)
		}
	}
	return w, r
}

func direct(b *testing.B, link *tap.PipeConfig) (io.Writer, io.Reader) {
	da, db := tap.Pipe(link)
	sa, sb := host(b, da, nil, a4), host(b, db, nil, b4)
	l, at := bareListener(b, sb)
	w, r := l.connectTo(b, sa, at)
	w.ep.SocketOptions().SetSendBufferSize(layerBuffer, true)
	r.ep.SocketOptions().SetReceiveBufferSize(2*layerBuffer, true) // gVisor counts memory, and offers half
	return w, r
}

// Write writes all of p, in the pieces that the socket layer makes: it is the
// layer that is measured, and not the size of frames.
func (e *bare) Write(p []byte) (int, error) {
	mss := engine.Read(e.ep.(*tcp.Endpoint)).Snd.MSS
	piece := 65_000 / mss * mss
	for done := 0; done < len(p); {
		e.from.Reset(p[done:min(done+piece, len(p))])
		n, err := e.ep.Write(&e.from, tcpip.WriteOptions{})
		done += int(n)
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-e.wake
		default:
			return done, io.ErrClosedPipe
		}
	}
	return len(p), nil
}

// Read waits for a byte or more.
func (e *bare) Read(p []byte) (int, error) {
	for {
		to := tcpip.SliceWriter(p)
		res, err := e.ep.Read(&to, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			e.ep.ModerateRecvBuf(res.Count)
			return res.Count, nil
		case *tcpip.ErrWouldBlock:
			<-e.wake
		default:
			return 0, io.EOF
		}
	}
}
