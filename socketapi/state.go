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
