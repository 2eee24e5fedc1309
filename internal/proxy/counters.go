package proxy

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Snapshot is a service at one moment. The counters are since it began.
type Snapshot struct {
	Kind    string `json:"kind"` // "forward-tcp", "forward-udp", "socks5", "http"
	Name    string `json:"name"`
	Address string `json:"address"` // where it listens
	Target  string `json:"target,omitempty"`

	// Opened counts connections that were accepted, and a UDP forward's flows,
	// those refused later among them. Opened is Active and all of Refused and
	// Ended.
	Opened uint64 `json:"opened"`
	Active int    `json:"active"`

	// Refused is those with which it did not come to relaying, Ended the
	// others.
	Refused map[Cause]uint64 `json:"refused,omitempty"`
	Ended   map[Cause]uint64 `json:"ended,omitempty"`

	// Denied counts requests of HTTP that were answered with an error of our
	// own; their connections may go on.
	Denied map[Cause]uint64 `json:"denied,omitempty"`

	// Bytes of payload: In is from clients, Out to them. HTTP counts headers
	// too.
	BytesIn  uint64 `json:"bytes_in"`
	BytesOut uint64 `json:"bytes_out"`

	// UDP: datagrams passed on each way, and those that were not.
	DatagramsIn  uint64 `json:"datagrams_in"`
	DatagramsOut uint64 `json:"datagrams_out"`
	Dropped      uint64 `json:"datagrams_dropped"`

	// Associations is how many UDP associations of SOCKS5 there are.
	Associations int `json:"associations,omitempty"`
}

// counters are what a Snapshot is made of.
type counters struct {
	in, out                     atomic.Uint64
	datagramsIn, datagramsOut   atomic.Uint64
	dropped                     atomic.Uint64
	associations                atomic.Int64
	mu                          sync.Mutex // guards what follows
	opened                      uint64
	active                      int
	refusedByCause, endsByCause map[Cause]uint64
	deniedByCause               map[Cause]uint64
}

// open counts one more, unless there are limit already.
func (c *counters) open(limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	if c.active >= limit {
		count(&c.refusedByCause, CauseLimit)
		return false
	}
	c.active++
	return true
}

// over counts the end of one that open let in.
func (c *counters) over(relayed bool, cause Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active--
	if relayed {
		count(&c.endsByCause, cause)
	} else {
		count(&c.refusedByCause, cause)
	}
}

// deny counts a request that was denied.
func (c *counters) deny(cause Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	count(&c.deniedByCause, cause)
}

func count(m *map[Cause]uint64, cause Cause) {
	if *m == nil {
		*m = make(map[Cause]uint64)
	}
	(*m)[cause]++
}

// snapshot fills in the numbers.
func (c *counters) snapshot(s *Snapshot) {
	s.BytesIn, s.BytesOut = c.in.Load(), c.out.Load()
	s.DatagramsIn, s.DatagramsOut = c.datagramsIn.Load(), c.datagramsOut.Load()
	s.Dropped = c.dropped.Load()
	s.Associations = int(c.associations.Load())
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Opened, s.Active = c.opened, c.active
	s.Refused, s.Ended = maps.Clone(c.refusedByCause), maps.Clone(c.endsByCause)
	s.Denied = maps.Clone(c.deniedByCause)
}
