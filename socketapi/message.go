package socketapi

import (
	"io"
	"net/netip"
	"time"
)

// MsgFlags modify one send or receive, and tell what was special about one.
// Names and values are those of recv(2) and send(2).
type MsgFlags int

// Flags of receives (in), of messages received (out) and of sends.
const (
	MsgOOB      MsgFlags = 0x1    // there is no urgent data here: EINVAL of streams
	MsgPeek     MsgFlags = 0x2    // leave the bytes in the receive buffer
	MsgTrunc    MsgFlags = 0x20   // in: datagrams return their whole length, streams discard; out: the datagram was longer
	MsgDontWait MsgFlags = 0x40   // as every call of a Socket
	MsgNoSignal MsgFlags = 0x4000 // as every send: there are no signals here
	MsgMore     MsgFlags = 0x8000 // more follows: no segment that is not full (TCP_CORK for one send)
)

// Message is what RecvMsg fills and SendMsg sends. The Socket keeps nothing of
// it after the call.
type Message struct {
	// Buffers take the bytes, or are sent, one after the other.
	Buffers [][]byte

	// Addr is who sent the message, or where it goes; invalid for the address
	// connected to. Streams leave it alone.
	Addr netip.AddrPort

	// Control is what came with the message, as far as an option asked for it,
	// or how to send this one message.
	Control Control

	// Flags of a received message: MsgTrunc.
	Flags MsgFlags

	// N is what receiving this message has returned: how many bytes it has, as
	// far as Buffers hold them. Sending ignores it.
	N int
}

// Control is what cmsg(3) carries. Has says which of the fields mean something.
// Sending one with a field that can only be received is EINVAL.
type Control struct {
	Has ControlFields

	TTL       uint8      // IP_TTL, IPV6_HOPLIMIT; sent over IPv4, 1 to 255
	TOS       uint8      // IP_TOS, IPV6_TCLASS
	Dst       netip.Addr // IP_PKTINFO, IPV6_PKTINFO: received, where it was sent to; sent, from where
	NIC       string     // the same: the NIC's name, "" for any
	Timestamp time.Time  // SO_TIMESTAMP, on the stack's clock; received only
	Inq       int        // TCP_INQ: bytes still in the receive buffer; received only

	// For messages as bytes.
	nicIndex int32      // NIC as gVisor numbers it
	answer   netip.Addr // ipi_spec_dst: from where an answer over IPv4 would come
	forms    flag       // of packet info: flagInfo4, flagInfo6
	from4    bool       // it came over IPv4
}

// ControlFields is a set of fields of [Control].
type ControlFields uint8

// The fields; ControlPacketInfo is Dst and NIC.
const (
	ControlTTL ControlFields = 1 << iota
	ControlTOS
	ControlPacketInfo
	ControlTimestamp
	ControlInq
)

// sink is the writer that gVisor copies received bytes to. It runs with the
// endpoint's lock held.
type sink struct {
	p    []byte   // being filled
	rest [][]byte // after it
	drop bool     // of a datagram, let go of what does not fit
	n    int      // taken
}

// Write fills the buffers. A stream's reader learns by the error that they are
// full; gVisor keeps the rest.
func (w *sink) Write(b []byte) (int, error) {
	done := 0
	for {
		m := copy(w.p, b[done:])
		w.p, done, w.n = w.p[m:], done+m, w.n+m
		switch {
		case done == len(b):
			return done, nil
		case len(w.rest) > 0:
			w.p, w.rest = w.rest[0], w.rest[1:]
		case w.drop:
			return len(b), nil
		default:
			return done, io.ErrShortWrite
		}
	}
}

// discard is a sink without memory: it takes n bytes (MSG_TRUNC of a stream).
type discard int

// Write counts b as taken.
func (d *discard) Write(b []byte) (int, error) {
	n := min(len(b), int(*d))
	*d -= discard(n)
	if n < len(b) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// source is the reader that gVisor copies bytes to be sent from: a cursor over
// buffers, of which it may take left bytes.
type source struct {
	p    []byte
	rest [][]byte
	left int
}

// of points the source at the first left bytes of p and rest.
func (r *source) of(p []byte, rest [][]byte, left int) { r.p, r.rest, r.left = p, rest, left }

// Len implements tcpip.Payloader.
func (r *source) Len() int { return r.left }

// Read implements io.Reader. gVisor asks with an empty b whether there is more.
func (r *source) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(len(b), r.left)]
	done := 0
	for done < len(b) {
		if len(r.p) == 0 {
			r.p, r.rest = r.rest[0], r.rest[1:]
			continue
		}
		n := copy(b[done:], r.p)
		r.p, done = r.p[n:], done+n
	}
	r.left -= done
	return done, nil
}

// total is the length of all buffers together.
func total(bufs [][]byte) int {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// skip is bufs without their first n bytes. It does not change bufs.
func skip(p []byte, rest [][]byte, n int) ([]byte, [][]byte) {
	for n >= len(p) && len(rest) > 0 {
		n -= len(p)
		p, rest = rest[0], rest[1:]
	}
	return p[min(n, len(p)):], rest
}
