package socketapi

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

func TestStateNames(t *testing.T) {
	for s, want := range map[tcp.EndpointState]string{
		tcp.StateEstablished: "ESTABLISHED",
		tcp.StateSynSent:     "SYN-SENT",
		tcp.StateSynRecv:     "SYN-RECEIVED",
		tcp.StateFinWait1:    "FIN-WAIT-1",
		tcp.StateFinWait2:    "FIN-WAIT-2",
		tcp.StateTimeWait:    "TIME-WAIT",
		tcp.StateClose:       "CLOSED",
		tcp.StateCloseWait:   "CLOSE-WAIT",
		tcp.StateLastAck:     "LAST-ACK",
		tcp.StateListen:      "LISTEN",
		tcp.StateClosing:     "CLOSING",
		tcp.StateInitial:     "CLOSED",
		tcp.StateError:       "CLOSED",
	} {
		if got := stateOf(s).String(); got != want {
			t.Errorf("%v is %q, want %q", s, got, want)
		}
	}
}
