package node

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// Limits of a ping.
const (
	leastPingInterval = 10 * time.Millisecond
	maxPingSize       = 65507 // what IPv4 leaves of a packet for the payload
	maxPingTimeout    = time.Hour
)

// Ping sends echo requests and tells what becomes of each, until q.Count have
// been answered or given up. It begins with a call of each(nil): there is
// nothing to refuse.
func (n *Node) Ping(ctx context.Context, q *api.PingQuery, each func(*api.PingReply) error) error {
	p, err := n.newPinger(ctx, q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	replies := make(chan echoReply)
	received := make(chan struct{})
	go func() {
		defer close(received)
		p.receive(ctx, replies)
	}()
	defer func() {
		cancel()
		_ = p.conn.Close()
		<-received
	}()
	if err := each(nil); err != nil {
		return err
	}
	return p.run(ctx, replies, each)
}

// pinger is one ping under way. One goroutine runs it; another receives.
type pinger struct {
	q    api.PingQuery
	conn *socketapi.PingConn
	to   netip.Addr

	sent    int
	waiting []echoRequest // oldest first
	done    map[uint16]bool
}

type echoRequest struct {
	seq int
	at  time.Time
}

type echoReply struct {
	seq   uint16
	from  string
	bytes int
	at    time.Time
	err   error
}

func (n *Node) newPinger(ctx context.Context, q *api.PingQuery) (*pinger, error) {
	p := &pinger{q: *q, done: make(map[uint16]bool)}
	var err error
	if p.to, err = n.address(ctx, "to", q.Network, q.To); err != nil {
		return nil, err
	}
	if p.q.Interval == 0 {
		p.q.Interval = time.Second
	}
	if p.q.Timeout == 0 {
		p.q.Timeout = 10 * time.Second
	}
	switch {
	case p.q.Interval < leastPingInterval:
		return nil, api.Errorf(http.StatusBadRequest, "parameter \"interval\": at least %v", leastPingInterval)
	case p.q.Size > maxPingSize:
		return nil, api.Errorf(http.StatusBadRequest, "parameter \"size\": at most %d bytes", maxPingSize)
	case p.q.Timeout > maxPingTimeout:
		return nil, api.Errorf(http.StatusBadRequest, "parameter \"timeout\": at most %v", maxPingTimeout)
	}
	network := "ping4"
	if p.to.Is6() {
		network = "ping6"
	}
	p.conn, err = socketapi.ListenPing(n.s, network, "")
	return p, err
}

// receive passes on what comes, until the socket is closed.
func (p *pinger) receive(ctx context.Context, out chan<- echoReply) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.conn.ReadFrom(buf)
		r := echoReply{bytes: n, at: time.Now(), err: err}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			if n < 8 {
				continue
			}
			r.seq, r.from = binary.BigEndian.Uint16(buf[6:]), from.String()
		}
		select {
		case out <- r:
		case <-ctx.Done():
			return
		}
	}
}

// run sends at its interval, and tells of replies and of their absence.
func (p *pinger) run(ctx context.Context, replies <-chan echoReply, each func(*api.PingReply) error) error {
	next := time.NewTimer(0)
	defer next.Stop()
	expiry := time.NewTimer(0)
	defer expiry.Stop()
	payload := make([]byte, p.q.Size)
	for i := range payload {
		payload[i] = byte(i)
	}
	for p.q.Count == 0 || p.sent < p.q.Count || len(p.waiting) > 0 {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			if p.q.Count == 0 || p.sent < p.q.Count {
				err = p.send(payload, each)
				next.Reset(p.q.Interval)
			}
		case r := <-replies:
			err = p.replied(&r, each)
		case <-expiry.C:
			err = p.expire(each)
		}
		if err != nil {
			return err
		}
		if len(p.waiting) > 0 {
			expiry.Reset(time.Until(p.waiting[0].at.Add(p.q.Timeout)))
		}
	}
	return nil
}

func (p *pinger) send(payload []byte, each func(*api.PingReply) error) error {
	p.sent++
	seq := uint16(p.sent)
	delete(p.done, seq-1<<15) // far enough back to come round again
	at := time.Now()
	addr := &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}
	if _, err := p.conn.WriteTo(socketapi.Echo(p.to.Is6(), seq, payload), addr); err != nil {
		return each(&api.PingReply{Sequence: p.sent, Error: errText(err)})
	}
	p.waiting = append(p.waiting, echoRequest{p.sent, at})
	return nil
}

func (p *pinger) replied(r *echoReply, each func(*api.PingReply) error) error {
	if r.err != nil {
		return each(&api.PingReply{Error: errText(r.err)})
	}
	for i, w := range p.waiting {
		if uint16(w.seq) != r.seq {
			continue
		}
		p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
		p.done[r.seq] = true
		return each(&api.PingReply{Sequence: w.seq, From: r.from, Bytes: r.bytes, Millis: millis(r.at.Sub(w.at))})
	}
	if p.done[r.seq] {
		return each(&api.PingReply{Sequence: int(r.seq), From: r.from, Bytes: r.bytes, Duplicate: true})
	}
	return nil // too late, or not ours
}

func (p *pinger) expire(each func(*api.PingReply) error) error {
	for len(p.waiting) > 0 && time.Since(p.waiting[0].at) >= p.q.Timeout {
		seq := p.waiting[0].seq
		p.waiting = p.waiting[1:]
		if err := each(&api.PingReply{Sequence: seq, Error: "timeout"}); err != nil {
			return err
		}
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// errText is what went wrong, without the addresses that the reader knows.
func errText(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
