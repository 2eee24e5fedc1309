package socketapi_test

import (
	"context"
	"net"
	"time"
)

// dialled says how a dial from a ended, and closes what it gave.
func (p *probe) dialled(ctx context.Context, d net.Dialer, network, address string) string {
	c, err := p.a.Dial(ctx, d, network, address)
	if err == nil {
		defer c.Close()
	}
	return verdict(err)
}

var dialRows = []row{
	{name: "dial: refused, unreachable, no route", run: func(p *probe) {
		var calls []*call
		for _, to := range []string{ // together: who looks for a neighbour takes seconds
			"192.0.2.2:9", "[2001:db8::2]:9", "192.0.2.77:9", "[2001:db8::77]:9",
			"198.51.100.1:9", "[2001:db8:1::1]:9", "192.0.2.2:0",
		} {
			calls = append(calls, p.start(func() string { return to + ": " + p.dialled(within(p), net.Dialer{}, "tcp", to) }))
		}
		for _, c := range calls {
			p.see("tcp %s", c.wait())
		}
		for _, to := range []string{"192.0.2.2:9", "198.51.100.1:9", "[2001:db8:1::1]:9", "192.0.2.2:0"} {
			p.see("udp %s: %s", to, p.dialled(within(p), net.Dialer{}, "udp", to))
		}
	}},
	{name: "dial: groups and broadcast", run: func(p *probe) {
		for _, to := range []string{"239.1.2.3:9", "255.255.255.255:9", "192.0.2.255:9", "[ff05::1]:9"} {
			p.see("tcp %s: %s", to, p.dialled(within(p), net.Dialer{}, "tcp", to))
		}
	}},
	{name: "dial: addresses that cannot be read", run: func(p *probe) {
		for _, to := range []string{
			"192.0.2.2", "192.0.2.2:", "192.0.2.2:65536", "192.0.2.2:-1", "[2001:db8::2]", "2001:db8::2:80",
			"[192.0.2.2:80", "192.0.2.2:80:80", "192.0.2.2:99999999999",
		} {
			p.see("%q: %s", to, p.dialled(within(p), net.Dialer{}, "tcp", to))
		}
	}},
	{name: "dial: networks", run: func(p *probe) {
		for _, w := range []struct{ network, to string }{
			{"sctp", "192.0.2.2:9"}, {"", "192.0.2.2:9"}, {"TCP", "192.0.2.2:9"}, {"tcp5", "192.0.2.2:9"},
			{"tcp6", "192.0.2.2:9"}, {"tcp4", "[2001:db8::2]:9"}, {"udp6", "192.0.2.2:9"}, {"udp4", "[2001:db8::2]:9"},
			{"tcp4", "[::ffff:192.0.2.2]:9"}, {"tcp6", "[::ffff:192.0.2.2]:9"}, {"tcp", "[::ffff:192.0.2.2]:9"},
		} {
			p.see("%q %s: %s", w.network, w.to, p.dialled(within(p), net.Dialer{}, w.network, w.to))
		}
	}},
	{name: "dial: context over before", run: func(p *probe) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.see("tcp: %s", p.dialled(ctx, net.Dialer{}, "tcp", "192.0.2.2:9"))
		p.see("udp: %s", p.dialled(ctx, net.Dialer{}, "udp", "192.0.2.2:9"))
		past, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
		defer cancel()
		p.see("tcp: %s", p.dialled(past, net.Dialer{}, "tcp", "192.0.2.2:9"))
		p.see("udp: %s", p.dialled(past, net.Dialer{}, "udp", "192.0.2.2:9"))
		p.see("tcp: %s", p.dialled(context.Background(), net.Dialer{Deadline: time.Unix(1, 0)}, "tcp", "192.0.2.2:9"))
		p.see("tcp: %s", p.dialled(context.Background(), net.Dialer{Timeout: -1}, "tcp", "192.0.2.2:9"))
		p.see("tcp: %s", p.dialled(context.Background(), net.Dialer{Timeout: 1}, "tcp", "192.0.2.77:9"))
	}},
	{name: "dial: the connection outlives its context", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		c, err := p.a.Dial(ctx, net.Dialer{}, "tcp", l.Addr().String())
		p.must(err)
		defer c.Close()
		cancel()
		s := p.accept(l)
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
	}},
}

var dialAddressRows = []row{
	{name: "dial from an address", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		for _, local := range []net.Addr{
			&net.TCPAddr{IP: a4.Addr().AsSlice()},
			&net.TCPAddr{IP: a4.Addr().AsSlice(), Port: 1130},
			&net.TCPAddr{Port: 1131},
			&net.TCPAddr{IP: net.IPv4zero, Port: 1132},
		} {
			c, err := p.a.Dial(within(p), net.Dialer{LocalAddr: local}, "tcp", l.Addr().String())
			p.must(err)
			p.see("%s", addrsOf(c))
			p.must(c.Close())
		}
	}},
	{name: "dial from an address that is not ours", run: func(p *probe) {
		p.see("tcp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 77)}}, "tcp", "192.0.2.2:9"))
		p.see("udp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 77)}}, "udp", "192.0.2.2:9"))
	}},
	{name: "dial from a port that is taken", run: func(p *probe) {
		l, err := p.a.Listen("tcp", "192.0.2.1:1133")
		p.must(err)
		defer l.Close()
		p.see("tcp: %s", p.dialled(within(p), net.Dialer{LocalAddr: l.Addr()}, "tcp", "192.0.2.2:9"))
		u := p.packet(p.a, "udp", "192.0.2.1:1133")
		p.see("udp: %s", p.dialled(within(p), net.Dialer{LocalAddr: u.LocalAddr()}, "udp", "192.0.2.2:9"))
	}},
	{name: "dial from the other family", run: func(p *probe) {
		p.see("tcp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.TCPAddr{IP: a6.Addr().AsSlice()}}, "tcp", "192.0.2.2:9"))
		p.see("tcp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.TCPAddr{IP: a4.Addr().AsSlice()}}, "tcp", "[2001:db8::2]:9"))
		p.see("udp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.UDPAddr{IP: a6.Addr().AsSlice()}}, "udp", "192.0.2.2:9"))
	}},
	{name: "dial from an address of another type", run: func(p *probe) {
		p.see("tcp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.UDPAddr{IP: a4.Addr().AsSlice()}}, "tcp", "192.0.2.2:9"))
		p.see("udp: %s", p.dialled(within(p), net.Dialer{LocalAddr: &net.TCPAddr{IP: a4.Addr().AsSlice()}}, "udp", "192.0.2.2:9"))
	}},
}
