package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"syscall"

	"tapstack/socketapi"
)

// An echo server for any number of connections, 10,000 as well as these 100,
// with one goroutine.
func ExamplePoller() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	l := must(socketapi.Listen(there, "tcp", ":7"))
	defer l.Close()

	p := socketapi.NewPoller()
	if err := p.Add(l, socketapi.EventIn, socketapi.LevelTriggered, nil); err != nil {
		log.Fatal(err)
	}
	var server sync.WaitGroup
	server.Go(func() { echo(p, l.Socket()) })

	var clients sync.WaitGroup
	echoed := make(chan int, 100)
	for range 100 {
		clients.Go(func() {
			c := must((&socketapi.Dialer{Stack: here}).Dial("tcp", "192.0.2.2:7"))
			defer c.Close()
			must(c.Write([]byte("hello")))
			echoed <- must(io.ReadFull(c, make([]byte, 5)))
		})
	}
	clients.Wait()
	_ = p.Close()
	server.Wait()
	fmt.Println(len(echoed), "connections had their answer")
	// Output:
	// 100 connections had their answer
}

// client is one connection of the echo server.
type client struct {
	left []byte // read and not yet sent back
}

// echo serves until the poller is closed.
func echo(p *socketapi.Poller, listener *socketapi.Socket) {
	events, buf := make([]socketapi.Event, 64), make([]byte, 4096)
	for {
		n, err := p.Wait(context.Background(), events)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		for _, ev := range events[:n] {
			if ev.Socket != listener {
				ev.Data.(*client).serve(p, ev.Socket, buf)
				continue
			}
			so, _, err := listener.Accept()
			if err != nil {
				continue // EAGAIN: it has gone again
			}
			if err := p.Add(so, socketapi.EventIn, socketapi.LevelTriggered, &client{}); err != nil {
				_ = so.Close()
			}
		}
	}
}

// serve reads or, as long as something is left over, only writes: a client that
// does not read its answers is not read from.
func (c *client) serve(p *socketapi.Poller, so *socketapi.Socket, buf []byte) {
	if len(c.left) == 0 {
		n, err := so.Recv(buf, 0)
		if err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				_ = so.Close() // io.EOF, ECONNRESET; it leaves the poller
			}
			return
		}
		c.left = append(c.left, buf[:n]...)
	}
	n, err := so.Send(c.left, 0)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		_ = so.Close()
		return
	}
	c.left = append(c.left[:0], c.left[n:]...)
	want := socketapi.EventIn
	if len(c.left) > 0 {
		want = socketapi.EventOut
	}
	_ = p.Modify(so, want, socketapi.LevelTriggered, c) // fails when it was closed
}
