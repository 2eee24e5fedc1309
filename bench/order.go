package main

import (
	"errors"
	"time"
)

// order is what the coordinator tells a process to do: one line of JSON on its
// standard input. The process obeys one at a time and replies to each with an
// [answer], one line on its standard output.
type order struct {
	Op string

	// For "open", to the system under test.
	Target string `json:",omitempty"`
	NoSpin bool   `json:",omitempty"`
	// Congestion is the stack's congestion control, "" for its default.
	Congestion string `json:",omitempty"`
	// Sockets says how tapstack's are used, "" as everybody does.
	Sockets string `json:",omitempty"`

	// Through is the kind of service that the peer goes through to get to the
	// far host, at To, "" where it connects to the system under test; the service
	// takes connections at Via. Addresses have ports, but To of "open far".
	Through string `json:",omitempty"`
	Via     string `json:",omitempty"`
	To      string `json:",omitempty"`

	// Warm is how long the load runs before it counts, Span how long it counts.
	Warm, Span time.Duration

	V6 bool `json:",omitempty"`
	N  int  `json:",omitempty"` // flows or connections, datagrams a call, or bytes a turn

	File string `json:",omitempty"` // of "start profile"
}

// answer is what a process has to report.
type answer struct {
	Err string `json:",omitempty"`
	// Nothing says that Err is errNothing: there was nothing to measure.
	Nothing bool `json:",omitempty"`

	// Count is what arrived (bytes, datagrams, requests, connections) in
	// Seconds, and CPU the seconds that the whole machine worked meanwhile.
	Count, Seconds, CPU float64

	P50, P99 float64 // round trips, in microseconds

	Memory float64 // bytes

	Costs []float64 `json:",omitempty"` // of "turns", in percent

	Text string `json:",omitempty"` // a description
}

// errNothing: the load ran, and nothing of it arrived while it counted. On a
// busy machine that may be the machine's fault.
var errNothing = errors.New("nothing arrived")

// failed is the answer a with an error, which crosses to the coordinator.
func (a answer) failed(err error) answer {
	a.Err, a.Nothing = err.Error(), errors.Is(err, errNothing)
	return a
}

// err is what failed was given, or nil.
func (a answer) err() error {
	switch {
	case a.Err == "":
		return nil
	case a.Nothing:
		return nothingError(a.Err)
	}
	return errors.New(a.Err)
}

// nothingError is an errNothing with the words of whoever noticed.
type nothingError string

func (e nothingError) Error() string { return string(e) }
func (nothingError) Unwrap() error   { return errNothing }

// rate is arrivals per second.
func (a answer) rate() float64 { return a.Count / a.Seconds }
