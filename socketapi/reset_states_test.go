package socketapi_test

import (
	"errors"
	"syscall"
	"testing"

	"tapstack/socketapi"
)

// dropHeld forgets all frames that are held back but the last.
func (l *link) dropHeld() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.frames); n > 1 {
		l.frames = l.frames[n-1:]
	}
}

// TestResetWhileClosing: a peer that resets in the states that a connection only
// passes through. Each is held there by holding back the peer's frames.
func TestResetWhileClosing(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		state socketapi.State
		reach func(t *testing.T, c, peer *socketapi.TCPConn, la, lb *link)
		read  error // what Read says then
	}{
		{socketapi.FinWait1, func(t *testing.T, c, _ *socketapi.TCPConn, _, lb *link) {
			lb.hold()
			must(t, c.CloseWrite())
		}, syscall.ECONNRESET},
		{socketapi.Closing, func(t *testing.T, c, peer *socketapi.TCPConn, la, lb *link) {
			la.hold()
			lb.hold()
			must(t, c.CloseWrite())
			must(t, peer.CloseWrite())
			eventually(t, "both have sent a FIN", func() bool { return la.holding() > 0 && lb.holding() > 0 })
			la.letPass(1)
			lb.letPass(1)
		}, syscall.ECONNRESET}, // though the peer has sent a FIN: ours is not acknowledged
	} {
		t.Run(tc.state.String(), func(t *testing.T) {
			a, b, la, lb := linked(t, nil, nil)
			c, peer := connect(t, a, b, b4.Addr())
			tc.reach(t, c, peer, la, lb)
			eventually(t, "the state is reached, and the peer has the FIN", func() bool {
				return c.State() == tc.state && peer.State() != socketapi.Established
			})
			_ = peer.Abort()
			lb.dropHeld() // the acknowledgement of the FIN
			lb.letGo()
			la.letGo()
			eventually(t, "the reset has come", func() bool { return c.State() == socketapi.Closed })
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, tc.read) {
				t.Errorf("Read: %v, want %v", err, tc.read)
			}
			_, err := c.Write([]byte("x"))
			nested(t, err, "write", syscall.EPIPE)
		})
	}
}
