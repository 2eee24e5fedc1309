// Package holdup says what holds a TCP connection up: the writer, the send
// buffer, the network, the peer, the device, or the reader. It is the
// vocabulary of socketapi's TCPConn.Holdup; it has no state and no goroutine.
package holdup

import (
	"fmt"
	"time"
)

// Limit is what a sender is held up by at one instant.
type Limit uint8

// The limits. With unsent bytes:
const (
	// AppLimited: nothing is unsent and no writer waits. What was written may
	// still be under way.
	AppLimited Limit = iota
	// SndbufLimited: nothing is unsent, and a writer waits for room: the send
	// buffer is smaller than what the path holds.
	SndbufLimited
	// CwndLimited: there are unsent bytes, and as many segments are under way
	// as the congestion window allows.
	CwndLimited
	// RwndLimited: there are unsent bytes, and the peer's window lets none of
	// them leave.
	RwndLimited
	// DeviceLimited: a packet of the connection kept its writer in the device.
	DeviceLimited
	// OtherLimited: there are unsent bytes and both windows have room (Nagle's
	// algorithm, a cork), or the handshake is not over.
	OtherLimited

	// NumLimits is how many there are.
	NumLimits
)

// String is the limit in two words.
func (l Limit) String() string {
	names := [NumLimits]string{
		"application limited", "send buffer limited", "congestion window limited",
		"receive window limited", "device limited", "otherwise limited",
	}
	if l < NumLimits {
		return names[l]
	}
	return fmt.Sprintf("Limit(%d)", uint8(l))
}

// Report is where a connection's time has gone since watching began, until now
// or, if that was earlier, until it ended (CLOSED or TIME-WAIT).
//
// The names are those of Linux's tcp_info where it has them (tcpi_busy_time,
// tcpi_sndbuf_limited, tcpi_rwnd_limited). RFC 4898 has the same division:
// SndLimTimeCwnd, SndLimTimeRwin, and SndLimTimeSnd for the other four.
type Report struct {
	Watched time.Duration // the sum of the six below, exactly

	AppLimited, SndbufLimited, CwndLimited   time.Duration
	RwndLimited, DeviceLimited, OtherLimited time.Duration
	Busy                                     time.Duration // with bytes not acknowledged

	// Bytes of payload, each once, since watching began: left for the first
	// time, acknowledged; arrived in order, read by the application.
	Sent, Acked    uint64
	Received, Read uint64

	// How long a byte spends in each part of the buffers on average, over all
	// bytes that were there: written and not sent (a slow network or peer, or
	// simply a deep buffer), sent and not acknowledged (a round trip, more
	// with losses), acknowledged and not read (a slow reader of ours).
	UnsentWait, UnackedWait, UnreadWait time.Duration

	PeerZeroWindow Episodes // the peer's reader does not keep up
	ZeroWindow     Episodes // ours does not

	Retransmits     uint64 // in gVisor's segments, which may be up to 64 KiB
	FastRetransmits uint64 // of these, the oldest segment's, without a timeout
	Timeouts        uint64 // RTOs and zero window probes, which share a timer

	RTT time.Duration // smoothed, now; 0 before the first sample
}

// Episodes is how often something was the case, and for how long in all; one
// under way is counted.
type Episodes struct {
	Count uint64
	Time  time.Duration
}

// Time is the share of one limit.
func (h Report) Time(l Limit) time.Duration {
	switch l {
	case AppLimited:
		return h.AppLimited
	case SndbufLimited:
		return h.SndbufLimited
	case CwndLimited:
		return h.CwndLimited
	case RwndLimited:
		return h.RwndLimited
	case DeviceLimited:
		return h.DeviceLimited
	case OtherLimited:
		return h.OtherLimited
	default:
		return 0
	}
}

// Slow is who holds a connection up.
type Slow uint8

// Who may be slow.
const (
	SlowNobody     Slow = iota // what is written goes, what arrives is read
	SlowWriter                 // the application here writes less than would go
	SlowSendBuffer             // the send buffer is too small for the path
	SlowNetwork                // congestion control: losses, a long or narrow path
	SlowPeer                   // the peer's reader, or its receive buffer
	SlowDevice                 // the device
	SlowReader                 // the application here reads less than arrives
	SlowOther                  // Nagle's algorithm, a cork, a handshake
)

// String is a sentence without its number.
func (s Slow) String() string {
	names := [...]string{
		"nobody here: nothing waits to be sent or read",
		"the writer: everything written has been sent",
		"the send buffer: all of it is under way, and the writer waits",
		"the network: the congestion window is full",
		"the peer: its receive window is full",
		"the device: it takes frames more slowly than they come",
		"the reader: received bytes wait to be read",
		"neither end nor the network: small segments are being held back",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Slow(%d)", uint8(s))
}

// Slow says who holds the connection up, by these rules in this order:
//
//  1. Our own window was closed for more than half of the time: our reader.
//  2. The largest of the six shares, if it is not AppLimited, names its own.
//  3. More was received than sent: our reader, if a byte waits for it longer
//     than for a round trip, and for more than a hundredth of the time
//     watched; nobody here otherwise, the other end's writer then.
//  4. Our writer, if it has written anything.
func (h Report) Slow() Slow {
	if h.ZeroWindow.Time > h.Watched/2 {
		return SlowReader
	}
	largest := AppLimited
	for l := range NumLimits {
		if h.Time(l) > h.Time(largest) {
			largest = l
		}
	}
	switch largest {
	case SndbufLimited:
		return SlowSendBuffer
	case CwndLimited:
		return SlowNetwork
	case RwndLimited:
		return SlowPeer
	case DeviceLimited:
		return SlowDevice
	case OtherLimited:
		return SlowOther
	default:
		return h.slowApplication()
	}
}

// slowApplication is Slow where the sender lacked nothing but bytes.
func (h Report) slowApplication() Slow {
	waiting := h.Received > 0 || h.UnreadWait > 0
	switch {
	case waiting && h.Received >= h.Sent && h.UnreadWait > max(h.RTT, h.Watched/100):
		return SlowReader
	case h.Sent > 0 && h.Sent >= h.Received:
		return SlowWriter
	default:
		return SlowNobody
	}
}

// Verdict is Slow in one line, with the share of the time that it rests on.
func (h Report) Verdict() string {
	slow, share := h.Slow(), h.AppLimited
	switch slow {
	case SlowSendBuffer:
		share = h.SndbufLimited
	case SlowNetwork:
		share = h.CwndLimited
	case SlowPeer:
		share = h.RwndLimited
	case SlowDevice:
		share = h.DeviceLimited
	case SlowOther:
		share = h.OtherLimited
	case SlowReader:
		share = h.ZeroWindow.Time
	case SlowNobody, SlowWriter:
	}
	percent := 100 * float64(share) / float64(max(1, h.Watched))
	return fmt.Sprintf("%v (%.0f%% of %v)", slow, percent, h.Watched.Round(time.Millisecond))
}
