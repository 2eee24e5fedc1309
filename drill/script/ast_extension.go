package script

import (
	"net/netip"
	"time"
)

// ExpectNothing is "expect nothing for 1s": nothing comes out for that long.
type ExpectNothing struct {
	Pos
	For time.Duration
}

// For is "for N in 1..10 { events }": the events once for each value, as if
// they had been written so many times. The name is known in the events'
// expressions.
type For struct {
	Pos
	Name   string
	Values []*Span
	Body   []*Event
}

// Param is "param N in 1..10": the whole script runs once for each value;
// several of them, once for each combination.
type Param struct {
	Pos
	Name   string
	Values []*Span
}

// Span is "From", or "From..To", both included, or "From..To step Step".
type Span struct {
	Pos
	From     Expr
	To, Step Expr // nil where not written
}

// Host is "host client 10.0.0.1/24 fd00::1/64 mtu 1400": a stack of its own.
type Host struct {
	Pos
	Name  string
	Addrs []netip.Prefix
	MTU   Value
}

// Link is "link client server delay 10ms rate 10mbit queue 50 loss 3, 7..9":
// a cable between two hosts. With ">" between the names the properties are
// those of that direction only.
type Link struct {
	Pos
	A, B   string
	OneWay bool
	Delay  time.Duration // of propagation, one way
	Rate   int64         // bit/s; 0 is without limit
	Queue  Value         // packets
	Loss   []*Span       // which packets of each direction are lost, from 1
}

// Conn is "conn b local :8080 remote 192.0.2.1:5001": a name for a
// connection, to be written before a packet's flags. What is not written is
// the interpreter's to choose; a port of 0 and an invalid address are not
// written.
type Conn struct {
	Pos
	Name          string
	Local, Remote netip.AddrPort
}
