package socketapi_test

import (
	"fmt"
	"net"
	"strings"

	"tapstack/socketapi"
)

// opened is a listener or a UDP socket in a matrix.
type opened interface{ Close() error }

// open listens at b; the network says for what.
func (p *probe) open(network, address string) (opened, string) {
	if network[:3] == "udp" {
		u, err := p.b.ListenPacket(network, address)
		if err != nil {
			return nil, verdict(err)
		}
		return u, u.LocalAddr().String()
	}
	l, err := p.b.Listen(network, address)
	if err != nil {
		return nil, verdict(err)
	}
	return l, l.Addr().String()
}

// matrix opens each pair of ways one after the other at one port, and the other
// way round.
func (p *probe) matrix(base, port string) {
	ways := []struct{ network, host string }{
		{base, ""}, {base + "4", ""}, {base + "6", ""},
		{base, "0.0.0.0"}, {base, "[::]"}, {base, "192.0.2.2"}, {base, "[2001:db8::2]"},
		{base + "6", "[2001:db8::2]"}, {base + "4", "192.0.2.2"},
	}
	for _, first := range ways {
		for _, second := range ways {
			one, text := p.open(first.network, first.host+port)
			if one == nil {
				p.Fatalf("%s %s: %s", first.network, first.host, text)
			}
			two, text := p.open(second.network, second.host+port)
			if two == nil {
				// Without the address: package net has several ways to write any.
				text = text[strings.LastIndex(text, " ")+1:]
			}
			p.see("%s %s then %s %s: %s", first.network, first.host, second.network, second.host, text)
			p.must(one.Close())
			if two != nil {
				p.must(two.Close())
			}
		}
	}
}

// timeWait leaves a connection in TIME-WAIT at b's port.
func (p *probe) timeWait(l tcpListener) {
	c := p.dial("tcp", l.Addr().String())
	s := p.accept(l)
	p.must(s.CloseWrite())
	p.see("FIN: %s", rw(c.Read(make([]byte, 1))))
	p.must(c.Close())
	p.see("FIN: %s", rw(s.Read(make([]byte, 1))))
	p.must(s.Close())
}

var reuseRows = []row{
	{name: "reuse matrix, TCP", run: func(p *probe) { p.matrix("tcp", ":81") }},
	{name: "reuse matrix, UDP", run: func(p *probe) { p.matrix("udp", ":82") }},
	{name: "TCP and UDP do not share ports", run: func(p *probe) {
		l := p.listen("tcp", ":83")
		u := p.packet(p.b, "udp", ":83")
		p.see("%v %v", l.Addr(), u.LocalAddr())
	}},
	{name: "listen after close", run: func(p *probe) {
		for range 3 {
			l := p.listen("tcp", "192.0.2.2:84")
			p.must(l.Close())
			u := p.packet(p.b, "udp", "192.0.2.2:84")
			p.must(u.Close())
		}
		p.see("free")
	}},
	{name: "listen again with connections open", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:85")
		c := p.dial("tcp", l.Addr().String())
		s := p.accept(l)
		p.must(l.Close())
		l, err := p.b.Listen("tcp", "192.0.2.2:85")
		p.see("listen: %v", err)
		if err == nil {
			defer l.Close()
			p.dial("tcp", "192.0.2.2:85")
			p.accept(l)
		}
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
	}},
	{name: "listen again with TIME-WAIT", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:86")
		p.timeWait(l)
		p.must(l.Close())
		_, text := p.open("tcp", "192.0.2.2:86")
		p.see("specific: %s", text)
	}},
	{name: "listen on the wildcard with TIME-WAIT", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:87")
		p.timeWait(l)
		p.must(l.Close())
		_, text := p.open("tcp", ":87")
		p.see("wildcard: %s", text)
	}},
	{name: "dial from a port in TIME-WAIT", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:88")
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: a4.Addr().AsSlice(), Port: 1088}}
		for range 2 {
			c, err := p.a.Dial(within(p), from, "tcp", l.Addr().String())
			p.see("dial: %v", err)
			if err != nil {
				return
			}
			s := p.accept(l)
			p.must(c.(tcpConn).CloseWrite())
			p.see("FIN: %s", rw(s.Read(make([]byte, 1))))
			p.must(s.Close())
			p.see("FIN: %s", rw(c.Read(make([]byte, 1))))
			p.must(c.Close())
		}
	}},
	{name: "dial twice from one port", run: func(p *probe) {
		l, other := p.listen("tcp", "192.0.2.2:89"), p.listen("tcp", "192.0.2.2:90")
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: a4.Addr().AsSlice(), Port: 1089}}
		c, err := p.a.Dial(within(p), from, "tcp", l.Addr().String())
		p.must(err)
		defer c.Close()
		_, err = p.a.Dial(within(p), from, "tcp", l.Addr().String())
		p.see("same peer: %v", err)
		d, err := p.a.Dial(within(p), from, "tcp", other.Addr().String())
		p.see("other peer: %v", err)
		if err == nil {
			p.must(d.Close())
		}
	}},
	{name: "UDP sockets connected from one port", run: func(p *probe) {
		u := p.packet(p.a, "udp", "192.0.2.1:1091")
		_, err := p.a.Dial(within(p), net.Dialer{LocalAddr: u.LocalAddr()}, "udp", "192.0.2.2:91")
		p.see("dial: %v", err)
	}},
}

var addressRows = []row{
	{name: "port 0", run: func(p *probe) {
		for _, network := range []string{"tcp", "udp"} {
			for _, address := range []string{":0", "192.0.2.2:0", "[2001:db8::2]:0", "0.0.0.0:0", "[::]:0", ":"} {
				c, text := p.open(network, address)
				host, port, err := net.SplitHostPort(text)
				p.see("%s %s: %s, a port: %v, %v", network, address, host, port != "0", err)
				p.must(c.Close())
			}
		}
	}},
	{name: "listeners' addresses", run: func(p *probe) {
		for i, w := range []struct{ network, address string }{
			{"tcp", ":%d"}, {"tcp4", ":%d"}, {"tcp6", ":%d"}, {"tcp", "0.0.0.0:%d"}, {"tcp", "[::]:%d"},
			{"tcp4", "0.0.0.0:%d"}, {"tcp6", "[::]:%d"}, {"tcp", "192.0.2.2:%d"}, {"tcp", "[2001:db8::2]:%d"},
			{"tcp", "[::ffff:192.0.2.2]:%d"}, {"tcp", "[::ffff:0.0.0.0]:%d"},
			{"udp", ":%d"}, {"udp4", ":%d"}, {"udp6", ":%d"}, {"udp", "0.0.0.0:%d"}, {"udp", "192.0.2.2:%d"},
			{"udp", "[2001:db8::2]:%d"}, {"udp", "[::ffff:192.0.2.2]:%d"},
		} {
			c, text := p.open(w.network, fmt.Sprintf(w.address, 100+i))
			p.see("%s %s: %s", w.network, w.address, text)
			if c != nil {
				p.must(c.Close())
			}
		}
	}},
	{name: "dual-stack listener", run: func(p *probe) {
		l := p.listen("tcp", ":120")
		for _, to := range []string{"192.0.2.2:120", "[2001:db8::2]:120", "[::ffff:192.0.2.2]:120"} {
			c := p.dial("tcp", to)
			s := p.accept(l)
			p.see("%s, %s", addrsOf(c), addrsOf(s))
		}
	}},
	{name: "single-stack listeners", run: func(p *probe) {
		p.listen("tcp4", ":121")
		p.listen("tcp6", ":122")
		for _, to := range []string{"192.0.2.2:121", "[2001:db8::2]:121", "192.0.2.2:122", "[2001:db8::2]:122"} {
			c, err := p.a.Dial(within(p), net.Dialer{}, "tcp", to)
			p.see("%s: %v", to, err)
			if err == nil {
				p.must(c.Close())
			}
		}
	}},
	{name: "dual-stack UDP socket", run: func(p *probe) {
		u := p.packet(p.b, "udp", ":123")
		for _, n := range []string{"192.0.2.", "[2001:db8::"} {
			end := map[bool]string{true: "]:123", false: ":123"}[n[0] == '[']
			c := p.dial("udp", n+"2"+end)
			_, err := c.Write([]byte("x"))
			p.must(err)
			_, from, err := u.ReadFrom(make([]byte, 1))
			p.see("%v %v", from, err)
			_, err = u.WriteTo([]byte("y"), from)
			p.must(err)
			p.see("%s", rw(c.Read(make([]byte, 1))))
			_, err = u.WriteToUDPAddrPort([]byte("z"), addrPortOf(from))
			p.must(err)
			p.see("%s", rw(c.Read(make([]byte, 1))))
		}
	}},
	{
		name:    "netip.AddrPort of a sender over IPv4 at a dual-stack socket",
		differs: "package net hands out the IPv4 address mapped into IPv6; ours is IPv4, equal to what the other methods return",
		run: func(p *probe) {
			u := p.packet(p.b, "udp", ":124")
			_, err := p.dial("udp", "192.0.2.2:124").Write([]byte("x"))
			p.must(err)
			_, from, err := u.ReadFromUDPAddrPort(make([]byte, 1))
			p.see("%v %v", from, err)
		},
	},
	{name: "dialled local addresses", run: func(p *probe) {
		for _, d := range []struct {
			network, to string
			local       net.Addr
		}{
			{"udp", "192.0.2.2:9", nil},
			{"udp", "[2001:db8::2]:9", nil},
			{"udp", "192.0.2.2:9", &net.UDPAddr{Port: 1124}},
			{"udp", "192.0.2.2:9", &net.UDPAddr{IP: a4.Addr().AsSlice(), Port: 1125}},
			{"udp6", "[2001:db8::2]:9", &net.UDPAddr{IP: net.IPv6unspecified, Port: 1126}},
			{"udp4", "192.0.2.2:9", &net.UDPAddr{IP: net.IPv4zero}},
		} {
			c, err := p.a.Dial(within(p), net.Dialer{LocalAddr: d.local}, d.network, d.to)
			p.must(err)
			p.see("%s", addrsOf(c))
			p.must(c.Close())
		}
	}},
	{name: "link-local addresses have a zone", run: func(p *probe) {
		_, err := p.a.Dial(within(p), net.Dialer{}, "tcp", "[fe80::1%nosuchnic]:9")
		p.see("unknown zone: %v", err != nil)
	}},
}

var listenRows = []row{
	{name: "listen errors", run: func(p *probe) {
		for _, w := range []struct{ network, address string }{
			{"tcp", "192.0.2.77:80"}, {"udp", "192.0.2.77:80"}, {"tcp", "[2001:db8::77]:80"},
			{"sctp", ":80"}, {"tcp", "192.0.2.2"}, {"tcp", "192.0.2.2:65536"}, {"tcp", "192.0.2.2:-1"},
			{"tcp6", "192.0.2.2:80"}, {"tcp4", "[2001:db8::2]:80"}, {"udp4", "[2001:db8::2]:80"}, {"tcp", "[192.0.2.2:80"},
			{"tcp", "2001:db8::2:80"}, {"", ":80"}, {"tcp", "192.0.2.2:80:80"},
		} {
			_, text := p.open(w.network+"   "[:max(0, 3-len(w.network))], w.address)
			p.see("%q %q: %s", w.network, w.address, text)
		}
	}},
	{name: "backlog: nobody accepts", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		c := p.dial("tcp", l.Addr().String())
		p.see("connected and writable: %s", rw(c.Write([]byte("x"))))
		p.until(p.b, l, socketapi.EventIn)
		p.see("listener: %v", p.b.Events(l))
		p.accept(l)
		p.see("listener: %v", p.b.Events(l))
	}},
	{name: "accept while many dial", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		var calls []*call
		for range 8 {
			calls = append(calls, p.start(func() string {
				c, err := p.a.Dial(within(p), net.Dialer{}, "tcp", l.Addr().String())
				if err == nil {
					defer c.Close()
					return got(c, 2)
				}
				return verdict(err)
			}))
		}
		for range calls {
			s := p.accept(l)
			_, err := s.Write([]byte("hi"))
			p.must(err)
		}
		for _, c := range calls {
			p.see("%s", c.wait())
		}
	}},
}

var optionRows = []row{
	{name: "what a dialled connection has", run: func(p *probe) {
		for _, ka := range []net.Dialer{
			{}, {KeepAlive: -1}, {KeepAlive: 7e9},
			{KeepAliveConfig: net.KeepAliveConfig{Enable: true}},
			{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3e9, Interval: 4e9, Count: 5}},
			{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}},
		} {
			l := p.listen("tcp", "192.0.2.2:0")
			c, err := p.a.Dial(within(p), ka, "tcp", l.Addr().String())
			p.must(err)
			defer c.Close()
			p.see("dialled: %s", keepalive(p.a, c))
			s := p.accept(l)
			p.see("accepted: %s", keepalive(p.b, s))
		}
	}},
	{name: "keepalive setters", run: func(p *probe) {
		c, _ := p.conns()
		p.see("off: %v %s", c.SetKeepAlive(false), keepalive(p.a, c))
		p.see("on: %v %s", c.SetKeepAlive(true), keepalive(p.a, c))
		p.see("period: %v %s", c.SetKeepAlivePeriod(1), keepalive(p.a, c))
		p.see("period: %v %s", c.SetKeepAlivePeriod(90e9), keepalive(p.a, c))
		p.see("negative: %v %s", c.SetKeepAlivePeriod(-1e9), keepalive(p.a, c))
		p.see("zero: %v %s", c.SetKeepAlivePeriod(0), keepalive(p.a, c))
		p.see("config: %v %s", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 1500e6, Interval: 2e9, Count: 3}), keepalive(p.a, c))
		p.see("config: %v %s", c.SetKeepAliveConfig(net.KeepAliveConfig{}), keepalive(p.a, c))
		p.must(c.SetKeepAlive(true))
		p.see("config: %v %s", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 1e18}), keepalive(p.a, c))
		p.see("config: %v %s", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Count: 1000}), keepalive(p.a, c))
	}},
	{name: "nodelay and linger", run: func(p *probe) {
		c, s := p.conns()
		nodelay := func() string {
			return fmt.Sprint(p.a.Option(c, socketapi.TCP_NODELAY), p.b.Option(s, socketapi.TCP_NODELAY))
		}
		p.see("%s", nodelay())
		p.see("%v %s", c.SetNoDelay(false), nodelay())
		p.see("%v %s", c.SetNoDelay(true), nodelay())
		p.see("%v %v %v", c.SetLinger(-5), c.SetLinger(10), c.SetLinger(1<<40))
	}},
	{name: "sizes of buffers", run: func(p *probe) {
		c, _ := p.conns()
		u := p.packet(p.a, "udp", ":0")
		for _, n := range []int{0, 1, -1, 1 << 40, 100_000} {
			p.see("%d: %v %v %v %v", n, c.SetReadBuffer(n), c.SetWriteBuffer(n), u.SetReadBuffer(n), u.SetWriteBuffer(n))
		}
	}},
}

func keepalive(n node, c net.Conn) string {
	return fmt.Sprint(n.Option(c, socketapi.SO_KEEPALIVE), n.Option(c, socketapi.TCP_KEEPIDLE),
		n.Option(c, socketapi.TCP_KEEPINTVL), n.Option(c, socketapi.TCP_KEEPCNT))
}
