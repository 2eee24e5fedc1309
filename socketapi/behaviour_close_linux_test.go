package socketapi_test

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"tapstack/socketapi"
)

// small makes a connection's buffers as small as they get, so that few bytes
// fill them.
func (p *probe) small(from, to tcpConn) {
	p.Helper()
	p.must(from.SetWriteBuffer(4096))
	p.must(to.SetReadBuffer(4096))
}

// addrOf has to print as it did before Close.
func addrsOf(c net.Conn) string { return c.LocalAddr().String() + " " + c.RemoteAddr().String() }

var closeRows = []row{
	{name: "close unblocks read", run: func(p *probe) {
		c, _ := p.conns()
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.see("close: %v", c.Close())
		p.see("read: %s", read.wait())
	}},
	{name: "close unblocks write", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		p.fill(c)
		write := p.start(func() string { return rw(c.Write(make([]byte, 1<<20))) })
		p.see("waits: %v", !write.over())
		p.see("close: %v", c.Close())
		out := write.wait()
		p.see("write: %s", out[len(out)-60:])
	}},
	{name: "close unblocks accept", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		accept := p.start(func() string { _, err := l.Accept(); return verdict(err) })
		p.see("close: %v", l.Close())
		p.see("accept: %s", accept.wait())
	}},
	{name: "close unblocks datagram reads", run: func(p *probe) {
		u := p.packet(p.b, "udp", "192.0.2.2:0")
		one := p.start(func() string { _, _, err := u.ReadFrom(make([]byte, 1)); return verdict(err) })
		two := p.start(func() string { _, _, _, _, err := u.ReadMsgUDP(make([]byte, 1), nil); return verdict(err) })
		p.see("close: %v", u.Close())
		p.see("readfrom: %s", one.wait())
		p.see("readmsg: %s", two.wait())
	}},
	{name: "everything after close", run: func(p *probe) {
		c, _ := p.conns()
		before := addrsOf(c)
		p.see("close: %v", c.Close())
		p.see("close: %v", c.Close())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("read nothing: %s", rw(c.Read(nil)))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("write nothing: %s", rw(c.Write(nil)))
		p.see("addresses: %v", addrsOf(c) == before)
	}},
	{name: "options after close", run: func(p *probe) {
		c, _ := p.conns()
		p.must(c.Close())
		p.see("deadlines: %v, %v, %v", c.SetDeadline(time.Now()), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Now()))
		p.see("shut: %v, %v", c.CloseRead(), c.CloseWrite())
		p.see("options: %v, %v, %v", c.SetNoDelay(true), c.SetLinger(1), c.SetKeepAlive(true))
		p.see("options: %v, %v", c.SetReadBuffer(1000), c.SetWriteBuffer(1000))
		p.see("options: %v, %v", c.SetKeepAlivePeriod(1), c.SetKeepAliveConfig(net.KeepAliveConfig{}))
	}},
	{name: "listener after close", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		before := l.Addr().String()
		p.see("close: %v", l.Close())
		p.see("close: %v", l.Close())
		_, err := l.Accept()
		p.see("accept: %v", err)
		p.see("address: %v", l.Addr().String() == before)
	}},
	{
		name:    "deadline of a closed listener",
		differs: "package net forgets the OpError here, and here alone",
		run: func(p *probe) {
			l := p.listen("tcp", "192.0.2.2:0")
			p.must(l.Close())
			p.see("deadline: %v", l.SetDeadline(time.Now()))
		},
	},
	{name: "datagram socket after close", run: func(p *probe) {
		u := p.packet(p.b, "udp", "192.0.2.2:0")
		to := u.LocalAddr()
		p.see("close: %v", u.Close())
		p.see("close: %v", u.Close())
		_, _, err := u.ReadFrom(make([]byte, 1))
		p.see("readfrom: %v", err)
		p.see("writeto: %s", rw(u.WriteTo([]byte("x"), to)))
		p.see("read: %s", rw(u.Read(make([]byte, 1))))
		p.see("write: %s", rw(u.Write([]byte("x"))))
		p.see("deadline: %v", u.SetDeadline(time.Now()))
		p.see("buffer: %v", u.SetReadBuffer(1000))
	}},
	{name: "accepted connections outlive the listener", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		c := p.dial("tcp", l.Addr().String())
		s := p.accept(l)
		p.must(l.Close())
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
	}},
	{name: "connections never accepted are reset", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		c := p.dial("tcp", l.Addr().String())
		p.until(p.b, l, socketapi.EventIn)
		p.must(l.Close())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
	}},
	{name: "dial to a listener that closed", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		p.must(l.Close())
		_, err := p.a.Dial(within(p), net.Dialer{}, "tcp", l.Addr().String())
		p.see("dial: %v", err)
	}},
	{name: "close while many read and write", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		p.fill(c)
		var calls []*call
		for range 3 {
			calls = append(calls,
				p.start(func() string { return rw(c.Read(make([]byte, 1))) }),
				p.start(func() string { _, err := c.Write(make([]byte, 1<<20)); return verdict(err) }))
		}
		p.see("close: %v", c.Close())
		for _, call := range calls {
			p.see("%s", call.wait())
		}
	}},
}

var deadlineRows = []row{
	{name: "read deadline in the past", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.SetReadDeadline(time.Unix(1, 0)))
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		_, err := s.Write([]byte("x"))
		p.must(err)
		p.arrived(p.a, c, 1)
		p.see("read, though there is something: %s", rw(c.Read(make([]byte, 1))))
		p.see("read nothing: %s", rw(c.Read(nil)))
		p.see("write is not concerned: %s", rw(c.Write([]byte("x"))))
		p.must(c.SetReadDeadline(time.Time{}))
		p.see("read without deadline: %s", rw(c.Read(make([]byte, 1))))
	}},
	{name: "write deadline in the past", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.SetWriteDeadline(time.Unix(1, 0)))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("write nothing: %s", rw(c.Write(nil)))
		_, err := s.Write([]byte("x"))
		p.must(err)
		p.see("read is not concerned: %s", rw(c.Read(make([]byte, 1))))
		p.must(c.SetWriteDeadline(time.Time{}))
		p.see("write without deadline: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "both deadlines", run: func(p *probe) {
		c, _ := p.conns()
		p.must(c.SetDeadline(time.Unix(1, 0)))
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "deadline set while blocked", run: func(p *probe) {
		c, _ := p.conns()
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.must(c.SetReadDeadline(time.Unix(1, 0)))
		p.see("read: %s", read.wait())
	}},
	{name: "write deadline set while blocked", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		p.fill(c)
		write := p.start(func() string { return rw(c.Write([]byte("x"))) })
		p.see("waits: %v", !write.over())
		p.must(c.SetWriteDeadline(time.Unix(1, 0)))
		p.see("write: %s", write.wait())
	}},
	{name: "far future moved to near while blocked", run: func(p *probe) {
		c, _ := p.conns()
		p.must(c.SetReadDeadline(time.Now().Add(math.MaxInt64)))
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.see("waits: %v", !read.over())
		p.must(c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		p.see("read: %s", read.wait())
	}},
	{name: "deadline taken away while blocked", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.SetReadDeadline(time.Now().Add(time.Minute)))
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.must(c.SetReadDeadline(time.Time{}))
		_, err := s.Write([]byte("x"))
		p.must(err)
		p.see("read: %s", read.wait())
	}},
	{name: "deadlines fluctuate", run: func(p *probe) {
		c, s := p.conns()
		for _, d := range []time.Duration{time.Millisecond, -1, 5 * time.Millisecond, time.Microsecond, -time.Hour} {
			p.must(c.SetReadDeadline(time.Now().Add(d)))
			p.see("read: %s", rw(c.Read(make([]byte, 1))))
			p.must(c.SetReadDeadline(time.Now().Add(time.Hour)))
			_, err := s.Write([]byte("x"))
			p.must(err)
			p.see("read: %s", rw(c.Read(make([]byte, 1))))
		}
	}},
	{name: "expired deadline stays", run: func(p *probe) {
		c, _ := p.conns()
		p.must(c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		for range 3 {
			p.see("read: %s", rw(c.Read(make([]byte, 1))))
		}
	}},
	{name: "write that times out says how much", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		write := p.start(func() string {
			n, err := c.Write(make([]byte, 16<<20))
			return fmt.Sprint("some: ", n > 0 && n < 16<<20, ", ", verdict(err))
		})
		p.see("waits: %v", !write.over())
		p.must(c.SetWriteDeadline(time.Unix(1, 0)))
		p.see("%s", write.wait())
	}},
	{name: "accept deadline", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		p.must(l.SetDeadline(time.Unix(1, 0)))
		_, err := l.Accept()
		p.see("accept: %v", err)
		p.must(l.SetDeadline(time.Now().Add(time.Millisecond)))
		_, err = l.Accept()
		p.see("accept: %v", err)
		p.must(l.SetDeadline(time.Time{}))
		accept := p.start(func() string { _, err := l.Accept(); return verdict(err) })
		p.see("waits: %v", !accept.over())
		p.must(l.SetDeadline(time.Unix(1, 0)))
		p.see("accept: %s", accept.wait())
	}},
	{name: "accept past its deadline leaves the connection", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		p.dial("tcp", l.Addr().String())
		p.until(p.b, l, socketapi.EventIn)
		p.must(l.SetDeadline(time.Unix(1, 0)))
		_, err := l.Accept()
		p.see("accept: %v", err)
		p.accept(l)
		p.see("accept: ok")
	}},
	{name: "datagram deadlines", run: func(p *probe) {
		u := p.packet(p.b, "udp", "192.0.2.2:0")
		p.must(u.SetReadDeadline(time.Unix(1, 0)))
		_, _, err := u.ReadFrom(make([]byte, 1))
		p.see("readfrom: %v", err)
		p.must(u.SetWriteDeadline(time.Unix(1, 0)))
		p.see("writeto: %s", rw(u.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(a4.Addr(), 9)))))
		p.must(u.SetDeadline(time.Time{}))
		read := p.start(func() string { _, _, err := u.ReadFrom(make([]byte, 1)); return verdict(err) })
		p.must(u.SetDeadline(time.Now().Add(time.Millisecond)))
		p.see("readfrom: %s", read.wait())
	}},
}
