package proxy

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// UDPForward is a UDP port of one network that leads to an address of another.
type UDPForward struct {
	Options

	// Target is where datagrams go, in Options.Dial's network.
	Target string
}

// ForwardUDP starts a forward. Each client, an address and a port, has a flow: a
// socket of its own towards the target, so that answers find back. A flow ends
// when it was idle for Limits.FlowIdle, when it was idle longest and another
// needs its place, or when the target's host says that nobody listens
// (ECONNREFUSED); the next datagram makes a new one. That refusal cannot be
// told the client: no socket sends ICMP errors.
//
//	client -> socket -> flow.send -> target       one goroutine for all
//	client <- socket <- flow.run  <- target       a goroutine per flow
//
// At a wildcard address of a host with several, answers leave from the address
// that the routes choose, which need not be the one that the client sent to:
// name the address then.
//
// Errors: those of Options.Listen, with the service's name.
func ForwardUDP(cfg UDPForward) (*Service, error) {
	s := newService("forward-udp", cfg.Target, &cfg.Options)
	sock, err := s.opt.Listen.packets(s.fresh, s.opt.Address)
	if err != nil {
		return nil, s.failure(err)
	}
	s.addr, s.closer = sock.LocalAddr(), sock
	f := &udpForward{Service: s, sock: sock, to: cfg.Target, flows: newRecent[netip.AddrPort, *flow](s.opt.Limits.Flows)}
	s.flows = f.sockets
	s.work.Go(f.run)
	return s, nil
}

type udpForward struct {
	*Service
	sock packetConn
	to   string

	mu    sync.Mutex // guards flows
	flows *recent[netip.AddrPort, *flow]
}

// run takes datagrams of clients until the service ends, and then all flows.
func (f *udpForward) run() {
	defer f.endAll()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := f.sock.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			f.flow(from).send(buf[:n])
		case f.fresh.Err() != nil:
			return
		case !again(err):
			f.log.say(slog.LevelError, CauseFailed, "forward receives no more", slog.Any("err", err))
			return
		}
	}
}

// flow finds or makes the flow of a client.
func (f *udpForward) flow(from netip.AddrPort) *flow {
	f.mu.Lock()
	if w, ok := f.flows.get(from); ok {
		f.mu.Unlock()
		return w
	}
	w := &flow{f: f, client: from}
	old, full := f.flows.put(from, w)
	f.mu.Unlock()
	if full {
		old.end(refuse(CauseEvicted, errEvicted))
	}
	f.counts.open(1 << 30) // the table is the limit
	f.work.Go(w.run)
	return w
}

var errEvicted = errors.New("made room for another")

// sockets calls do for the socket of every flow that has one.
func (f *udpForward) sockets(do func(Socket)) {
	var all []*flow
	f.mu.Lock()
	f.flows.each(func(w *flow) { all = append(all, w) })
	f.mu.Unlock()
	for _, w := range all {
		w.mu.Lock()
		conn := w.conn
		w.mu.Unlock()
		if conn != nil {
			do(conn)
		}
	}
}

// endAll ends every flow. No new ones are made any more.
func (f *udpForward) endAll() {
	f.mu.Lock()
	var all []*flow
	f.flows.each(func(w *flow) { all = append(all, w) })
	f.mu.Unlock()
	for _, w := range all {
		w.end(refuse(CauseShutdown, errShutdown))
	}
}

// flow is what one client sends and is sent.
type flow struct {
	f      *udpForward
	client netip.AddrPort
	last   atomic.Int64 // when a datagram went either way, in nanoseconds since began

	mu      sync.Mutex // guards what follows
	conn    net.Conn   // nil until the target is dialled
	pending [][]byte   // until then
	why     error      // not nil: over
}

// maxPending is how many datagrams wait for a dial, which takes long only for a
// name.
const maxPending = 16

// send sends a datagram to the target. p is the caller's again afterwards.
func (w *flow) send(p []byte) {
	w.touch()
	w.mu.Lock()
	conn := w.conn
	if conn == nil && w.why == nil && len(w.pending) < maxPending {
		w.pending = append(w.pending, append([]byte(nil), p...))
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	w.write(conn, p)
}

// write writes a datagram to conn, nil if there is none.
func (w *flow) write(conn net.Conn, p []byte) {
	if conn == nil {
		w.f.counts.dropped.Add(1)
		return
	}
	if _, err := conn.Write(p); err != nil {
		// A refusal is about a datagram before this one.
		w.f.counts.dropped.Add(1)
		if dialCause(err) == CauseRefused {
			w.end(refuse(CauseRefused, err))
		}
		return
	}
	w.f.counts.datagramsIn.Add(1)
	w.f.counts.in.Add(uint64(len(p)))
}

func (w *flow) touch() { w.last.Store(int64(time.Since(began))) }

// run dials and then takes the target's answers, until the flow ends.
func (w *flow) run() {
	relayed := w.open()
	if relayed {
		w.answers()
	}
	f := w.f
	f.mu.Lock()
	if now, ok := f.flows.get(w.client); ok && now == w {
		f.flows.remove(w.client)
	}
	f.mu.Unlock()
	w.mu.Lock()
	why, conn := w.why, w.conn
	f.counts.dropped.Add(uint64(len(w.pending)))
	w.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
	cause := causeOf(why)
	f.counts.over(relayed && cause != CauseRefused, cause)
	if !relayed || cause == CauseRefused {
		f.log.say(slog.LevelInfo, cause, "no flow to the target", slog.Any("client", w.client), slog.Any("err", why))
	}
}

// open dials the target and sends it what came in the meantime.
func (w *flow) open() bool {
	conn, err := w.f.dial(w.f.fresh, "udp", w.f.to)
	if err != nil {
		w.end(err)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = conn
	if w.why != nil {
		return false
	}
	for _, p := range w.pending {
		_, err := conn.Write(p)
		if err != nil {
			w.f.counts.dropped.Add(1)
			continue
		}
		w.f.counts.datagramsIn.Add(1)
		w.f.counts.in.Add(uint64(len(p)))
	}
	w.pending = nil
	return true
}

// answers passes on what the target sends, until the flow ends.
func (w *flow) answers() {
	buf := datagramBuffers.Get().(*[maxDatagram]byte)
	defer datagramBuffers.Put(buf)
	idle := w.f.opt.Limits.FlowIdle
	for left := idle; ; {
		if idle > 0 {
			_ = w.conn.SetReadDeadline(time.Now().Add(left))
		}
		n, err := w.conn.Read(buf[:])
		switch {
		case err == nil:
			w.answer(buf[:n])
			left = idle
		case errors.Is(err, os.ErrDeadlineExceeded):
			left = idle - (time.Since(began) - time.Duration(w.last.Load()))
			if left <= 0 {
				w.end(refuse(CauseIdle, errIdle))
				return
			}
		case again(err) && dialCause(err) != CauseRefused:
			// An ICMP error that may pass.
		default:
			w.end(refuse(dialCause(err), err))
			return
		}
	}
}

func (w *flow) answer(p []byte) {
	w.touch()
	if _, err := w.f.sock.WriteToUDPAddrPort(p, w.client); err != nil {
		w.f.counts.dropped.Add(1)
		return
	}
	w.f.counts.datagramsOut.Add(1)
	w.f.counts.out.Add(uint64(len(p)))
}

// end ends the flow; the first reason counts.
func (w *flow) end(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why != nil {
		return
	}
	w.why = why
	if w.conn != nil {
		_ = w.conn.Close() // ends answers
	}
}
