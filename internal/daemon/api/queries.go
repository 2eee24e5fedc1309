package api

import "time"

// Queries are the parameters of a request. Names are those of their JSON tags;
// times are written as time.ParseDuration reads them.

// SocketQuery chooses sockets, and how much of each.
type SocketQuery struct {
	TCP bool `json:"tcp"`
	UDP bool `json:"udp"`
	// States are RFC 9293's names in any case; none is all. UDP is not asked.
	States []string `json:"state"`
	Memory bool     `json:"memory"` // both buffers in full
	Info   bool     `json:"info"`   // tcp_info
	Holdup bool     `json:"holdup"` // what holds each up

	Service bool `json:"service"` // whose each is
}

// WatchQuery says how often to look.
type WatchQuery struct {
	Interval time.Duration `json:"interval"` // 1 s if zero
}

// SocketWatchQuery chooses sockets to look at again and again, and how often.
type SocketWatchQuery struct {
	Interval time.Duration `json:"interval"` // 1 s if zero
	TCP      bool          `json:"tcp"`      // neither is both
	UDP      bool          `json:"udp"`
	Filter   string        `json:"filter"`  // in ss(8)'s language
	Sort     string        `json:"sort"`    // one of Sorts; the first if empty
	Reverse  bool          `json:"reverse"` // the other way round
	Limit    int           `json:"limit"`   // show so many; MaxWatched if zero
	Info     bool          `json:"info"`    // tcp_info
}

// MaxWatched is how many sockets a look shows at most.
const MaxWatched = 1000

// Sorts are what a look may be sorted by: rates and queues with the largest
// first, addresses and states with the smallest.
var Sorts = []string{"rate", "in", "out", "recvq", "sendq", "unsent", "local", "remote", "state"}

// EventQuery chooses events.
type EventQuery struct {
	Level string `json:"level"` // the least; all that is logged if empty
}

// CaptureQuery chooses frames.
type CaptureQuery struct {
	Link      string `json:"link"`
	Count     uint64 `json:"count"`   // frames; 0 is no limit
	SnapLen   int    `json:"snaplen"` // bytes of each; 0 is all
	Bytes     int64  `json:"bytes"`   // of the file; 0 is no limit
	Direction string `json:"direction"`
	Filter    string `json:"filter"` // in pcap-filter(7)'s language, as far as it goes
}

// PingQuery says whom to ping.
type PingQuery struct {
	To       string        `json:"to"`       // an address, or a name
	Network  string        `json:"network"`  // of a name's addresses: "ip4", "ip6", or "ip", which "" is too
	Count    int           `json:"count"`    // 0 is until the request ends
	Interval time.Duration `json:"interval"` // 1 s if zero, not below 10 ms
	Size     int           `json:"size"`     // payload bytes
	Timeout  time.Duration `json:"timeout"`  // for each reply, 10 s if zero
}

// ConnectQuery says what to be connected with.
type ConnectQuery struct {
	Network string        `json:"network"` // "tcp" or "udp"
	Address string        `json:"address"` // the other end's, or where to listen
	Listen  bool          `json:"listen"`  // wait for the other end
	Source  string        `json:"source"`  // where to connect from, or ""
	Timeout time.Duration `json:"timeout"` // of the connecting, none if zero
}

// ProfileQuery says how a profile is to be taken, as net/http/pprof has it.
type ProfileQuery struct {
	Seconds int `json:"seconds"` // of a CPU profile (30), a trace (1), or between two looks (none)
	Debug   int `json:"debug"`   // above 0: text, not a file for go tool pprof
	GC      int `json:"gc"`      // above 0: collect garbage before looking at the heap
}
