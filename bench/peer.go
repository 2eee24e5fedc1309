//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// peer is the other side: clients on kernel sockets, the same for every
// target. They are meant to cost little, so that the system under test is what
// limits; where the convenient way costs too much, epoll.go and datagrams.go
// have another.
type peer struct {
	kept []net.Conn
}

func (p *peer) do(o order) (answer, error) {
	switch o.Op {
	case "send":
		return bulk(o, discardPort, net.Conn.Write)
	case "receive":
		return bulk(o, chargenPort, net.Conn.Read)
	case "ping":
		return ping(o)
	case "turns in", "turns out":
		return turns(o)
	case "get":
		return get(o)
	case "visit":
		return visits(o)
	case "send datagrams":
		return floodDatagrams(o)
	case "receive datagrams":
		return drainDatagrams(o)
	case "connect":
		return answer{}, p.connect(o)
	}
	return answer{}, fmt.Errorf("no order %q", o.Op)
}

func dial(port int, v6 bool) (net.Conn, error) { return dialAddr(sutAddr(port, v6).String()) }

func dialAddr(address string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience / 3}
	d.SetMultipathTCP(false)
	return d.Dial("tcp", address)
}

// bulk moves bytes over N flows as fast as they go.
func bulk(o order, port int, move func(net.Conn, []byte) (int, error)) (answer, error) {
	var moved atomic.Int64
	var flows []func(context.Context) error
	for range o.N {
		c, err := reach(o, port)
		if err != nil {
			return answer{}, err
		}
		flows = append(flows, func(ctx context.Context) error {
			defer closeWith(ctx, c)()
			buf := make([]byte, ioSize)
			for {
				n, err := move(c, buf)
				moved.Add(int64(n))
				if err != nil {
					return err
				}
			}
		})
	}
	return during(o, moved.Load, flows...)
}

// ping sends a message, waits for its echo, and again.
func ping(o order) (answer, error) {
	c, err := reach(o, echoPort)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(o.Warm + o.Span + patience/2))
	buf := make([]byte, pingSize)
	begin := time.Now().Add(o.Warm)
	end := begin.Add(o.Span)
	trips := make([]time.Duration, 0, 1<<16)
	for before := time.Now(); before.Before(end); {
		if _, err := c.Write(buf); err != nil {
			return answer{}, err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return answer{}, err
		}
		after := time.Now()
		if after.After(begin) {
			trips = append(trips, after.Sub(before))
		}
		before = after
	}
	slices.Sort(trips)
	us := func(p float64) float64 { return float64(percentile(trips, p).Nanoseconds()) / 1e3 }
	return answer{Count: float64(len(trips)), Seconds: o.Span.Seconds(), P50: us(50), P99: us(99)}, nil
}

// connect opens o.N connections and keeps them. Those that go through something
// are used: a message to the far host and back.
func (p *peer) connect(o order) error {
	const parallel = 16
	var (
		mu    sync.Mutex
		first error
		wg    sync.WaitGroup
		next  atomic.Int64
	)
	for range parallel {
		wg.Go(func() {
			for next.Add(1) <= int64(o.N) {
				c, err := reach(o, holdPort)
				if err == nil && o.Through != "" {
					err = exchange(c)
				}
				mu.Lock()
				if err == nil {
					p.kept = append(p.kept, c)
				} else if first == nil {
					first = err
				}
				failed := first != nil
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// exchange sends a message to an echo and waits for it.
func exchange(c net.Conn) error {
	var buf [pingSize]byte
	if _, err := c.Write(buf[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(c, buf[:])
	return err
}
