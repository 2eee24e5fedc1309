package engine

import (
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// TestMissingFieldIsRefused: a renamed or changed field must not be read as
// something else. The message says which field of what.
func TestMissingFieldIsRefused(t *testing.T) {
	for name, find := range map[string]func(){
		"nothing":        func() { fieldOf[int](endpointType, "nothing") },
		"rc.nothing":     func() { fieldOf[int](senderType, "rc", "nothing") },
		"finSent.inside": func() { fieldOf[int](senderType, "finSent", "inside") },
		"RcvBufUsed":     func() { fieldOf[int](endpointType, "RcvBufUsed") }, // promoted
		"probe in tcp.Endpoint of type func(), it is a tcp.TCPProbeFunc": func() { fieldOf[func()](endpointType, "probe") },
		"amss": func() { pointerTo(endpointType, "amss") },
	} {
		func() {
			defer func() {
				got, ok := recover().(string)
				if !ok {
					t.Errorf("%s was accepted", name)
				} else if !strings.Contains(got, name) || !strings.Contains(got, "use the version in tapstack's go.mod") {
					t.Errorf("%s: %q", name, got)
				}
			}()
			find()
		}()
	}
}

// TestAllAcked: what is acknowledged, what is not yet, and what never will be.
func TestAllAcked(t *testing.T) {
	end := uint32(3) // after the wrap
	at := func(state tcp.EndpointState, una uint32, fin bool) State {
		return State{State: state, Synchronized: true, Snd: Send{Una: una, FinSent: fin}}
	}
	for _, c := range []struct {
		name        string
		st          State
		acked, lost bool
	}{
		{"short of it", at(tcp.StateEstablished, end-4, false), false, false},
		{"exactly", at(tcp.StateEstablished, end, false), true, false},
		{"beyond", at(tcp.StateEstablished, end+1, false), true, false},
		{"reset", at(tcp.StateError, end-1, true), false, true},
		{"reset later", at(tcp.StateError, end, true), true, false},
		{"LAST-ACK done", at(tcp.StateClose, end-1, true), true, false},
		{"reset in CLOSE-WAIT", at(tcp.StateClose, end-1, false), false, true},
		{"never connected", State{State: tcp.StateError}, false, true},
		{"connecting", State{State: tcp.StateSynSent}, false, false},
	} {
		if acked, lost := c.st.AllAcked(end); acked != c.acked || lost != c.lost {
			t.Errorf("%s: acked %v, lost %v", c.name, acked, lost)
		}
	}
}
