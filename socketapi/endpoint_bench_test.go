package socketapi_test

import (
	"bytes"
	"runtime"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi"
	"tapstack/stack"
)

// bare is a TCP endpoint of gVisor's and nothing of ours: what the layers of
// this package are measured against.
type bare struct {
	ep   tcpip.Endpoint
	wake chan struct{}
	from bytes.Reader
}

func newBare(ep tcpip.Endpoint, q *waiter.Queue) *bare {
	entry, wake := waiter.NewChannelEntry(waiter.AllEvents)
	q.EventRegister(&entry)
	return &bare{ep: ep, wake: wake}
}

func open(tb testing.TB, s *stack.Stack) *bare {
	tb.Helper()
	q := new(waiter.Queue)
	ep, err := s.Netstack().NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, q)
	if err != nil {
		tb.Fatal(err)
	}
	return newBare(ep, q)
}

// bareListener listens at b's address.
func bareListener(tb testing.TB, s *stack.Stack) (*bare, tcpip.FullAddress) {
	tb.Helper()
	l := open(tb, s)
	at := tcpip.FullAddress{Addr: tcpip.AddrFrom4(b4.Addr().As4()), Port: 9}
	if err := l.ep.Bind(at); err != nil {
		tb.Fatal(err)
	}
	if err := l.ep.Listen(16); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.ep.Close)
	return l, at
}

// connectTo connects a new endpoint of s to e, which listens.
func (e *bare) connectTo(tb testing.TB, s *stack.Stack, at tcpip.FullAddress) (w, r *bare) {
	tb.Helper()
	w = open(tb, s)
	if _, ok := w.ep.Connect(at).(*tcpip.ErrConnectStarted); !ok {
		tb.Fatal("no connection")
	}
	for {
		ep, q, err := e.ep.Accept(nil)
		if err == nil {
			for w.ep.Readiness(waiter.WritableEvents) == 0 {
				<-w.wake
			}
			tb.Cleanup(w.ep.Abort)
			tb.Cleanup(ep.Abort)
			return w, newBare(ep, q)
		}
		<-e.wake
	}
}

// BenchmarkIdle is the memory of an idle connection that is ours: heap with
// sockets of this package on both ends, less that with gVisor's endpoints.
func BenchmarkIdle(b *testing.B) {
	const conns = 5000
	heap := func(connect func(sa, sb *stack.Stack) any) float64 {
		sa, sb := pair(b, nil)
		before := settled()
		keep := connect(sa, sb)
		n := settled() - before
		runtime.KeepAlive(keep)
		return float64(n) / (2 * conns)
	}
	for b.Loop() {
		ours := heap(func(sa, sb *stack.Stack) any {
			l, err := socketapi.Listen(sb, "tcp", "192.0.2.2:80")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var keep []any
			for range conns {
				c, err := (&socketapi.Dialer{Stack: sa}).Dial("tcp4", "192.0.2.2:80")
				if err != nil {
					b.Fatal(err)
				}
				s, err := l.AcceptTCP()
				if err != nil {
					b.Fatal(err)
				}
				keep = append(keep, c, s)
			}
			return keep
		})
		theirs := heap(func(sa, sb *stack.Stack) any {
			l, at := bareListener(b, sb)
			var keep []any
			for range conns {
				w, r := l.connectTo(b, sa, at)
				keep = append(keep, w, r)
			}
			return keep
		})
		b.ReportMetric(theirs, "bare-B/conn")
		b.ReportMetric(ours-theirs, "ours-B/conn")
	}
}

// settled is the heap after garbage collection.
func settled() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
