package control

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"tapstack/internal/daemon/api"
)

// Limits. Who may only look has a smaller share of his own, so that nobody
// locks out who may change things.
const (
	maxBody   = 64 << 10 // bytes of a request's body
	maxHeader = 16 << 10 // bytes of its head
	maxQuery  = 4 << 10  // bytes of its parameters

	headerTimeout = 5 * time.Second  // for a request's head
	readTimeout   = 10 * time.Second // for all of it
	writeTimeout  = 30 * time.Second // for an answer, or a piece of a stream
	idleTimeout   = 60 * time.Second // between two requests

	maxConns, maxLookConns     = 256, 64
	maxStreams, maxLookStreams = 64, 16

	maxTurned = 32 // connections that are only told why not
)

// budget bounds how many of something there are at once.
type budget struct {
	mu   sync.Mutex
	used [accessChange + 1]int
	max  [accessChange + 1]int
}

// take takes one, if there is one left.
func (b *budget) take(a access) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used[a] >= b.max[a] {
		return false
	}
	b.used[a]++
	return true
}

func (b *budget) give(a access) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used[a]--
}

// peerConn is a connection whose peer is known.
type peerConn struct {
	*net.UnixConn
	access access
	why    *api.Error // not nil: all that it is told
	once   sync.Once
	done   func()
}

// Close closes the connection and makes room for another.
func (c *peerConn) Close() error {
	err := c.UnixConn.Close()
	c.once.Do(c.done)
	return err
}

// peerListener accepts as many as there may be, and a few more who are told
// why not: of those the oldest goes when another comes.
type peerListener struct {
	Listener
	s *Server
}

// Accept implements net.Listener.
func (l *peerListener) Accept() (net.Conn, error) {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	p := &peerConn{UnixConn: c}
	cred, err := l.s.peer(c)
	if err != nil {
		l.s.log.Warn("control: a connection without credentials", "err", err)
	} else {
		p.access = l.s.accessOf(&cred)
	}
	if p.access == accessNone {
		l.s.refused(&cred)
		p.why = api.Errorf(http.StatusForbidden, "you may not use this control socket")
	} else if !l.s.conns.take(p.access) {
		p.access = accessNone
		p.why = api.Errorf(http.StatusServiceUnavailable, "too busy: too many connections at once")
	}
	if p.why != nil {
		p.done = func() { l.s.turned.remove(p) }
		if old := l.s.turned.add(p); old != nil {
			old.dismiss()
		}
		return p, nil
	}
	p.done = func() { l.s.conns.give(p.access) }
	return p, nil
}

// turned are the connections that are only told why not, the oldest first. They
// are served as the others are, so that a client hears it when it has asked;
// one that is slow to ask keeps nobody else from hearing it.
type turned struct {
	mu    sync.Mutex
	conns []*peerConn
}

// add enters one. If there are too many then, the oldest is taken out and
// returned.
func (t *turned) add(c *peerConn) (old *peerConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = append(t.conns, c)
	if len(t.conns) > maxTurned {
		old = t.conns[0]
		t.conns = slices.Delete(t.conns, 0, 1)
	}
	return old
}

func (t *turned) remove(c *peerConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = slices.DeleteFunc(t.conns, func(o *peerConn) bool { return o == c })
}

// dismissTime is for who does not even take that; everybody else waits.
const dismissTime = 10 * time.Millisecond

// dismiss tells a client why not before it has asked, and closes.
func (c *peerConn) dismiss() {
	body, _ := json.Marshal(api.Failure{Error: *c.why}) // strings and numbers
	_ = c.SetWriteDeadline(time.Now().Add(dismissTime))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		c.why.Status, http.StatusText(c.why.Status), len(body), body)
	_ = c.Close()
}
