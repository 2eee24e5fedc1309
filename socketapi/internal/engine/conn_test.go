package engine_test

import (
	"bytes"
	"io"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
	"tapstack/stack"
	"tapstack/tap"
)

// conn is one end of a connection: gVisor's endpoint and nothing else.
type conn struct {
	*tcp.Endpoint
	queue *waiter.Queue
}

func newConn(t testing.TB, s *stack.Stack) conn {
	t.Helper()
	q := new(waiter.Queue)
	ep, err := s.Netstack().NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, q)
	if err != nil {
		t.Fatal(err)
	}
	ep.SocketOptions().SetDelayOption(false)
	t.Cleanup(ep.Close)
	return conn{ep.(*tcp.Endpoint), q}
}

// listen makes a listener at port 80 of s.
func listen(t testing.TB, s *stack.Stack) conn {
	t.Helper()
	l := newConn(t, s)
	if err := l.Bind(tcpip.FullAddress{Port: 80}); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(8); err != nil {
		t.Fatal(err)
	}
	return l
}

// dial begins to connect to port 80 at addr.
func (c conn) dial(t testing.TB, addr netip.Prefix) {
	t.Helper()
	err := c.Connect(tcpip.FullAddress{Addr: tcpip.AddrFromSlice(addr.Addr().AsSlice()), Port: 80})
	if _, started := err.(*tcpip.ErrConnectStarted); !started {
		t.Fatal(err)
	}
}

// accept is the next connection of listener c, if there is one.
func (c conn) accept(t testing.TB) (conn, bool) {
	t.Helper()
	ep, q, err := c.Accept(nil)
	if err != nil {
		return conn{}, false
	}
	ep.SocketOptions().SetDelayOption(false)
	t.Cleanup(ep.Close)
	return conn{ep.(*tcp.Endpoint), q}, true
}

func (c conn) is(s tcp.EndpointState) func() bool {
	return func() bool { return c.EndpointState() == s }
}

// connect makes a connection from stack 0 to stack 1, in virtual time. prepare,
// if not nil, gets the client before it connects.
func (w *wire) connect(prepare func(client conn)) (client, server conn) {
	w.t.Helper()
	l := listen(w.t, w.stacks[1])
	defer l.Close()
	client = newConn(w.t, w.stacks[0])
	if prepare != nil {
		prepare(client)
	}
	client.dial(w.t, b4)
	w.until("the connection is accepted", func() (ok bool) { server, ok = l.accept(w.t); return ok })
	return client, server
}

// put writes what fits of n bytes and returns how many that was.
func (c conn) put(t testing.TB, n int) int {
	t.Helper()
	m, err := c.Write(bytes.NewReader(make([]byte, n)), tcpip.WriteOptions{})
	if _, full := err.(*tcpip.ErrWouldBlock); err != nil && !full {
		t.Fatal(err)
	}
	return int(m)
}

// take reads what is there, at most n bytes, and returns how many that was.
func (c conn) take(t testing.TB, n int) int {
	t.Helper()
	buf := tcpip.SliceWriter(make([]byte, n))
	res, err := c.Read(&buf, tcpip.ReadOptions{})
	if _, empty := err.(*tcpip.ErrWouldBlock); err != nil && !empty {
		t.Fatal(err)
	}
	return res.Count
}

// pair makes a connection between two stacks on a pipe, in real time.
func pair(t testing.TB, pipe *tap.PipeConfig, cfg *stack.Config) (client, server conn) {
	t.Helper()
	da, db := tap.Pipe(pipe)
	a, b := newHost(t, da, cfg, a4), newHost(t, db, cfg, b4)
	l := listen(t, b)
	defer l.Close()
	client = newConn(t, a)
	client.dial(t, b4)
	eventually(t, "the connection is accepted", func() (ok bool) { server, ok = l.accept(t); return ok })
	eventually(t, "the connection is there", client.is(tcp.StateEstablished))
	return client, server
}

// waitable is a conn that waits, in real time, for one goroutine.
type waitable struct {
	conn
	entry waiter.Entry
	wake  chan struct{}
	from  bytes.Reader
	buf   tcpip.SliceWriter
	acct  *engine.Account // if not nil, is told
}

func newWaitable(c conn, mask waiter.EventMask) *waitable {
	w := &waitable{conn: c}
	w.entry, w.wake = waiter.NewChannelEntry(mask | waiter.EventErr | waiter.EventHUp)
	c.queue.EventRegister(&w.entry)
	return w
}

// writeAll writes all of p.
func (w *waitable) writeAll(p []byte) tcpip.Error {
	for len(p) > 0 {
		w.from.Reset(p)
		n, err := w.Write(&w.from, tcpip.WriteOptions{})
		p = p[n:]
		if w.acct != nil {
			w.acct.Touch()
		}
		if err = w.block(err, true); err != nil {
			return err
		}
	}
	return nil
}

// block waits if err says so.
func (w *waitable) block(err tcpip.Error, writer bool) tcpip.Error {
	if _, blocked := err.(*tcpip.ErrWouldBlock); !blocked {
		return err
	}
	if writer && w.acct != nil {
		w.acct.WriterWaits(true)
		defer w.acct.WriterWaits(false)
	}
	<-w.wake
	return nil
}

// readSome reads into p; 0 is the end.
func (w *waitable) readSome(p []byte) (int, tcpip.Error) {
	for {
		w.buf = p
		res, err := w.Read(&w.buf, tcpip.ReadOptions{})
		if w.acct != nil {
			w.acct.Touch()
		}
		if _, eof := err.(*tcpip.ErrClosedForReceive); eof {
			return 0, nil
		}
		if res.Count > 0 {
			w.ModerateRecvBuf(res.Count)
			return res.Count, nil
		}
		if err := w.block(err, false); err != nil {
			return 0, err
		}
	}
}

// borrow is engine.Borrow, waiting; an empty Chunk is the end.
func (w *waitable) borrow(n int) (engine.Chunk, tcpip.Error) {
	for {
		c, err := engine.Borrow(w.Endpoint, n)
		if err == nil {
			w.ModerateRecvBuf(c.Len())
			return c, nil
		}
		if _, eof := err.(*tcpip.ErrClosedForReceive); eof {
			return engine.Chunk{}, nil
		}
		if err := w.block(err, false); err != nil {
			return engine.Chunk{}, err
		}
	}
}

var _ io.Writer = (*tcpip.SliceWriter)(nil)
