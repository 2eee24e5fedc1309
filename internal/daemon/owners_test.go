package daemon

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// relayed is a forward in each direction, a proxy, a flow and a service, each
// with a connection under way.
func relayed(t *testing.T) *controlled {
	t.Helper()
	front, flows, socks := freePort(t), freePort(t), freePort(t)
	c := newControlled(t, plain)
	target, back := c.peerEcho(t), hostEcho(t)
	u, err := socketapi.ListenUDP(c.peer, "udp", client4.Addr().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	c.rewrite(t, forwards(
		section("forward.in", "listen = '"+front+"'", "to = '"+target+"'"),
		section("forward.out", "from = 'stack'", "listen = ':8000'", "to = '"+back+"'"),
		section("forward.flows", "protocol = 'udp'", "listen = '"+flows+"'", "to = '"+u.LocalAddr().String()+"'"),
		section("socks5", "listen = '"+socks+"'", "open = true"),
	))
	if _, err := c.api.Reload(within(t)); err != nil {
		t.Fatal(err)
	}
	ping(t, dialHost(t, front))
	d := socketapi.Dialer{Stack: c.peer}
	for _, addr := range []string{"192.0.2.2:8000", "192.0.2.2:7"} {
		conn, err := d.DialContext(within(t), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		ping(t, conn)
	}
	flow, err := net.Dial("udp", flows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flow.Close() })
	if _, err := flow.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := u.ReadFrom(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	// UDP ASSOCIATE: one method, none; a request for any address.
	s := dialHost(t, socks)
	if _, err := s.Write([]byte{5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 2+10)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOwners: every socket of a service, a forward or a proxy is said to be its.
func TestOwners(t *testing.T) {
	c := relayed(t)
	look := func() string {
		all, err := c.api.Sockets(within(t), &api.SocketQuery{Service: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range all {
			got = append(got, fmt.Sprintf("%s %s %s", s.Protocol, s.State, s.Service))
		}
		slices.Sort(got)
		return strings.Join(got, ", ")
	}
	const want = "tcp ESTABLISHED echo, tcp ESTABLISHED forward.in, tcp ESTABLISHED forward.out, " +
		"tcp LISTEN discard, tcp LISTEN echo, tcp LISTEN forward.out, " +
		"udp  echo, udp  forward.flows, udp  socks5"
	// The association answers just before it is known.
	eventually(t, "the association is known", func() bool { return strings.HasSuffix(look(), "socks5") })
	if got := look(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	plain, err := c.api.Sockets(within(t), &api.SocketQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plain {
		if s.Service != "" {
			t.Errorf("without having been asked: %+v", s)
		}
	}
}

// TestAccountingOfThoseThereAre: switched on and off, it is so for connections
// that are under way, of services and of forwards in both directions.
func TestAccountingOfThoseThereAre(t *testing.T) {
	c := relayed(t)
	for _, on := range []bool{true, false, true} {
		if err := c.api.Change(within(t), &api.Settings{Accounting: &on}); err != nil {
			t.Fatal(err)
		}
		all, err := c.api.Sockets(within(t), &api.SocketQuery{TCP: true, States: []string{"ESTABLISHED"}, Holdup: true})
		if err != nil || len(all) != 3 {
			t.Fatalf("%+v, %v", all, err)
		}
		for _, s := range all {
			if (s.Holdup != nil) != on {
				t.Errorf("accounting %v: %+v", on, s)
			}
		}
	}
}
