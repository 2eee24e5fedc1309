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
