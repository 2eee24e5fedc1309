package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/control"
	"tapstack/socketapi"
)

// conversation is a connection of the stack's and a stream of frames, on their
// way into each other.
type conversation struct {
	n      *Node
	q      *api.ConnectQuery
	rw     io.ReadWriteCloser
	out    *api.FrameWriter
	opened chan struct{} // closed when conn is set
	conn   net.Conn
}

// Connect connects, or waits for somebody to connect, and carries bytes both
// ways until both ways have ended, something fails, the other end of rw goes,
// or ctx is done. It closes rw.
func (n *Node) Connect(ctx context.Context, q *api.ConnectQuery, rw io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &conversation{n: n, q: q, rw: rw, out: api.NewFrameWriter(rw), opened: make(chan struct{})}
	said, left := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(left)
		defer cancel()
		err := c.fromClient(ctx)
		said <- err
		if err == nil {
			// A client that goes before the other end has finished ends both.
			_, _, _ = api.ReadFrame(rw, make([]byte, api.MaxFrame))
		}
	}()
	err := c.open(ctx)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
		close(c.opened)
		if err = c.toClient(); err == nil {
			// Their direction has ended; ours may go on.
			err = <-said
		} else if ctx.Err() != nil {
			// The connection was closed for what the client said, or did not.
			err = <-said
		}
		stop()
		_ = c.conn.Close()
	}
	if err != nil {
		_ = c.tell(api.FrameError, control.ErrorOf(err)) // to a client that may be gone
	}
	_ = rw.Close()
	cancel() // who has read something to send waits for a connection
	<-left
	return err
}

func (c *conversation) tell(t api.FrameType, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.out.Write(t, b)
}

// open makes the connection.
func (c *conversation) open(ctx context.Context) (err error) {
	if c.q.Network != "tcp" && c.q.Network != "udp" {
		return api.Errorf(http.StatusBadRequest, "parameter \"network\": want tcp or udp")
	}
	if c.q.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.q.Timeout)
		defer cancel()
	}
	switch {
	case !c.q.Listen:
		c.conn, err = c.dial(ctx)
	case c.q.Network == "tcp":
		c.conn, err = c.accept(ctx)
	default:
		c.conn, err = c.meet(ctx)
	}
	var op *net.OpError
	switch {
	case err == nil:
	case c.q.Listen && errors.Is(err, context.DeadlineExceeded):
		return api.Errorf(http.StatusGatewayTimeout, "nobody has connected within %v", c.q.Timeout)
	case errors.As(err, &op):
		return op.Err // who asks knows what was dialled
	default:
		return err
	}
	err = c.tell(api.FrameOpen, api.Opened{Local: c.conn.LocalAddr().String(), Remote: c.conn.RemoteAddr().String()})
	if err != nil {
		_ = c.conn.Close()
	}
	return err
}

func (c *conversation) dial(ctx context.Context) (net.Conn, error) {
	d := socketapi.Dialer{Stack: c.n.s, Resolver: c.n.resolver}
	if c.q.Source != "" {
		ap, err := netip.ParseAddrPort(c.q.Source)
		if err != nil {
			return nil, api.Errorf(http.StatusBadRequest, "parameter \"source\": %v", err)
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(ap)
		if c.q.Network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(ap)
		}
	}
	conn, err := d.DialContext(ctx, c.q.Network, c.q.Address)
	return conn, lookupError(err)
}

// accept takes the first who connects.
func (c *conversation) accept(ctx context.Context) (net.Conn, error) {
	l, err := socketapi.Listen(c.n.s, "tcp", c.q.Address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	if err := c.tell(api.FrameListening, api.Opened{Local: l.Addr().String()}); err != nil {
		return nil, err
	}
	conn, err := l.Accept()
	return conn, orContext(ctx, err)
}

// orContext is why err came about, if it is that ctx has ended.
func orContext(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// meet takes the sender of the first datagram for the other end.
func (c *conversation) meet(ctx context.Context) (net.Conn, error) {
	u, err := socketapi.ListenUDP(c.n.s, "udp", c.q.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = u.Close() })
	err = c.tell(api.FrameListening, api.Opened{Local: u.LocalAddr().String()})
	m := &meeting{UDPConn: u, first: make([]byte, api.MaxFrame)}
	var n int
	if err == nil {
		n, m.peer, err = u.ReadFromUDPAddrPort(m.first)
		m.first = m.first[:n]
	}
	if err != nil || !stop() {
		_ = u.Close()
		return nil, orContext(ctx, err)
	}
	m.waiting = true
	return m, nil
}

// meeting is an unconnected socket that has found its peer: it hears and
// speaks to nobody else. One goroutine reads, one writes.
type meeting struct {
	*socketapi.UDPConn
	peer    netip.AddrPort
	first   []byte // the peer's first datagram, while waiting
	waiting bool
}

// RemoteAddr is the peer.
func (m *meeting) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(m.peer) }

// Read implements net.Conn.
func (m *meeting) Read(p []byte) (int, error) {
	if m.waiting {
		m.waiting = false
		return copy(p, m.first), nil
	}
	for {
		n, from, err := m.ReadFromUDPAddrPort(p)
		if err != nil || from == m.peer {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (m *meeting) Write(p []byte) (int, error) { return m.WriteToUDPAddrPort(p, m.peer) }

// toClient carries what the network has to say. nil is the end of the stream.
func (c *conversation) toClient() error {
	buf := make([]byte, api.MaxFrame)
	for {
		n, err := c.conn.Read(buf)
		if err == nil || n > 0 {
			if err := c.out.Write(api.FrameData, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return c.out.Write(api.FrameEnd, nil)
		}
		if err != nil {
			return err
		}
	}
}

// fromClient carries what the client has to say, once there is a connection.
// nil is the end of what it says; an error, that it has gone, or cannot be
// understood, or that the network does not take it.
func (c *conversation) fromClient(ctx context.Context) error {
	buf := make([]byte, api.MaxFrame)
	for {
		t, p, err := api.ReadFrame(c.rw, buf)
		if err != nil {
			return err
		}
		select {
		case <-c.opened:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch t {
		case api.FrameData:
			if _, err := c.conn.Write(p); err != nil {
				return err
			}
		case api.FrameEnd:
			if h, ok := c.conn.(interface{ CloseWrite() error }); ok {
				return h.CloseWrite()
			}
			return nil // datagrams have no end to send
		default:
			return errors.New("a client sends data and an end")
		}
	}
}
