package socketapi_test

import (
	"net/netip"

	"tapstack/socketapi"
)

var stateRows = []sockRow{
	{name: "fresh TCP socket", run: func(p *sockProbe) {
		so := p.on('a', "tcp4")
		name, err := so.Getsockname()
		p.see("%v %v", name, err)
		_, err = so.Getpeername()
		p.see("peer %v", err)
		_, _, err = so.Accept()
		p.see("accept %v", err)
		p.see("send %s", rw(so.SendTo([]byte("x"), 0, none)))
		p.see("send nothing %s", rw(so.SendTo(nil, 0, none)))
		p.see("recv %s", received(so, 1, 0))
		p.see("recv nothing %s", received(so, 0, 0))
		for _, how := range []socketapi.How{socketapi.ShutRD, socketapi.ShutWR, socketapi.ShutRDWR, 9} {
			p.see("shutdown %d: %v", how, so.Shutdown(how))
		}
		p.see("listen %v", so.Listen(1))
		name, err = so.Getsockname()
		p.see("%v %v", name, err)
	}},
	{name: "bind twice", run: func(p *sockProbe) {
		for _, network := range []string{"tcp4", "udp4"} {
			so, _ := p.bound('a', network, a4)
			p.see("%s %v", network, so.Bind(at(a4, 0)))
			p.see("%s %v", network, so.Bind(at(a4, 1234)))
		}
	}},
	{name: "bind errors", run: func(p *sockProbe) {
		p.bound('a', "tcp4", a4)
		first := p.on('a', "udp4")
		p.must(first.Bind(at(a4, 1240)))
		for _, w := range []struct{ network, addr string }{
			{"udp4", "192.0.2.1:1240"}, {"udp4", "0.0.0.0:1240"}, {"tcp4", "192.0.2.1:1240"}, {"udp", "[::]:1240"}, {"udp6", "[::]:1240"},
			{"tcp4", "192.0.2.77:1"}, {"udp6", "[2001:db8::77]:1"}, {"tcp4", "[2001:db8::1]:1"}, {"tcp6", "192.0.2.1:1"}, {"tcp6", "0.0.0.0:1"}, {"udp6", "0.0.0.0:0"},
			{"udp", "192.0.2.1:1241"}, {"tcp", "192.0.2.1:1241"}, {"tcp", "0.0.0.0:1242"},
		} {
			so := p.on('a', w.network)
			p.see("%s %s: %v", w.network, w.addr, so.Bind(netip.MustParseAddrPort(w.addr)))
			p.must(so.Close())
		}
	}},
	{name: "listener", run: func(p *sockProbe) {
		l, _ := p.listener()
		_, _, err := l.Accept()
		p.see("accept %v", err)
		p.see("again %v, less %v, negative %v", l.Listen(20), l.Listen(0), l.Listen(-1))
		p.see("send %s", rw(l.SendTo([]byte("x"), 0, none)))
		p.see("recv %s", received(l, 1, 0))
		_, err = l.Getpeername()
		p.see("peer %v", err)
		v, err := l.Option(socketapi.SO_ACCEPTCONN)
		p.see("SO_ACCEPTCONN %d %v", v, err)
		p.see("shutdown write %v", l.Shutdown(socketapi.ShutWR))
		_, _, err = l.Accept()
		p.see("accept %v", err)
	}},
	{name: "listener shut down", run: func(p *sockProbe) {
		l, name := p.listener()
		p.see("shutdown read %v", l.Shutdown(socketapi.ShutRD))
		_, _, err := l.Accept()
		p.see("accept %v", err)
		c := p.on('a', "tcp4")
		_ = c.Connect(name)
		p.ready(c, socketapi.EventErr)
		v, err := c.Option(socketapi.SO_ERROR)
		p.see("connect %d %v", v, err)
	}},
	{name: "listen on what is connected", run: func(p *sockProbe) {
		c, s := p.pair()
		p.see("%v %v", c.Listen(1), s.Listen(1))
		_, _, err := c.Accept()
		p.see("accept %v", err)
		p.see("bind %v", c.Bind(at(a4, 0)))
	}},
	{name: "UDP listens not", run: func(p *sockProbe) {
		u, _ := p.bound('a', "udp4", a4)
		p.see("%v", u.Listen(1))
		_, _, err := u.Accept()
		p.see("%v", err)
	}},
	{name: "accept", run: func(p *sockProbe) {
		l, name := p.listener()
		c := p.on('a', "tcp4")
		p.must(c.Bind(at(a4, 1250)))
		_ = c.Connect(name)
		p.ready(l, socketapi.EventIn)
		s, from, err := l.Accept()
		p.see("%v %v", from, err)
		peer, err := s.Getpeername()
		p.see("%v %v", peer, err)
		local, err := s.Getsockname()
		p.see("%v %v", local == name, err)
		_, _, err = l.Accept()
		p.see("%v", err)
		p.must(s.Close())
	}},
	{name: "a connection's calls", run: func(p *sockProbe) {
		c, s := p.pair()
		p.see("recv %s", received(c, 1, 0))
		p.see("recv nothing %s", received(c, 0, 0))
		p.see("send nothing %s", rw(c.SendTo(nil, 0, none)))
		p.see("sendto %s", rw(c.SendTo([]byte("x"), 0, at(b4, 99))))
		p.see("connect %v", c.Connect(at(b4, 99)))
		p.ready(s, socketapi.EventIn)
		p.see("recv %s", received(s, 2, 0))
		p.see("urgent %s", received(s, 2, socketapi.MsgOOB))
		p.see("shutdown %v %v", c.Shutdown(socketapi.ShutWR), c.Shutdown(socketapi.ShutWR))
		p.see("send %s", rw(c.SendTo([]byte("x"), 0, none)))
		p.see("send nothing %s", rw(c.SendTo(nil, 0, none)))
		p.ready(s, socketapi.EventRdHup)
		p.see("recv %s", received(s, 2, 0))
		p.see("recv %s", received(s, 2, socketapi.MsgPeek))
		p.see("shutdown %v", s.Shutdown(socketapi.ShutRDWR))
		p.ready(c, socketapi.EventHup)
		p.see("in TIME-WAIT: %v", c.Shutdown(socketapi.ShutWR))
		p.see("in TIME-WAIT: %v", c.Shutdown(socketapi.ShutRD))
		_, err := c.Getpeername()
		p.see("in TIME-WAIT: peer %v", err)
		p.see("in TIME-WAIT: recv %s", received(c, 2, 0))
		p.see("in TIME-WAIT: send %s", rw(c.SendTo([]byte("x"), 0, none)))
	}},
}

var messageRows = []sockRow{
	{name: "stream: peek and truncate", run: func(p *sockProbe) {
		c, s := p.pair()
		p.sent(c, s, "0123456789")
		p.see("%s", received(s, 3, socketapi.MsgPeek))
		p.see("%s", received(s, 30, socketapi.MsgPeek))
		p.see("%s", rw(dropFrom(s, 4)))
		p.see("%s", received(s, 3, socketapi.MsgPeek))
		p.see("%s", received(s, 30, 0))
		p.see("%s", received(s, 3, socketapi.MsgPeek))
	}},
	{name: "stream: several buffers", run: func(p *sockProbe) {
		c, s := p.pair()
		n, err := c.SendMsg(&socketapi.Message{Buffers: [][]byte{[]byte("ab"), nil, []byte("cde"), []byte("f")}}, 0)
		p.see("sendmsg %d %v", n, err)
		eventually(p, "all is there", func() bool {
			n, _, _ := s.RecvFrom(make([]byte, 10), socketapi.MsgPeek)
			return n == 6
		})
		for range 3 {
			m := socketapi.Message{Buffers: [][]byte{make([]byte, 1), make([]byte, 3)}}
			n, err = s.RecvMsg(&m, 0)
			p.see("recvmsg %d %v %q %#x", n, err, m.Buffers, int(m.Flags))
		}
	}},
	{name: "datagrams: peek and truncate", run: func(p *sockProbe) {
		u, name := p.bound('b', "udp4", b4)
		c := p.on('a', "udp4")
		p.must(c.Connect(name))
		for _, text := range []string{"0123456789", "second"} {
			_, err := c.SendTo([]byte(text), 0, none)
			p.must(err)
		}
		p.ready(u, socketapi.EventIn)
		p.see("%s", received(u, 3, socketapi.MsgPeek))
		p.see("%s", received(u, 3, socketapi.MsgPeek|socketapi.MsgTrunc))
		p.see("%s", received(u, 0, socketapi.MsgPeek|socketapi.MsgTrunc))
		m := socketapi.Message{Buffers: [][]byte{make([]byte, 2), make([]byte, 2)}}
		n, err := u.RecvMsg(&m, socketapi.MsgPeek)
		p.see("recvmsg %d %v %q %#x", n, err, m.Buffers, int(m.Flags))
		n, err = u.RecvMsg(&m, socketapi.MsgTrunc)
		p.see("recvmsg %d %v %q %#x", n, err, m.Buffers, int(m.Flags))
		eventually(p, "the second is there", func() bool { return u.Ready()&socketapi.EventIn != 0 })
		m = socketapi.Message{Buffers: [][]byte{make([]byte, 4), make([]byte, 4)}}
		n, err = u.RecvMsg(&m, 0)
		p.see("recvmsg %d %v %q %#x %v", n, err, m.Buffers, int(m.Flags), m.Addr)
		p.see("%s", received(u, 3, 0))
		p.see("urgent %s", received(u, 3, socketapi.MsgOOB))
		p.see("urgent %s", rw(c.SendTo([]byte("x"), socketapi.MsgOOB, none)))
	}},
	{name: "datagrams: several buffers", run: func(p *sockProbe) {
		u, name := p.bound('b', "udp4", b4)
		c := p.on('a', "udp4")
		n, err := c.SendMsg(&socketapi.Message{Buffers: [][]byte{[]byte("ab"), nil, []byte("cde")}, Addr: name}, 0)
		p.see("sendmsg %d %v", n, err)
		p.ready(u, socketapi.EventIn)
		p.see("%s", received(u, 10, 0))
		n, err = c.SendMsg(&socketapi.Message{Addr: name}, 0)
		p.see("sendmsg %d %v", n, err)
		p.ready(u, socketapi.EventIn)
		p.see("%s", received(u, 10, 0))
	}},
}

// dropFrom discards n bytes of a stream.
func dropFrom(s sock, n int) (int, error) {
	m, _, err := s.RecvFrom(make([]byte, n), socketapi.MsgTrunc)
	return m, err
}

var datagramSocketRows = []sockRow{
	{name: "unconnected UDP", run: func(p *sockProbe) {
		u := p.on('a', "udp4")
		p.see("send %s", rw(u.SendTo([]byte("x"), 0, none)))
		p.see("recv %s", received(u, 1, 0))
		name, err := u.Getsockname()
		p.see("%v %v", name, err)
		_, err = u.Getpeername()
		p.see("%v", err)
		p.see("shutdown %v", u.Shutdown(socketapi.ShutRD))
		p.see("sendto %s", rw(u.SendTo([]byte("x"), 0, at(b4, 9))))
		name, err = u.Getsockname()
		p.see("%v %v", name, err)
		p.see("too large %s", rw(u.SendTo(make([]byte, 65508), 0, at(b4, 9))))
		p.see("other family %s", rw(u.SendTo([]byte("x"), 0, at(b6, 9))))
	}},
	{name: "UDP connects and disconnects", run: func(p *sockProbe) {
		u := p.on('a', "udp4")
		for _, to := range []netip.AddrPort{at(b4, 1260), at(b4, 1261)} {
			p.see("%v", u.Connect(to))
			peer, err := u.Getpeername()
			p.see("%v %v", peer, err)
			name, err := u.Getsockname()
			p.see("%v %v", name, err)
		}
		p.see("%v", u.Connect(none))
		_, err := u.Getpeername()
		p.see("%v", err)
		p.see("send %s", rw(u.SendTo([]byte("x"), 0, none)))
		p.see("again %v", u.Connect(none))
	}},
	{name: "UDP disconnected keeps its port if it was bound", run: func(p *sockProbe) {
		u := p.on('a', "udp4")
		p.must(u.Bind(at(a4, 1262)))
		p.must(u.Connect(at(b4, 9)))
		p.must(u.Connect(none))
		name, err := u.Getsockname()
		p.see("%v %v", name, err)
	}},
	{name: "UDP connected sends elsewhere", run: func(p *sockProbe) {
		u, name := p.bound('b', "udp4", b4)
		c := p.on('a', "udp4")
		p.must(c.Connect(at(b4, 9)))
		p.see("%s", rw(c.SendTo([]byte("x"), 0, name)))
		p.ready(u, socketapi.EventIn)
		p.see("%s", received(u, 2, 0))
	}},
	{name: "UDP shut down", run: func(p *sockProbe) {
		c := p.on('a', "udp4")
		p.must(c.Connect(at(b4, 1263)))
		p.see("%v", c.Shutdown(socketapi.ShutWR))
		p.see("send %s", rw(c.SendTo([]byte("x"), 0, none)))
		p.see("%v", c.Shutdown(socketapi.ShutRD))
	}},
	{
		name:    "receiving from a UDP socket shut down",
		differs: "Linux says EAGAIN to who does not wait, though poll(2) calls the socket readable and who waits is given 0 bytes; ours is io.EOF",
		run: func(p *sockProbe) {
			c := p.on('a', "udp4")
			p.must(c.Connect(at(b4, 1264)))
			p.must(c.Shutdown(socketapi.ShutRD))
			p.see("recv %s", received(c, 1, 0))
		},
	},
	{name: "UDP hears of a refusal once", run: func(p *sockProbe) {
		c := p.on('a', "udp4")
		p.must(c.Connect(at(b4, 9)))
		for range 2 {
			_, err := c.SendTo([]byte("x"), 0, none)
			p.see("%v", err)
			p.ready(c, socketapi.EventErr)
			p.see("recv %s", received(c, 1, 0))
			p.see("recv %s", received(c, 1, 0))
		}
	}},
}
