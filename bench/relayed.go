//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Workloads that go through a relay have three processes. What is measured is
// the one in the middle, which has a core of its own; the two ends share the
// other.
//
//	peer -- 127.0.0.1 -- relay -- tapstack or plain -- TAP -- far host, in the same namespace
//	peer -- 127.0.0.1 -- relay -- veth pair -- far host
//	peer -- 127.0.0.1 -- slirp4netns -- TAP -- far host

// slirpFar is the far host's address behind slirp4netns, which gives it to the
// TAP that it makes, as the hundredth of slirpNet.
var slirpNet, slirpFar = netip.MustParsePrefix("192.168.78.0/24"), netip.MustParseAddr("192.168.78.100")

func newRelayed(ctx context.Context, target string, c condition, cores [2]int, verbose bool) (_ *pair, err error) {
	p := &pair{far: peer4.Addr()}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	peerNS, err := p.space(c.congestion)
	if err != nil {
		return nil, err
	}
	farNS := peerNS
	if target == "kernel" || target == slirpName {
		if farNS, err = p.space(c.congestion); err != nil {
			return nil, err
		}
	}
	if p.peer, err = startProcess(peerNS, "peer", cores[0], verbose); err != nil {
		return nil, err
	}
	if p.sut, err = startProcess(farNS, "sut", cores[0], verbose); err != nil {
		return nil, err
	}
	if target == slirpName {
		p.far = slirpFar
		if p.slirp, err = startSlirp(ctx, peerNS, p.sut, cores[1]); err != nil {
			return nil, err
		}
		p.about = p.slirp.about
	} else {
		if target == "kernel" {
			p.far = sut4.Addr()
			if err := joinByVeth(peerNS, farNS); err != nil {
				return nil, err
			}
		}
		if p.relay, err = startProcess(peerNS, "relay", cores[1], verbose); err != nil {
			return nil, err
		}
		// Its description is that of the workloads without a relay.
		if _, err := p.relay.call(ctx, order{Op: "open", Target: target, NoSpin: c.noSpin, Congestion: c.own}); err != nil {
			return nil, err
		}
	}
	_, err = p.sut.call(ctx, order{Op: "open far", To: p.far.String()})
	return p, err
}

// entrance has the relay lead to a port of the far host, and is the order to a
// peer that has to go there.
func (p *pair) entrance(ctx context.Context, through string, port int) (o order, err error) {
	o = order{Through: through, To: net.JoinHostPort(p.far.String(), strconv.Itoa(port)), N: 1}
	if p.slirp != nil {
		o.Via, err = p.slirp.forward(ctx, port)
		return o, err
	}
	a, err := p.relay.call(ctx, order{Op: "relay", Through: through, To: o.To})
	o.Via = a.Text
	return o, err
}

// measured is the process that is under test and obeys orders.
func (p *pair) measured() (*process, error) {
	switch {
	case p.slirp != nil:
		return nil, errors.New("slirp4netns has no profile")
	case p.relay != nil:
		return p.relay, nil
	}
	return p.sut, nil
}

// relayIn measures what comes from the far host to the peer.
func relayIn(ctx context.Context, p *pair, cfg config, through string) ([]float64, error) {
	o, err := p.entrance(ctx, through, chargenPort)
	if err != nil {
		return nil, err
	}
	o.Op, o.Warm, o.Span = "receive", cfg.warm, cfg.span
	return bulkNumbers(p.peer.call(ctx, o))
}

// relayOut measures what the far host gets from the peer.
func relayOut(ctx context.Context, p *pair, cfg config, through string) ([]float64, error) {
	o, err := p.entrance(ctx, through, discardPort)
	if err != nil {
		return nil, err
	}
	o.Op = "send"
	measure := order{Op: "receive", Warm: cfg.warm, Span: cfg.span}
	return bulkNumbers(p.both(ctx, p.sut, p.peer, measure, o))
}

// relayRoundTrip is 64 bytes to an echo on the far host and back.
func relayRoundTrip(ctx context.Context, p *pair, cfg config, through string) ([]float64, error) {
	o, err := p.entrance(ctx, through, echoPort)
	if err != nil {
		return nil, err
	}
	o.Op, o.Warm, o.Span = "ping", cfg.warm, cfg.span
	a, err := p.peer.call(ctx, o)
	return []float64{a.P50}, err
}

// relayMemory is what the relay's process takes, in MB, with connections that
// were used and are held.
func relayMemory(ctx context.Context, p *pair, cfg config, through string) ([]float64, error) {
	o, err := p.entrance(ctx, through, echoPort)
	if err != nil {
		return nil, err
	}
	o.Op, o.N, o.Span = "connect", cfg.conns, 15*time.Second
	if _, err := p.peer.call(ctx, o); err != nil {
		return nil, err
	}
	if p.relay == nil {
		return nil, fmt.Errorf("%s is not measured by its memory", slirpName)
	}
	rss, err := residentBytesOf(strconv.Itoa(p.relay.cmd.Process.Pid))
	if err != nil {
		return nil, fmt.Errorf("memory of the relay: %w", err)
	}
	return []float64{rss / 1e6}, nil
}
