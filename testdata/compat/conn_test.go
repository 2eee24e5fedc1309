package compat

import (
	"context"
	"flag"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"tapstack/testdata/compat/world"
)

// connRuns is how often TestConn runs the contract in each world: "make
// contract" says 100.
var connRuns = flag.Int("conn", 1, "how often TestConn runs nettest.TestConn in each world")

// TestConn runs the contract of net.Conn that x/net publishes, all eleven
// parts of it. Over a TAP one end of each pair is the kernel's.
func TestConn(t *testing.T) {
	world.Each(t, func(t *testing.T, l *world.Link) {
		for range *connRuns {
			parts := 0
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				parts++
				return connect(l)
			})
			if parts != 11 && !t.Failed() {
				t.Fatalf("the contract has %d parts, want 11", parts)
			}
		}
	})
}

// connect makes a connection from the link's client to its server.
func connect(l *world.Link) (client, server net.Conn, stop func(), err error) {
	ln, err := l.Server.Listen()
	if err != nil {
		return nil, nil, nil, err
	}
	defer ln.Close()
	client, err = l.Client.DialContext(context.Background(), "tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, nil, err
	}
	server, err = ln.Accept()
	if err != nil {
		_ = client.Close()
		return nil, nil, nil, err
	}
	return client, server, func() { _ = client.Close(); _ = server.Close() }, nil
}
