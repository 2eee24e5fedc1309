package socketapi_test

import (
	"net/netip"
	"testing"

	"tapstack/socketapi"
)

// NewSocket promises Linux's defaults, also on what a listener accepts.
func TestSocketBeginsWithNagle(t *testing.T) {
	a, b := pair(t, nil)
	l, err := socketapi.NewSocket(b, "tcp4")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.AddrPortFrom(b4.Addr(), 80)
	if err := l.Bind(at); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(1); err != nil {
		t.Fatal(err)
	}
	c, err := (&socketapi.Dialer{Stack: a}).DialContext(within(t), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(l, socketapi.EventIn, socketapi.LevelTriggered, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(within(t), make([]socketapi.Event, 1)); err != nil {
		t.Fatal(err)
	}
	child, _, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	for name, so := range map[string]*socketapi.Socket{"new": l, "accepted": child} {
		if v, err := so.Option(socketapi.TCP_NODELAY); v != 0 || err != nil {
			t.Errorf("%s: TCP_NODELAY %d, %v; want 0", name, v, err)
		}
	}
	// A connection of package net's has it the other way round.
	if v, err := c.(*socketapi.TCPConn).Socket().Option(socketapi.TCP_NODELAY); v != 1 || err != nil {
		t.Errorf("dialled: TCP_NODELAY %d, %v; want 1", v, err)
	}
	// With a backlog of 1 the only handshake needs no SYN cookie, which would
	// have cost SACK and window scale.
	info, err := child.Info()
	if err != nil || info.Conn == nil || !info.Conn.SACK || info.Conn.SndWscale == 0 {
		t.Errorf("%+v, %v; want SACK and window scale", info.Conn, err)
	}
}
