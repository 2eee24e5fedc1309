package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxDatagram is the longest payload of UDP, with some to spare.
const maxDatagram = 64 << 10

var datagramBuffers = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// association is one UDP ASSOCIATE: a socket that the client sends to, and one
// that the targets know the client by. It lasts as long as the TCP connection
// that asked for it (RFC 1928, section 7).
//
//	client -> near -> parseDatagram -> [resolve] -> far -> target   goroutine of outward
//	client <- near <- header + payload           <- far <- target   goroutine of inward
//	TCP connection: read until its end                             the session's own goroutine
//
// Targets may answer if they were sent something: the last associationPeers of
// them (address-dependent filtering, RFC 4787).
type association struct {
	c         *session
	near, far packetConn
	from      netip.Addr // the client's: all others are dropped
	cancel    context.CancelFunc
	lookups   sync.WaitGroup

	mu     sync.Mutex     // guards what follows
	client netip.AddrPort // as near has it; invalid until the first datagram, if the request did not say
	port   uint16         // of the client, 0 until known
	peers  *recent[netip.Addr, struct{}]
	names  *recent[string, *lookup]
	asking int
}

// lookup is a name that a client sends to. addr is invalid while it is looked
// up; it is forgotten if that fails.
type lookup struct {
	addr  netip.Addr
	until time.Duration // since began; then it is asked again
}

// Implementation constants.
const (
	associationPeers = 1024
	maxLookups       = 16               // at a time
	lookupLife       = 30 * time.Second // how long an answer is used
)

// associate serves a UDP ASSOCIATE.
func (p *socks) associate(c *session, dst destination) error {
	if n := p.counts.associations.Add(1); n > int64(p.opt.Limits.Flows) {
		p.counts.associations.Add(-1)
		return p.deny(c, replyFailure, refuse(CauseLimit, errors.New("too many UDP associations")))
	}
	defer p.counts.associations.Add(-1)
	a := &association{
		c:     c,
		from:  addrPort(c.from).Addr(),
		port:  dst.port,
		peers: newRecent[netip.Addr, struct{}](associationPeers),
		names: newRecent[string, *lookup](associationPeers),
	}
	if err := a.open(p); err != nil {
		err = refuse(dialCause(err), err)
		return p.deny(c, replyFor(err), err)
	}
	defer a.near.Close()
	defer a.far.Close()
	if _, err := c.client.Write(appendReply(nil, replySucceeded, addrPort(a.near.LocalAddr()))); err != nil {
		return refuse(CauseGone, err)
	}
	return a.run()
}

// open opens both sockets: one at the address that the client has reached us
// at, one anywhere.
func (a *association) open(p *socks) error {
	local := addrPort(a.c.client.LocalAddr()).Addr()
	near, err := p.opt.Listen.counted(p.fresh, netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return err
	}
	far, err := p.opt.Dial.counted(p.fresh, ":0")
	if err != nil {
		_ = near.Close()
		return err
	}
	a.near, a.far = near, far
	return nil
}

// run passes datagrams until the TCP connection ends, nothing moves for too
// long, or the service is shut down: there is nothing to drain in datagrams.
func (a *association) run() error {
	c := a.c
	c.svc.mu.Lock()
	c.relaying, c.far = true, a.far
	c.svc.mu.Unlock()
	ctx, cancel := context.WithCancel(c.svc.fresh)
	a.cancel = cancel
	c.watch()
	stop := context.AfterFunc(ctx, func() { _ = c.client.SetReadDeadline(time.Unix(1, 0)) })
	var both sync.WaitGroup
	both.Go(func() { a.outward(ctx) })
	both.Go(a.inward)

	buf := make([]byte, 16)
	var err error
	for err == nil {
		_, err = c.client.Read(buf) // it has nothing to say
	}
	stop()
	cancel()
	_ = a.near.Close()
	_ = a.far.Close()
	both.Wait()
	a.lookups.Wait()
	c.rest()
	switch {
	case errors.Is(err, io.EOF):
		_ = c.client.Close()
		return nil
	case c.svc.fresh.Err() != nil:
		return refuse(CauseShutdown, errShutdown)
	}
	return refuse(CauseReset, err)
}

// outward passes on what the client sends.
func (a *association) outward(ctx context.Context) {
	buf := datagramBuffers.Get().(*[maxDatagram]byte)
	defer datagramBuffers.Put(buf)
	for {
		n, from, err := a.near.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			if again(err) {
				continue
			}
			a.cancel()
			return
		}
		dst, payload, err := parseDatagram(buf[:n])
		if err != nil || !a.isClient(from) {
			a.drop()
			continue
		}
		if !dst.addr.IsValid() {
			a.byName(ctx, dst, payload)
			continue
		}
		a.send(netip.AddrPortFrom(dst.addr, dst.port), payload)
	}
}

// isClient tells the client's datagrams from those of others. Its port is the
// one that it asked for or sent from first.
func (a *association) isClient(from netip.AddrPort) bool {
	if from.Addr().Unmap().WithZone("") != a.from.WithZone("") {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.port == 0 {
		a.port = from.Port()
	}
	if from.Port() != a.port {
		return false
	}
	a.client = from
	return true
}

// send sends a datagram to a target.
func (a *association) send(to netip.AddrPort, payload []byte) {
	a.mu.Lock()
	if _, known := a.peers.get(to.Addr()); !known {
		a.peers.put(to.Addr(), struct{}{})
	}
	a.mu.Unlock()
	if _, err := a.far.WriteToUDPAddrPort(payload, to); err != nil {
		a.drop()
		return
	}
	a.c.touch()
	a.c.svc.counts.datagramsIn.Add(1)
	a.c.svc.counts.in.Add(uint64(len(payload)))
}

func (a *association) drop() { a.c.svc.counts.dropped.Add(1) }

// byName sends a datagram to a name. The first one waits for the answer, on a
// goroutine of its own; others until then are dropped.
func (a *association) byName(ctx context.Context, dst destination, payload []byte) {
	now := time.Since(began)
	a.mu.Lock()
	known, ok := a.names.get(dst.name)
	ask := !ok || known.addr.IsValid() && now > known.until
	var to netip.Addr
	switch {
	case !ask:
		to = known.addr
	case a.asking < maxLookups && a.c.svc.opt.Dial.LookupNetIP != nil:
		a.asking++
		a.names.put(dst.name, &lookup{})
	default:
		ask = false
	}
	a.mu.Unlock()
	switch {
	case to.IsValid():
		a.send(netip.AddrPortFrom(to, dst.port), payload)
	case ask:
		payload = append([]byte(nil), payload...)
		a.lookups.Go(func() {
			if to := a.resolve(ctx, dst.name); to.IsValid() {
				a.send(netip.AddrPortFrom(to, dst.port), payload)
			} else {
				a.drop()
			}
		})
	default:
		a.drop()
	}
}

// resolve looks a name up and remembers it.
func (a *association) resolve(ctx context.Context, name string) (to netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, a.c.svc.opt.Limits.Dial)
	defer cancel()
	if literal, err := netip.ParseAddr(name); err == nil {
		to = literal.Unmap()
	} else if addrs, err := a.c.svc.opt.Dial.LookupNetIP(ctx, "ip", name); err == nil && len(addrs) > 0 {
		to = addrs[0].Unmap()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asking--
	if to.IsValid() {
		a.names.put(name, &lookup{to, time.Since(began) + lookupLife})
	} else {
		a.names.remove(name)
	}
	return to
}

// inward passes on what targets answer.
func (a *association) inward() {
	buf := datagramBuffers.Get().(*[maxDatagram]byte)
	defer datagramBuffers.Put(buf)
	counts := &a.c.svc.counts
	for {
		n, from, err := a.far.ReadFromUDPAddrPort(buf[maxDatagramHeader:])
		if err != nil {
			if again(err) {
				continue
			}
			a.cancel()
			return
		}
		from = unmap(from)
		a.mu.Lock()
		_, known := a.peers.get(from.Addr())
		client := a.client
		a.mu.Unlock()
		if !known {
			a.drop()
			continue
		}
		// The header ends where the payload begins.
		var head [maxDatagramHeader]byte
		h := appendDatagramHeader(head[:0], from)
		at := maxDatagramHeader - len(h)
		copy(buf[at:], h)
		if _, err := a.near.WriteToUDPAddrPort(buf[at:maxDatagramHeader+n], client); err != nil {
			a.drop()
			continue
		}
		a.c.touch()
		counts.datagramsOut.Add(1)
		counts.out.Add(uint64(n))
	}
}

// again says that an error of a UDP socket is about a datagram, not the socket:
// an ICMP error, or one that was too long.
func again(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	switch dialCause(err) {
	case CauseRefused, CauseUnreachable:
		return true
	default:
		return false
	}
}
