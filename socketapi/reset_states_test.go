package socketapi_test

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"tapstack/socketapi"
	"tapstack/stack"
)

// dropHeld forgets all frames that are held back but the last keep.
func (l *link) dropHeld(keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = l.frames[max(0, len(l.frames)-keep):]
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
		{socketapi.LastAck, func(t *testing.T, c, peer *socketapi.TCPConn, _, lb *link) {
			must(t, peer.CloseWrite())
			if _, err := c.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // bare io.EOF is what is promised
				t.Fatal(err)
			}
			lb.hold()
			must(t, c.CloseWrite())
			eventually(t, "the FIN is acknowledged, but for the link", func() bool { return lb.holding() > 0 })
		}, syscall.ECONNRESET},
	} {
		t.Run(tc.state.String(), func(t *testing.T) {
			a, b, la, lb := linked(t, nil, nil)
			c, peer := connect(t, a, b, b4.Addr())
			tc.reach(t, c, peer, la, lb)
			eventually(t, "the state is reached, and the peer has the FIN", func() bool {
				return c.State() == tc.state && peer.State() != socketapi.Established
			})
			_ = peer.Abort()
			lb.dropHeld(1) // not the acknowledgement of the FIN
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

// TestResetWhileOpening: a peer that resets in SYN-RECEIVED. A listener forgets
// the handshake, and has room for the next; who opened at the same time as the
// peer is refused (RFC 9293, 3.10.7.4).
func TestResetWhileOpening(t *testing.T) {
	t.Run("listener", func(t *testing.T) {
		a, b, la, lb := linked(t, nil, nil)
		l := newSocket(t, b, "tcp4")
		check(t, l.Bind(netip.AddrPortFrom(b4.Addr(), 80)), nil)
		check(t, l.Listen(1), nil)
		warmUp(t, a)
		for range 5 { // more than the backlog
			c := newSocket(t, a, "tcp4")
			lb.hold()
			check(t, c.Connect(netip.AddrPortFrom(b4.Addr(), 80)), syscall.EINPROGRESS)
			eventually(t, "the SYN is answered", func() bool { return holdsTCP(lb) })
			la.hold()
			lb.letGo()
			eventually(t, "the client takes it as open", func() bool { return c.Ready()&socketapi.EventOut != 0 })
			eventually(t, "SYN-RECEIVED", func() bool { return hasState(b, socketapi.SynReceived) })
			check(t, c.Abort(), nil)
			la.dropHeld(1) // not the acknowledgement
			la.letGo()
			eventually(t, "the handshake is forgotten", func() bool { return !hasState(b, socketapi.SynReceived) })
			_, _, err := l.Accept()
			check(t, err, syscall.EAGAIN)
			if ev := l.Ready(); ev != 0 {
				t.Errorf("the listener is ready for %v", ev)
			}
		}
		c := newSocket(t, a, "tcp4")
		check(t, c.Connect(netip.AddrPortFrom(b4.Addr(), 80)), syscall.EINPROGRESS)
		eventually(t, "somebody gets in", func() bool { return l.Ready()&socketapi.EventIn != 0 })
		s, _, err := l.Accept()
		check(t, err, nil)
		check(t, s.Close(), nil)
	})
	t.Run("both open", func(t *testing.T) {
		a, b, la, lb := linked(t, nil, nil)
		ours, theirs := netip.AddrPortFrom(a4.Addr(), 81), netip.AddrPortFrom(b4.Addr(), 82)
		x, y := newSocket(t, a, "tcp4"), newSocket(t, b, "tcp4")
		check(t, x.Bind(ours), nil)
		check(t, y.Bind(theirs), nil)
		warmUp(t, a)
		la.hold()
		lb.hold()
		check(t, x.Connect(theirs), syscall.EINPROGRESS)
		check(t, y.Connect(ours), syscall.EINPROGRESS)
		eventually(t, "both SYNs are there", func() bool { return holdsTCP(la) && holdsTCP(lb) })
		la.letPass(1)
		lb.letPass(1)
		eventually(t, "SYN-RECEIVED at both", func() bool {
			return hasState(a, socketapi.SynReceived) && hasState(b, socketapi.SynReceived)
		})
		if ev := x.Ready(); ev != 0 {
			t.Errorf("before: ready for %v", ev)
		}
		check(t, y.Abort(), nil)
		// gVisor resets no handshake, but answers what comes for it.
		lb.dropHeld(0)
		lb.letGo()
		la.letGo()
		eventually(t, "the reset has come", func() bool { return x.Ready()&socketapi.EventErr != 0 })
		e, err := x.Option(socketapi.SO_ERROR)
		check(t, err, nil)
		check(t, syscall.Errno(e), syscall.ECONNREFUSED)
	})
}

// warmUp lets a host and host b learn each other's hardware addresses.
func warmUp(t *testing.T, a *stack.Stack) {
	t.Helper()
	_, err := (&socketapi.Dialer{Stack: a}).DialContext(within(t), "tcp", "192.0.2.2:9")
	check(t, err, syscall.ECONNREFUSED)
}

func newSocket(t *testing.T, s *stack.Stack, network string) *socketapi.Socket {
	t.Helper()
	so, err := socketapi.NewSocket(s, network)
	check(t, err, nil)
	t.Cleanup(func() { _ = so.Close() })
	return so
}

// check demands an error, or none.
func check(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// hasState reports whether a stack has a TCP socket in a state.
func hasState(s *stack.Stack, state socketapi.State) bool {
	return slices.ContainsFunc(socketapi.TCPSockets(s), func(i socketapi.SocketInfo) bool { return i.State == state })
}

// holdsTCP reports whether a link holds back a segment over IPv4.
func holdsTCP(l *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.frames, func(f heldFrame) bool {
		return f.data[12] == 8 && f.data[13] == 0 && f.data[14+9] == 6
	})
}
