//go:build linux

package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"tapstack/internal/netns"
)

// condition is under what circumstances something is measured.
type condition struct {
	suffix     string // of the workloads' names, empty for the headline
	unpinned   bool   // the scheduler chooses the cores
	congestion string // of the kernel's sockets: net.ipv4.tcp_congestion_control
	own        string // tapstack's; "" is its default
	noSpin     bool   // tapstack's reader sleeps at once
	sockets    string // how tapstack's are used: measures tapstack alone
	through    string // what the peer goes through to the far host
}

// pair is a peer and a system under test, connected, or with the far host that
// the peer reaches through the system under test.
type pair struct {
	peer, sut *process // where there is a relay sut is the far host
	relay     *process
	slirp     *slirp // if that is the relay
	far       netip.Addr
	about     string // of the network
	spaces    []*netns.NS
}

// newPair makes fresh namespaces and processes. Whatever an earlier
// measurement left behind (TIME-WAIT, route metrics, a grown heap) is gone.
func newPair(ctx context.Context, target string, c condition, cores [2]int, verbose bool) (_ *pair, err error) {
	if c.through != "" {
		return newRelayed(ctx, target, c, cores, verbose)
	}
	p := &pair{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	peerNS, err := p.space(c.congestion)
	if err != nil {
		return nil, err
	}
	// A TAP has both ends in one place: the kernel's end is an interface of
	// the namespace it was opened in. A veth pair needs two.
	sutNS := peerNS
	if target == "kernel" {
		if sutNS, err = p.space(c.congestion); err != nil {
			return nil, err
		}
		if err := joinByVeth(peerNS, sutNS); err != nil {
			return nil, err
		}
	}
	if c.unpinned {
		cores = [2]int{-1, -1}
	}
	if p.peer, err = startProcess(peerNS, "peer", cores[0], verbose); err != nil {
		return nil, err
	}
	if p.sut, err = startProcess(sutNS, "sut", cores[1], verbose); err != nil {
		return nil, err
	}
	a, err := p.sut.call(ctx, order{Op: "open", Target: target, NoSpin: c.noSpin, Congestion: c.own, Sockets: c.sockets})
	p.about = a.Text
	return p, err
}

// space makes a namespace with the settings that measurements need.
func (p *pair) space(congestion string) (*netns.NS, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	p.spaces = append(p.spaces, ns)
	return ns, ns.Do(func() error {
		return errors.Join(
			sysctl("ipv4/tcp_congestion_control", congestion),
			// Room for the short connections of conn_rate.
			sysctl("ipv4/ip_local_port_range", "1024 65535"),
		)
	})
}

func (p *pair) close() {
	for _, proc := range []*process{p.peer, p.relay, p.sut} {
		if proc != nil {
			proc.kill()
		}
	}
	if p.slirp != nil {
		p.slirp.kill()
	}
	for _, ns := range p.spaces {
		_ = ns.Close()
	}
}

// loadMargin is how much longer a load lasts than the measurement of it by
// the other process, so that neither has to know when the other begins.
const loadMargin = 300 * time.Millisecond

// both has load produced by one process and measured by the other, which
// receives it.
func (p *pair) both(ctx context.Context, receiver, sender *process, measure, load order) (answer, error) {
	load.Warm, load.Span = measure.Warm, measure.Span+loadMargin
	sent := make(chan error, 1)
	go func() {
		_, err := sender.call(ctx, load)
		sent <- err
	}()
	a, err := receiver.call(ctx, measure)
	// Of two errors the sender's is the cause; the other is then errNothing,
	// which does not make it one.
	if failed := <-sent; failed != nil {
		return a, failed
	}
	return a, err
}
