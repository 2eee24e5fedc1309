package daemon

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tapstack/socketapi"
)

// conn is a connection of a service, known to it until TCP is done with it:
// that may be long after Close, while the last bytes are on their way.
//
//	accept -> echo, discard, chargen -> finish -> Close -> linger -> over
//	       -> http.Server ----------------------> Close
//	Shutdown: stop ... Abort
type conn struct {
	*socketapi.TCPConn
	services *Services
	name     string         // of the service
	counts   *serviceCounts // its
	closing  sync.Once

	web      bool
	webState atomic.Int64 // an http.ConnState

	mu     sync.Mutex // guards ending
	ending bool       // served; from here on stop has nothing to add
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// stop asks whoever serves the connection to come to an end: the next Read
// fails. It does not wait.
func (c *conn) stop() {
	if c.web {
		// http.Server.Shutdown takes care of all but those that have not sent
		// a request yet: it would wait for one.
		if http.ConnState(c.webState.Load()) == http.StateNew {
			_ = c.CloseWrite()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		_ = c.SetReadDeadline(past)
	}
}

// end makes the connection readable to its end again, after a stop.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	_ = c.SetReadDeadline(time.Time{})
}

// finish closes the connection so that the peer gets all that was written and
// then EOF. A Close with bytes unread, or bytes that come after it, would make
// that a reset; so the rest is read first.
func (c *conn) finish() {
	c.end()
	if c.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c.TCPConn)
	}
	_ = c.Close()
}

// Close closes the connection, and has it forgotten when TCP is done with it.
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.closing.Do(func() { go c.linger() })
	return err
}

// linger waits until the peer has all that was sent, FIN included, and has
// sent its own. It looks now and then, as socketapi has nothing to wait on for
// that; nearly always the first or second look is the last.
func (c *conn) linger() {
	defer c.services.over(c)
	t := time.NewTimer(0)
	defer t.Stop()
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if st := c.State(); st == socketapi.Closed || st == socketapi.TimeWait {
			return
		}
		t.Reset(wait)
		select {
		case <-t.C:
		case <-c.services.abandon:
			return
		}
	}
}
