package socketapi

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// State is a TCP connection's state, by the names of RFC 9293, 3.3.2.
type State uint8

// The states.
const (
	Closed State = iota
	Listening
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

// String is the state as RFC 9293 prints it.
func (s State) String() string {
	names := [...]string{
		"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED",
		"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// stateOf maps gVisor's states; those that only gVisor has are CLOSED.
func stateOf(s tcp.EndpointState) State {
	switch s {
	case tcp.StateListen:
		return Listening
	case tcp.StateSynSent, tcp.StateConnecting:
		return SynSent
	case tcp.StateSynRecv:
		return SynReceived
	case tcp.StateEstablished:
		return Established
	case tcp.StateFinWait1:
		return FinWait1
	case tcp.StateFinWait2:
		return FinWait2
	case tcp.StateCloseWait:
		return CloseWait
	case tcp.StateClosing:
		return Closing
	case tcp.StateLastAck:
		return LastAck
	case tcp.StateTimeWait:
		return TimeWait
	default:
		return Closed
	}
}

// SendBuffer is one instant of a connection's send buffer: what the
// application has written and the peer has not acknowledged. All in payload
// bytes.
type SendBuffer struct {
	Size   int // capacity (SO_SNDBUF, not doubled)
	Queued int // written, not acknowledged (SIOCOUTQ)
	Unsent int // of these, not sent yet (SIOCOUTQNSD)
	Free   int // what a Write would take without waiting

	// Window is what the peer lets us have unacknowledged: SND.WND.
	Window int
}

// ReceiveBuffer is one instant of a connection's receive buffer: what we have
// acknowledged and the application has not read. All in payload bytes.
type ReceiveBuffer struct {
	Size   int // the most the peer is ever granted at once (SO_RCVBUF, halved by gVisor)
	Queued int // acknowledged, not read (SIOCINQ)
	Free   int // Size - Queued, not below 0

	// Window is what the peer has been told and may still send: RCV.WND.
	Window int
}

// State is the connection's state now. It may be asked after Close.
func (c *TCPConn) State() State { return stateOf(c.tcp.EndpointState()) }

// SendBuffer looks at the send buffer. It may be asked after Close: what was
// written before is still on its way. The numbers are of one instant.
func (c *TCPConn) SendBuffer() SendBuffer { s, _ := c.Buffers(); return s }

// ReceiveBuffer looks at the receive buffer. The numbers are of one instant.
func (c *TCPConn) ReceiveBuffer() ReceiveBuffer { _, r := c.Buffers(); return r }

// Buffers looks at both buffers at the same instant.
func (c *TCPConn) Buffers() (SendBuffer, ReceiveBuffer) { return buffersOf(c.tcp) }

func buffersOf(ep *tcp.Endpoint) (SendBuffer, ReceiveBuffer) {
	st := readTCP(ep)
	o := ep.SocketOptions()
	snd := SendBuffer{Size: int(o.GetSendBufferSize()), Queued: st.sndQueued, Window: st.sndWnd}
	snd.Free = max(0, snd.Size-snd.Queued)
	// A FIN takes a sequence number and no room.
	sent := min(int(st.sndNxt-st.sndUna), snd.Queued)
	snd.Unsent = snd.Queued - sent

	rcv := ReceiveBuffer{Size: fromMemory(o.GetReceiveBufferSize()), Queued: st.rcvQueued, Window: st.rcvWnd}
	rcv.Free = max(0, rcv.Size-rcv.Queued)
	return snd, rcv
}

// gVisor counts a receive buffer in memory, bookkeeping of each segment
// included, and never grants the peer more than half of it
// (tcp.rcvAdvWndScale). These two translate.
func fromMemory(n int64) int { return int(n >> 1) }
func toMemory(n int) int64   { return int64(n) << 1 }

// SetReadBuffer sets the receive buffer's size to n payload bytes, within what
// the stack allows (stack.TCPConfig.ReceiveBuffer), and turns autotuning off
// for this connection. The window scale was fixed by the SYN: beyond what it
// can express, more room does not mean a larger window.
func (c *TCPConn) SetReadBuffer(n int) error {
	if n <= 0 {
		return c.opErr("set", errInvalid("setsockopt"))
	}
	if err := c.use(); err != nil {
		return c.opErr("set", err)
	}
	defer c.done()
	limits := c.stack.TCP().ReceiveBuffer
	n = min(max(n, limits.Min), limits.Max)
	c.ep.SocketOptions().SetReceiveBufferSize(toMemory(n), true)
	return nil
}

// SetWriteBuffer sets the send buffer's size to n payload bytes, within what
// the stack allows (stack.TCPConfig.SendBuffer), and turns autotuning off for
// this connection.
func (c *TCPConn) SetWriteBuffer(n int) error {
	if n <= 0 {
		return c.opErr("set", errInvalid("setsockopt"))
	}
	if err := c.use(); err != nil {
		return c.opErr("set", err)
	}
	defer c.done()
	limits := c.stack.TCP().SendBuffer
	n = min(max(n, limits.Min), limits.Max)
	c.ep.SocketOptions().SetSendBufferSize(int64(n), true)
	return nil
}
