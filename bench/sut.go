//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// sut is the system under test: an ordinary server, the same for every
// network. It is written as one would write it, not as one would tune it.
type sut struct {
	network  network
	received atomic.Int64 // bytes, by the discard service

	heldMu   sync.Mutex
	held     []net.Conn
	holding  atomic.Int64 // len(held)
	baseline float64      // memory before the connections

	profile *os.File
}

func (s *sut) do(o order) (answer, error) {
	switch o.Op {
	case "open":
		return s.open(o)
	case "open far":
		return answer{}, s.openFar(netip.MustParseAddr(o.To))
	case "receive":
		return during(o, s.received.Load)
	case "receive datagrams":
		return s.receiveDatagrams(o)
	case "send datagrams":
		return s.sendDatagrams(o)
	case "idle":
		return idle(o)
	case "start profile":
		f, err := startProfile(o.File)
		s.profile = f
		return answer{}, err
	case "stop profile":
		pprof.StopCPUProfile()
		return answer{}, s.profile.Close()
	case "before holding":
		return answer{}, s.beforeHolding(o.N)
	case "holding":
		return s.measureHolding(o.N)
	}
	return answer{}, fmt.Errorf("no order %q", o.Op)
}

// open starts the network and every service on it.
func (s *sut) open(o order) (answer, error) {
	var err error
	if s.network, err = openNetwork(o); err != nil {
		return answer{}, err
	}
	page := make([]byte, pageSize)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(page)
	})}
	for _, v6 := range []bool{false, true} {
		err = errors.Join(err,
			s.serve(sutAddr(discardPort, v6), s.discard),
			s.serve(sutAddr(chargenPort, v6), chargen),
		)
	}
	err = errors.Join(err, s.serve(sutAddr(echoPort, false), echo))
	for i := range visitPorts {
		err = errors.Join(err, s.serve(sutAddr(visitPort+i, false), visit))
	}
	err = errors.Join(err, s.listen(sutAddr(httpPort, false), func(l net.Listener) { _ = web.Serve(l) }))
	err = errors.Join(err, s.listen(sutAddr(holdPort, false), s.hold))
	if o.Sockets == socketsTurns {
		err = errors.Join(err, s.serveTurns())
	}
	return answer{Text: s.network.Describe()}, err
}

// openFar makes it the host that a forward or a proxy leads to: on the kernel's
// sockets, at an address of its own.
func (s *sut) openFar(at netip.Addr) error {
	s.network = kernel{}
	return errors.Join(
		s.serve(netip.AddrPortFrom(at, discardPort), s.discard),
		s.serve(netip.AddrPortFrom(at, chargenPort), chargen),
		s.serve(netip.AddrPortFrom(at, echoPort), echo),
	)
}

func (s *sut) listen(at netip.AddrPort, accept func(net.Listener)) error {
	l, err := s.network.Listen(at)
	if err != nil {
		return fmt.Errorf("listen on %v: %w", at, err)
	}
	go accept(l)
	return nil
}

// serve gives every connection a goroutine.
func (s *sut) serve(at netip.AddrPort, handle func(net.Conn)) error {
	return s.listen(at, func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	})
}

// discard reads everything.
func (s *sut) discard(c net.Conn) {
	if b, ok := c.(mover); ok {
		b.drain(func(n int) { s.received.Add(int64(n)) })
		return
	}
	buf := make([]byte, ioSize)
	for {
		n, err := c.Read(buf)
		s.received.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// chargen writes as long as the peer takes it.
func chargen(c net.Conn) {
	if b, ok := c.(mover); ok {
		b.flood()
		return
	}
	buf := make([]byte, ioSize)
	for {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// echo answers each message. One arrives in one piece unless something is
// wrong, and then the peer's next read notices.
func echo(c net.Conn) {
	buf := make([]byte, pingSize)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// visit exchanges a byte each way and waits for the peer to close.
func visit(c net.Conn) {
	var buf [1]byte
	if _, err := c.Read(buf[:]); err != nil {
		return
	}
	if _, err := c.Write(buf[:]); err != nil {
		return
	}
	_, _ = c.Read(buf[:])
}

// hold keeps what it accepts, without a goroutine or a buffer for each.
func (s *sut) hold(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.heldMu.Lock()
		s.held = append(s.held, c)
		s.heldMu.Unlock()
		s.holding.Add(1)
	}
}

func (s *sut) beforeHolding(n int) (err error) {
	s.heldMu.Lock()
	s.held = make([]net.Conn, 0, n)
	s.heldMu.Unlock()
	s.baseline, err = settledMemory(s.network)
	return err
}

// measureHolding is the memory of n idle connections, each.
func (s *sut) measureHolding(n int) (answer, error) {
	err := until(patience/2, "accepting all connections", func() bool { return s.holding.Load() >= int64(n) })
	if err != nil {
		return answer{}, err
	}
	now, err := settledMemory(s.network)
	s.heldMu.Lock()
	runtime.KeepAlive(s.held)
	s.heldMu.Unlock()
	return answer{Memory: (now - s.baseline) / float64(n)}, err
}

// settledMemory is what the connections live in once the garbage of making
// them is gone: the process's resident memory, and where the kernel's own
// sockets are measured the kernel's for one end of each.
func settledMemory(n network) (float64, error) {
	runtime.GC() // twice: what a finalizer held is free after the second
	runtime.GC()
	debug.FreeOSMemory()
	rss, err := residentBytes()
	if _, ok := n.(kernel); !ok || err != nil {
		return rss, err
	}
	slab, err := slabBytes()
	return rss + slab/2, err // the other half is the peer's
}

// startProfile writes this process's CPU profile until it is stopped.
func startProfile(file string) (*os.File, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return f, pprof.StartCPUProfile(f)
}

// idle is the process's CPU time as a percentage of one core while it does
// nothing.
func idle(o order) (answer, error) {
	<-time.After(o.Warm)
	start, before := time.Now(), processCPU()
	<-time.After(o.Span)
	a := answer{Seconds: time.Since(start).Seconds()}
	a.Count = 100 * (processCPU() - before)
	return a, nil
}

func (s *sut) dialUDP() (net.Conn, error) {
	return s.network.DialUDP(sutAddr(udpPort, false), netip.AddrPortFrom(peer4.Addr(), udpPort))
}

func (s *sut) receiveDatagrams(o order) (answer, error) {
	c, err := s.dialUDP()
	if err != nil {
		return answer{}, err
	}
	var n atomic.Int64
	return during(o, n.Load, func(ctx context.Context) error {
		defer closeWith(ctx, c)()
		buf := make([]byte, 2*datagramSize)
		for {
			if _, err := c.Read(buf); err != nil {
				return err
			}
			n.Add(1)
		}
	})
}

// sendDatagrams floods. A datagram that the network refuses because it is full
// is lost like one that it drops: only what the peer receives counts.
func (s *sut) sendDatagrams(o order) (answer, error) {
	c, err := s.dialUDP()
	if err != nil {
		return answer{}, err
	}
	send := sendSingly(c, o.N)
	if o.N == batch {
		send = sendBatches(c)
	}
	var n atomic.Int64
	return during(o, n.Load, func(ctx context.Context) error {
		defer closeWith(ctx, c)()
		for ctx.Err() == nil {
			if sent, err := send(); err == nil {
				n.Add(int64(sent))
			}
		}
		return ctx.Err()
	})
}

// closeWith closes c when ctx ends, which ends what waits for it, or at the
// latest when the returned function is called.
func closeWith(ctx context.Context, c io.Closer) func() {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return func() {
		if stop() {
			_ = c.Close()
		}
	}
}
