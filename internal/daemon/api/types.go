package api

import (
	"fmt"
	"time"
)

// Error is why a request was refused or failed.
type Error struct {
	// Status is the answer's HTTP status; it is not in the JSON.
	Status int `json:"-"`
	// Code is an errno's name such as "EEXIST", "" where there is none.
	Code string `json:"code,omitempty"`
	// Message is one line for a human.
	Message string `json:"message"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an error with an HTTP status.
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// Failure is the body of every answer that is no success.
type Failure struct {
	Error Error `json:"error"`
}

// Info is who answers.
type Info struct {
	Version   string    `json:"version"` // of the API
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Config    string    `json:"config"`    // the file, "" if it was flags
	MayChange bool      `json:"mayChange"` // whether who asks may change things
}

// Service is a service, a forward or a proxy, with what it has done since it
// was started: again, if its configuration has changed.
type Service struct {
	Kind    string `json:"kind"`             // "service", "forward", "socks5", "http-proxy"
	Name    string `json:"name"`             // "echo", or as the configuration has it
	Network string `json:"network"`          // "tcp" or "udp"
	Side    string `json:"side"`             // where it listens: "host" or "stack"
	Address string `json:"address"`          // and at what
	Target  string `json:"target,omitempty"` // of a forward
	// Retired is one that is in the configuration no more, or changed there, and
	// takes nothing new; its connections go on.
	Retired bool `json:"retired,omitempty"`

	Opened  uint64            `json:"opened"`            // connections, or clients of a UDP forward
	Active  int               `json:"active"`            // of these, now
	Refused map[string]uint64 `json:"refused,omitempty"` // by cause: nothing was relayed
	Ended   map[string]uint64 `json:"ended,omitempty"`   // by cause: those that were relayed
	Denied  map[string]uint64 `json:"denied,omitempty"`  // by cause: requests of an HTTP proxy

	BytesIn      uint64 `json:"bytesIn"`  // payload from clients
	BytesOut     uint64 `json:"bytesOut"` // and to them
	DatagramsIn  uint64 `json:"datagramsIn"`
	DatagramsOut uint64 `json:"datagramsOut"`
	Dropped      uint64 `json:"dropped"`      // datagrams
	Associations int    `json:"associations"` // UDP ASSOCIATEs of SOCKS5, now
}

// Link is one NIC.
type Link struct {
	Name    string     `json:"name"`
	MTU     int        `json:"mtu"`     // IP MTU in bytes
	Address string     `json:"address"` // MAC
	Enabled bool       `json:"enabled"` // our end
	Up      bool       `json:"up"`      // the system's end
	Rx      LinkCounts `json:"rx"`
	Tx      LinkCounts `json:"tx"`
}

// LinkCounts is one direction of a link.
type LinkCounts struct {
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
	Drops  uint64 `json:"drops"`
}

// LinkChange changes what it names of a link.
type LinkChange struct {
	Link    string `json:"link"`
	Enabled *bool  `json:"enabled,omitempty"`
	MTU     *int   `json:"mtu,omitempty"`
}

// Address is one address of a link.
type Address struct {
	Link    string `json:"link"`
	Address string `json:"address"` // with prefix length
}

// Route is one route.
type Route struct {
	Destination string `json:"destination"`   // a prefix
	Via         string `json:"via,omitempty"` // a neighbour, none if on-link
	Link        string `json:"link"`
}

// Neighbour is one neighbour of a link.
type Neighbour struct {
	Link    string `json:"link"`
	Address string `json:"address"`
	MAC     string `json:"mac,omitempty"`   // none while unresolved
	State   string `json:"state,omitempty"` // as RFC 4861 7.3.2 has it
}

// Counter is one counter, by its SNMP name as nstat(8) prints it where there is
// one.
type Counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
	Gauge bool   `json:"gauge,omitempty"` // goes down as well
}

// Stats are the counters at one time.
type Stats struct {
	Time     time.Time `json:"time"`
	Counters []Counter `json:"counters"`
}

// Event is one line of the daemon's log.
type Event struct {
	Time       time.Time      `json:"time"`
	Level      string         `json:"level"`
	Message    string         `json:"message"`
	Attributes map[string]any `json:"attributes,omitempty"`
	// Lost is how many events before this one the listener was too slow for.
	Lost uint64 `json:"lost,omitempty"`
}

// PingReply is what became of one echo request, or one that nobody asked for.
type PingReply struct {
	Sequence int     `json:"sequence"`
	From     string  `json:"from,omitempty"`
	Bytes    int     `json:"bytes,omitempty"` // of the ICMP message
	Millis   float64 `json:"millis"`          // round trip
	// Duplicate: a reply to this request came before.
	Duplicate bool `json:"duplicate,omitempty"`
	// Error is why there is no reply, such as "timeout".
	Error string `json:"error,omitempty"`
}

// Settings are what can be changed while the daemon runs. In a change, what is
// absent stays as it is.
type Settings struct {
	LogLevel   *string `json:"logLevel,omitempty"`   // debug, info, warn or error
	Accounting *bool   `json:"accounting,omitempty"` // keep book of what holds the services' connections up

	// TCP are settings by Linux's sysctl names, such as "net.ipv4.tcp_rmem":
	// for sockets made from now on.
	TCP map[string]string `json:"tcp,omitempty"`
}

// Reloaded is what reading the configuration again has done.
type Reloaded struct {
	Changed []string `json:"changed"` // what is different now
	Restart []string `json:"restart"` // what differs in the file and takes a restart
}

// Stopping is the answer to a stop. It comes at once; the body ends when the
// daemon has closed its connections.
type Stopping struct {
	Stopping bool `json:"stopping"`
}
