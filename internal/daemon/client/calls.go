package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tapstack/internal/daemon/api"
)

// Info asks who answers.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	return get[api.Info](ctx, c, http.MethodGet, api.PathInfo, nil, nil)
}

// Sockets lists sockets.
func (c *Client) Sockets(ctx context.Context, q *api.SocketQuery) ([]api.Socket, error) {
	out := []api.Socket{}
	err := c.EachSocket(ctx, q, func(s *api.Socket) error {
		out = append(out, *s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// EachSocket calls each for every socket while the daemon still lists them. The
// socket is each's to keep, what s points to is not.
func (c *Client) EachSocket(ctx context.Context, q *api.SocketQuery, each func(s *api.Socket) error) error {
	resp, err := c.request(ctx, http.MethodGet, api.PathSockets, q, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readSockets(resp.Body, each)
}

// WatchSockets calls each for what passes the sockets, again and again, until
// ctx is done.
func (c *Client) WatchSockets(ctx context.Context, q *api.SocketWatchQuery, each func(*api.SocketWatch) error) error {
	return stream(ctx, c, api.PathWatchSockets, q, each)
}

// Services lists services, forwards and proxies.
func (c *Client) Services(ctx context.Context) ([]api.Service, error) {
	return get[[]api.Service](ctx, c, http.MethodGet, api.PathServices, nil, nil)
}

// Stats reads the counters.
func (c *Client) Stats(ctx context.Context) (api.Stats, error) {
	return get[api.Stats](ctx, c, http.MethodGet, api.PathStats, nil, nil)
}

// Watch calls each for the counters again and again, until ctx is done.
func (c *Client) Watch(ctx context.Context, q *api.WatchQuery, each func(*api.Stats) error) error {
	return stream(ctx, c, api.PathWatch, q, each)
}

// Events calls each for what is logged, until ctx is done.
func (c *Client) Events(ctx context.Context, q *api.EventQuery, each func(*api.Event) error) error {
	return stream(ctx, c, api.PathEvents, q, each)
}

// Links lists the NICs.
func (c *Client) Links(ctx context.Context) ([]api.Link, error) {
	return get[[]api.Link](ctx, c, http.MethodGet, api.PathLinks, nil, nil)
}

// ChangeLink changes a NIC.
func (c *Client) ChangeLink(ctx context.Context, l *api.LinkChange) error {
	return c.do(ctx, http.MethodPatch, api.PathLinks, l)
}

// Addresses lists the addresses.
func (c *Client) Addresses(ctx context.Context) ([]api.Address, error) {
	return get[[]api.Address](ctx, c, http.MethodGet, api.PathAddresses, nil, nil)
}

// AddAddress adds one.
func (c *Client) AddAddress(ctx context.Context, a *api.Address) error {
	return c.do(ctx, http.MethodPost, api.PathAddresses, a)
}

// RemoveAddress removes one.
func (c *Client) RemoveAddress(ctx context.Context, a *api.Address) error {
	return c.do(ctx, http.MethodDelete, api.PathAddresses, a)
}

// Routes lists the routes.
func (c *Client) Routes(ctx context.Context) ([]api.Route, error) {
	return get[[]api.Route](ctx, c, http.MethodGet, api.PathRoutes, nil, nil)
}

// AddRoute adds one.
func (c *Client) AddRoute(ctx context.Context, r *api.Route) error {
	return c.do(ctx, http.MethodPost, api.PathRoutes, r)
}

// RemoveRoute removes one.
func (c *Client) RemoveRoute(ctx context.Context, r *api.Route) error {
	return c.do(ctx, http.MethodDelete, api.PathRoutes, r)
}

// Neighbours lists the neighbours.
func (c *Client) Neighbours(ctx context.Context) ([]api.Neighbour, error) {
	return get[[]api.Neighbour](ctx, c, http.MethodGet, api.PathNeighbours, nil, nil)
}

// AddNeighbour adds one.
func (c *Client) AddNeighbour(ctx context.Context, n *api.Neighbour) error {
	return c.do(ctx, http.MethodPost, api.PathNeighbours, n)
}

// RemoveNeighbour removes one.
func (c *Client) RemoveNeighbour(ctx context.Context, n *api.Neighbour) error {
	return c.do(ctx, http.MethodDelete, api.PathNeighbours, n)
}

// Settings reads what can be set.
func (c *Client) Settings(ctx context.Context) (api.Settings, error) {
	return get[api.Settings](ctx, c, http.MethodGet, api.PathSettings, nil, nil)
}

// Change sets it.
func (c *Client) Change(ctx context.Context, s *api.Settings) error {
	return c.do(ctx, http.MethodPatch, api.PathSettings, s)
}

// Reload has the configuration read again.
func (c *Client) Reload(ctx context.Context) (api.Reloaded, error) {
	return get[api.Reloaded](ctx, c, http.MethodPost, api.PathReload, nil, nil)
}

// Stop ends the daemon, and waits until it has closed its connections.
func (c *Client) Stop(ctx context.Context) error {
	resp, err := c.request(ctx, http.MethodPost, api.PathStop, nil, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // it had no time left for the end of an answer
	}
	return err
}

// Ping calls each for every reply, and every request without one.
func (c *Client) Ping(ctx context.Context, q *api.PingQuery, each func(*api.PingReply) error) error {
	return stream(ctx, c, api.PathPing, q, each)
}

// Capture is a pcapng file that grows. Close it to end the capture.
func (c *Client) Capture(ctx context.Context, q *api.CaptureQuery) (io.ReadCloser, error) {
	resp, err := c.request(ctx, http.MethodGet, api.PathCapture, q, nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Connection is a connection of the stack's. One goroutine may write and
// another read.
type Connection struct {
	Local, Remote string

	rw  io.ReadWriteCloser
	out *api.FrameWriter
	buf []byte
}

// Connect connects, or waits for somebody to connect: listening, if not nil,
// is called then with where. It does not outlive ctx while it is being made;
// afterwards it is independent of it.
func (c *Client) Connect(ctx context.Context, q *api.ConnectQuery, listening func(local string)) (*Connection, error) {
	resp, err := c.request(ctx, http.MethodPost, api.PathConnect, q, nil,
		http.Header{"Connection": {"Upgrade"}, "Upgrade": {api.Protocol}})
	var e *api.Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusSwitchingProtocols:
		return nil, errors.New("the daemon does not speak " + api.Protocol)
	case err != nil:
		return nil, err
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		resp.Body.Close()
		return nil, errors.New("the daemon does not speak " + api.Protocol)
	}
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	defer stop()
	conn := &Connection{rw: rw, out: api.NewFrameWriter(rw), buf: make([]byte, api.MaxFrame)}
	for {
		t, p, err := api.ReadFrame(rw, conn.buf)
		var at api.Opened
		switch {
		case err != nil:
		case t == api.FrameError:
			err = frameError(p)
		case t == api.FrameListening || t == api.FrameOpen:
			err = json.Unmarshal(p, &at)
		default:
			err = fmt.Errorf("the daemon sends data before it has connected")
		}
		if err != nil {
			rw.Close()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		if t == api.FrameOpen {
			conn.Local, conn.Remote = at.Local, at.Remote
			return conn, nil
		}
		if listening != nil {
			listening(at.Local)
		}
	}
}

func frameError(p []byte) error {
	e := &api.Error{}
	if err := json.Unmarshal(p, e); err != nil {
		return fmt.Errorf("the daemon's error: %w", err)
	}
	return e
}

// Receive waits for bytes, or a datagram, which last until the next call. The
// end is io.EOF; an *api.Error is why the connection broke.
func (c *Connection) Receive() ([]byte, error) {
	t, p, err := api.ReadFrame(c.rw, c.buf)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF // without FrameEnd: the daemon has gone
	case err != nil:
		return nil, err
	case t == api.FrameData:
		return p, nil
	case t == api.FrameEnd:
		return nil, io.EOF
	case t == api.FrameError:
		return nil, frameError(p)
	}
	return nil, fmt.Errorf("a frame of type %d out of place", t)
}

// Write sends bytes, or with UDP one datagram.
func (c *Connection) Write(p []byte) (int, error) {
	sent := 0
	for {
		n := min(len(p)-sent, api.MaxFrame)
		if err := c.out.Write(api.FrameData, p[sent:sent+n]); err != nil {
			return sent, err
		}
		if sent += n; sent == len(p) {
			return sent, nil
		}
	}
}

// CloseWrite says that there is nothing more to send.
func (c *Connection) CloseWrite() error { return c.out.Write(api.FrameEnd, nil) }

// Close ends the connection.
func (c *Connection) Close() error { return c.rw.Close() }
