package proxy

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Options are what every service has.
type Options struct {
	// Name tells services of one kind apart, in logs, errors and snapshots.
	Name string

	// Listen is where the service listens, and Address at what: ":1080",
	// "127.0.0.1:0" (a port of the network's choice) and so on.
	Listen  Network
	Address string

	// Dial is where targets are.
	Dial Network

	// Limits bound what clients can make the service hold and do.
	Limits Limits

	// AcceptPROXY demands that every connection begins with a PROXY protocol
	// header, version 1 or 2, and takes the client's address from it. Only what
	// is within PROXYFrom, if that is not empty, may connect then: the header
	// is believed. It is for TCP.
	AcceptPROXY bool
	PROXYFrom   []netip.Prefix

	// Logger gets what an operator needs to know, a line for each cause and
	// minute at most; nil is silence.
	Logger *slog.Logger

	// Relayed, if not nil, is given each of the two connections of one that
	// was relayed, when it is over and they are closed. It must not block.
	Relayed func(net.Conn)
}

// Limits bound a service. A zero field takes the default given with it.
type Limits struct {
	// Conns is how many TCP connections there may be at a time: 16,384. One
	// more is reset.
	Conns int

	// Flows is how many clients of a UDP forward, or UDP associations of a
	// SOCKS5 service, there may be at a time: 1,024. One more flow ends the one
	// that was idle longest; one more association is refused. Each holds
	// 64 KiB, an association 128.
	Flows int

	// Handshake is how long a client may take to say what it wants: 10 s.
	Handshake time.Duration

	// Dial is how long a target may take to answer: 15 s.
	Dial time.Duration

	// Idle is how long a connection may be without a byte moved in either
	// direction before it is reset: an hour; negative is for ever. Up to
	// 256 KiB towards one very slow reader count as one move.
	Idle time.Duration

	// FlowIdle is Idle for a UDP flow, which just ends: 2 minutes (RFC 4787,
	// REQ-5).
	FlowIdle time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Conns == 0 {
		l.Conns = 16 << 10
	}
	if l.Flows == 0 {
		l.Flows = 1 << 10
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&l.Handshake, 10 * time.Second},
		{&l.Dial, 15 * time.Second},
		{&l.Idle, time.Hour},
		{&l.FlowIdle, 2 * time.Minute},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	return l
}
