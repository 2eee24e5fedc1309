package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"syscall"

	"tapstack/socketapi"
)

// Reading without a copy: the bytes are in the memory that they were received
// into, until the chunk is released.
func ExampleTCPConn_ReadChunk() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	w, r := oneConnection(here, there)
	defer w.Close()
	defer r.Close()

	// Several buffers in one call, of which the connection changes none.
	must(w.WriteBuffers([][]byte{[]byte("head, "), []byte("body")}))
	chunk := must(r.ReadChunk(64 << 10))
	for _, p := range chunk.Slices() {
		fmt.Printf("%s", p)
	}
	chunk.Release()
	fmt.Println()
	// Output:
	// head, body
}

// What a connection's time goes to. Accounting is off until asked for.
func ExampleTCPConn_Holdup() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	w, r := oneConnection(here, there)
	defer w.Close()
	defer r.Close()

	if err := r.SetAccounting(true); err != nil {
		log.Fatal(err)
	}
	must(w.Write(make([]byte, 5000)))
	if err := r.WaitReadable(context.Background(), 5000); err != nil {
		log.Fatal(err)
	}
	must(io.ReadFull(r, make([]byte, 1000)))
	h, ok := r.Holdup()
	fmt.Println(ok, h.Received, "bytes arrived,", h.Read, "were read")
	// Output:
	// true 5000 bytes arrived, 1000 were read
}

// What ss -i would show, by tcp_info's names. What is not known is not there.
func ExampleTCPConn_Info() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	c, s := oneConnection(here, there)
	defer c.Close()
	defer s.Close()

	info := must(c.Info())
	fmt.Println(info.State, info.Conn.AdvMSS, "bytes a segment")
	_, ok := info.Field("tcpi_snd_cwnd")
	fmt.Println("tcpi_snd_cwnd:", ok)
	_, ok = info.Field("tcpi_pacing_rate")
	fmt.Println("tcpi_pacing_rate:", ok)
	// Output:
	// ESTABLISHED 1460 bytes a segment
	// tcpi_snd_cwnd: true
	// tcpi_pacing_rate: false
}

// Sizes that are set before the handshake are those of every connection that
// the listener accepts.
func ExampleListenConfig() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()

	lc := &socketapi.ListenConfig{
		Stack:        there,
		SendAutotune: 1 << 20, // may grow by itself, but no further
		Control: func(_, _ string, s *socketapi.Socket) error {
			return s.SetOption(socketapi.SO_RCVBUF, 10_000)
		},
	}
	l := must(lc.ListenTCP(context.Background(), "tcp", ":7"))
	defer l.Close()
	c := must((&socketapi.Dialer{Stack: here}).Dial("tcp", "192.0.2.2:7"))
	defer c.Close()
	s := must(l.AcceptTCP())
	defer s.Close()
	snd, rcv := s.Buffers()
	fmt.Println("receive buffer:", rcv.Size, "bytes; send buffer: up to", snd.AutotuneMax)
	// Output:
	// receive buffer: 10000 bytes; send buffer: up to 1048576
}

// hosts is a Resolver that needs no network.
type hosts map[string]netip.Addr

func (h hosts) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := h[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Names are looked up by whatever the Dialer is given: here a map; or a
// net.Resolver that asks a name server over the same stack.
func ExampleDialer() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	l := must(socketapi.Listen(there, "tcp", ":80"))
	defer l.Close()

	d := &socketapi.Dialer{Stack: here, Resolver: hosts{"server.example": netip.MustParseAddr("192.0.2.2")}}
	c := must(d.Dial("tcp", "server.example:http"))
	defer c.Close()
	fmt.Println(c.RemoteAddr())

	d.Resolver = &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&socketapi.Dialer{Stack: here}).DialContext(ctx, network, "192.0.2.2:53")
		},
	}
	// Output:
	// 192.0.2.2:80
}

// BSD's way: nothing waits, and a poller tells when to try again.
func ExampleSocket() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	l := must(socketapi.Listen(there, "tcp", ":7"))
	defer l.Close()

	so := must(socketapi.NewSocket(here, "tcp4"))
	defer so.Close()
	err := so.Connect(netip.MustParseAddrPort("192.0.2.2:7"))
	fmt.Println(errors.Is(err, syscall.EINPROGRESS))

	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(so, socketapi.EventOut, socketapi.OneShot, nil); err != nil {
		log.Fatal(err)
	}
	events := make([]socketapi.Event, 1)
	must(p.Wait(context.Background(), events))
	fmt.Println(events[0].Events, must(so.Option(socketapi.SO_ERROR)))
	// Output:
	// true
	// OUT 0
}

// A datagram with what came with it.
func ExampleUDPConn_ReadMessage() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()

	u := must(socketapi.ListenUDP(there, "udp4", ":9"))
	defer u.Close()
	if err := u.Socket().SetOption(socketapi.IP_RECVTTL, 1); err != nil {
		log.Fatal(err)
	}
	c := must((&socketapi.Dialer{Stack: here}).Dial("udp", "192.0.2.2:9")).(*socketapi.UDPConn)
	defer c.Close()
	must(c.WriteMessage(&socketapi.Message{
		Buffers: [][]byte{[]byte("near")},
		Control: socketapi.Control{Has: socketapi.ControlTTL, TTL: 3},
	}))

	m := &socketapi.Message{Buffers: [][]byte{make([]byte, 100)}}
	n := must(u.ReadMessage(m))
	fmt.Printf("%s, TTL %d\n", m.Buffers[0][:n], m.Control.TTL)
	// Output:
	// near, TTL 3
}
