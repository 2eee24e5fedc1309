package socketapi_test

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/socketapi"
)

// udps is a UDP socket at each host, over IPv4 unless said.
func (p *probe) udps(v6 ...bool) (a, b udpConn) {
	p.Helper()
	if len(v6) > 0 {
		return p.packet(p.a, "udp", "[2001:db8::1]:0"), p.packet(p.b, "udp", "[2001:db8::2]:0")
	}
	return p.packet(p.a, "udp", "192.0.2.1:0"), p.packet(p.b, "udp", "192.0.2.2:0")
}

// connected is a UDP socket at a, connected to one at b.
func (p *probe) connected(network string) (a, b udpConn) {
	p.Helper()
	b = p.packet(p.b, "udp", "192.0.2.2:0")
	a = p.dial(network, b.LocalAddr().String()).(udpConn)
	p.must(a.SetReadDeadline(time.Now().Add(20 * time.Second)))
	return a, b
}

// nextFrom is the next datagram, cut at n bytes.
func nextFrom(c udpConn, n int) string {
	buf := make([]byte, n)
	m, from, err := c.ReadFrom(buf)
	if from == nil {
		return rw(m, err)
	}
	return string(buf[:m]) + " from " + from.String() + " " + from.Network()
}

func addrPortOf(a net.Addr) netip.AddrPort { return a.(*net.UDPAddr).AddrPort() }

var datagramRows = []row{
	{name: "datagrams there and back", run: func(p *probe) {
		a, b := p.udps()
		p.see("writeto: %s", rw(a.WriteTo([]byte("hello"), b.LocalAddr())))
		p.see("%s", nextFrom(b, 10))
		p.see("writeto: %s", rw(b.WriteToUDP([]byte("and back"), a.LocalAddr().(*net.UDPAddr))))
		p.see("%s", nextFrom(a, 10))
		p.see("writeto: %s", rw(a.WriteToUDPAddrPort([]byte("again"), addrPortOf(b.LocalAddr()))))
		n, from, err := b.ReadFromUDPAddrPort(make([]byte, 10))
		p.see("%d %v %v", n, from, err)
		p.see("remote: %v", b.RemoteAddr())
	}},
	{name: "datagrams over IPv6", run: func(p *probe) {
		a, b := p.udps(true)
		p.see("writeto: %s", rw(a.WriteTo([]byte("hello"), b.LocalAddr())))
		n, from, err := b.ReadFromUDPAddrPort(make([]byte, 10))
		p.see("%d %v %v", n, from, err)
	}},
	{name: "zero-byte datagrams", run: func(p *probe) {
		a, b := p.udps()
		p.see("writeto: %s", rw(a.WriteTo(nil, b.LocalAddr())))
		p.see("writeto: %s", rw(a.WriteTo([]byte{}, b.LocalAddr())))
		p.see("writeto: %s", rw(a.WriteTo([]byte("x"), b.LocalAddr())))
		for range 3 {
			p.see("%s", nextFrom(b, 10))
		}
	}},
	{name: "zero-byte datagrams, connected", run: func(p *probe) {
		a, b := p.connected("udp")
		p.see("write: %s", rw(a.Write(nil)))
		p.see("%s", nextFrom(b, 10))
		_, err := b.WriteTo(nil, a.LocalAddr())
		p.must(err)
		p.see("read: %s", rw(a.Read(make([]byte, 10))))
	}},
	{name: "zero-byte reads take a datagram", run: func(p *probe) {
		a, b := p.udps()
		for _, s := range []string{"one", "two", "three"} {
			_, err := a.WriteTo([]byte(s), b.LocalAddr())
			p.must(err)
		}
		p.see("%s", nextFrom(b, 0))
		n, from, err := b.ReadFromUDPAddrPort(nil)
		p.see("%d %v %v", n, from, err)
		p.see("%s", nextFrom(b, 10))
	}},
	{name: "zero-byte read on a connected socket", run: func(p *probe) {
		a, b := p.connected("udp")
		for _, s := range []string{"one", "two"} {
			_, err := b.WriteTo([]byte(s), a.LocalAddr())
			p.must(err)
		}
		p.until(p.a, a, socketapi.EventIn)
		p.see("read: %s", rw(a.Read(nil)))
		p.see("%s", nextFrom(a, 10))
	}},
	{name: "truncation", run: func(p *probe) {
		a, b := p.udps()
		for range 4 {
			_, err := a.WriteTo([]byte("0123456789"), b.LocalAddr())
			p.must(err)
		}
		_, err := a.WriteTo([]byte("end"), b.LocalAddr())
		p.must(err)
		p.see("%s", nextFrom(b, 4))
		p.see("read: %s", rw(b.Read(make([]byte, 4))))
		n, from, err := b.ReadFromUDP(make([]byte, 4))
		p.see("%d %v %v", n, from, err)
		n, oobn, flags, from, err := b.ReadMsgUDP(make([]byte, 4), nil)
		p.see("%d %d %#x %v %v", n, oobn, flags, from, err)
		n, oobn, flags, from, err = b.ReadMsgUDP(make([]byte, 4), nil)
		p.see("%d %d %#x %v %v", n, oobn, flags, from, err)
	}},
	{name: "ReadMsgUDP", run: func(p *probe) {
		a, b := p.udps()
		send := func(s string) {
			n, oobn, err := a.WriteMsgUDP([]byte(s), nil, b.LocalAddr().(*net.UDPAddr))
			p.see("writemsg: %d %d %v", n, oobn, err)
		}
		send("fits")
		n, oobn, flags, from, err := b.ReadMsgUDPAddrPort(make([]byte, 4), make([]byte, 100))
		p.see("%d %d %#x %v %v", n, oobn, flags, from, err)
		send("does not")
		n, oobn, flags, from, err = b.ReadMsgUDPAddrPort(make([]byte, 4), make([]byte, 100))
		p.see("%d %d %#x %v %v", n, oobn, flags, from, err)
		send("")
		n, oobn, flags, from, err = b.ReadMsgUDPAddrPort(nil, nil)
		p.see("%d %d %#x %v %v", n, oobn, flags, from, err)
		send("x")
		n, oobn, flags, from, err = b.ReadMsgUDPAddrPort(nil, nil)
		p.see("%d %d %#x %v %v", n, oobn, flags, from, err)
	}},
	{name: "WriteMsgUDP with what is no control message", run: func(p *probe) {
		a, b := p.udps()
		for _, oob := range [][]byte{make([]byte, 3), make([]byte, unix.CmsgSpace(4))} {
			n, oobn, err := a.WriteMsgUDP([]byte("x"), oob, b.LocalAddr().(*net.UDPAddr))
			p.see("%d %d %v", n, oobn, err)
		}
	}},
	{name: "large datagrams", run: func(p *probe) {
		a, b := p.udps()
		for _, n := range []int{1472, 1473, 9000, 65507} {
			p.see("writeto: %s", rw(a.WriteTo(make([]byte, n), b.LocalAddr())))
			n, _, err := b.ReadFrom(make([]byte, 70_000))
			p.see("%d %v", n, err)
		}
	}},
	{name: "what is not read in time is lost", run: func(p *probe) {
		a, b := p.udps()
		p.must(b.SetReadBuffer(5000))
		for range 200 {
			_, err := a.WriteTo(make([]byte, 1000), b.LocalAddr())
			p.must(err)
		}
		p.until(p.b, b, socketapi.EventIn)
		p.must(b.SetReadDeadline(time.Now().Add(50 * time.Millisecond)))
		n := 0
		for {
			if _, _, err := b.ReadFrom(make([]byte, 1000)); err != nil {
				p.see("%v", err)
				break
			}
			n++
		}
		p.see("some: %v, not all: %v", n > 0, n < 200)
	}},
}

var datagramErrorRows = []row{
	{name: "oversize datagrams", run: func(p *probe) {
		a, b := p.udps()
		for _, n := range []int{65508, 65536, 70_000} {
			p.see("writeto: %s", rw(a.WriteTo(make([]byte, n), b.LocalAddr())))
		}
		c, _ := p.connected("udp")
		p.see("write: %s", rw(c.Write(make([]byte, 65508))))
		n, oobn, err := a.WriteMsgUDP(make([]byte, 65508), nil, b.LocalAddr().(*net.UDPAddr))
		p.see("writemsg: %d %d %v", n, oobn, err)
	}},
	{name: "oversize datagrams over IPv6", run: func(p *probe) {
		a, b := p.udps(true)
		p.see("writeto: %s", rw(a.WriteTo(make([]byte, 65528), b.LocalAddr())))
		p.see("writeto: %s", rw(a.WriteTo(make([]byte, 65527), b.LocalAddr())))
		n, _, err := b.ReadFrom(make([]byte, 70_000))
		p.see("%d %v", n, err)
	}},
	{name: "write without a destination", run: func(p *probe) {
		a, _ := p.udps()
		p.see("write: %s", rw(a.Write([]byte("x"))))
	}},
	{
		name:    "WriteMsgUDP without a destination",
		differs: "package net has an error without errno for it; ours is EDESTADDRREQ, as Write's in both",
		run: func(p *probe) {
			a, _ := p.udps()
			n, oobn, err := a.WriteMsgUDP([]byte("x"), nil, nil)
			p.see("writemsg: %d %d %v", n, oobn, err)
			n, oobn, err = a.WriteMsgUDPAddrPort([]byte("x"), nil, netip.AddrPort{})
			p.see("writemsg: %d %d %v", n, oobn, err)
		},
	},
	{name: "write to no address", run: func(p *probe) {
		a, _ := p.udps()
		_, err := a.WriteToUDP([]byte("x"), nil)
		p.see("%v", strings.Contains(verdict(err), "write udp"))
		_, err = a.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{})
		p.see("%v", strings.Contains(verdict(err), "write udp"))
	}},
	{name: "write to an address of another type", run: func(p *probe) {
		a, _ := p.udps()
		_, err := a.WriteTo([]byte("x"), &net.UnixAddr{Name: "x", Net: "unixgram"})
		p.see("%v", strings.Contains(verdict(err), "write udp"))
	}},
	{
		name:    "write to a TCP address",
		differs: "package net takes *net.UDPAddr and says EINVAL to the rest; ours reads any address, because callers of net.PacketConn pass what they have",
		run: func(p *probe) {
			a, b := p.udps()
			to := addrPortOf(b.LocalAddr())
			p.see("writeto: %s", rw(a.WriteTo([]byte("x"), net.TCPAddrFromAddrPort(to))))
		},
	},
	{name: "write to IPv6 over IPv4", run: func(p *probe) {
		a, _ := p.udps()
		b := p.packet(p.b, "udp4", ":0")
		for i, u := range []udpConn{a, b} {
			to := netip.AddrPortFrom([]netip.Addr{b6.Addr(), a6.Addr()}[i], 9)
			p.see("%s", rw(u.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(to))))
			p.see("%s", rw(u.WriteToUDP([]byte("x"), net.UDPAddrFromAddrPort(to))))
			_, err := u.WriteToUDPAddrPort([]byte("x"), to)
			p.see("%v, %s", err, err.Error()[strings.LastIndex(err.Error(), ": ")+2:])
			n, oobn, err := u.WriteMsgUDPAddrPort([]byte("x"), nil, to)
			p.see("%d %d %v", n, oobn, err)
			n, oobn, err = u.WriteMsgUDP([]byte("x"), nil, net.UDPAddrFromAddrPort(to))
			p.see("%d %d %v", n, oobn, err)
		}
	}},
	{name: "write to IPv4 over IPv6", run: func(p *probe) {
		a, _ := p.udps(true)
		p.see("bound: %s", rw(a.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(b4.Addr(), 9))))
		p.see("bound: %s", rw(a.WriteTo([]byte("x"), &net.UDPAddr{IP: b4.Addr().AsSlice(), Port: 9})))
		n, oobn, err := a.WriteMsgUDPAddrPort([]byte("x"), nil, netip.AddrPortFrom(b4.Addr(), 9))
		p.see("writemsg: %d %d %v", n, oobn, err)
		b := p.packet(p.b, "udp6", ":0")
		p.see("unbound: %s", rw(b.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(a4.Addr(), 9))))
	}},
	{name: "write without a route", run: func(p *probe) {
		a := p.packet(p.a, "udp", ":0")
		p.see("IPv4: %s", rw(a.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("198.51.100.1:9"))))
		p.see("IPv6: %s", rw(a.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[2001:db8:1::1]:9"))))
	}},
	{name: "write to port 0", run: func(p *probe) {
		a, _ := p.udps()
		p.see("writeto: %s", rw(a.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(b4.Addr(), 0))))
	}},
	{name: "unconnected sockets hear of no refusal", run: func(p *probe) {
		a, b := p.udps()
		to := b.LocalAddr()
		p.must(b.Close())
		p.see("writeto: %s", rw(a.WriteTo([]byte("x"), to)))
		other := p.packet(p.b, "udp", "192.0.2.2:0")
		_, err := other.WriteTo([]byte("hello"), a.LocalAddr())
		p.must(err)
		p.see("%s", nextFrom(a, 10))
		p.see("writeto: %s", rw(a.WriteTo([]byte("x"), other.LocalAddr())))
	}},
}

var connectedRows = []row{
	{name: "connected: there and back", run: func(p *probe) {
		a, b := p.connected("udp")
		p.see("%s", addrsOf(a))
		p.see("write: %s", rw(a.Write([]byte("hello"))))
		p.see("%s", nextFrom(b, 10))
		_, err := b.WriteTo([]byte("back"), a.LocalAddr())
		p.must(err)
		p.see("%s", nextFrom(a, 10))
	}},
	{name: "connected: foreign senders are not heard", run: func(p *probe) {
		a, b := p.connected("udp")
		foreign := p.packet(p.b, "udp", "192.0.2.2:0")
		for _, from := range []udpConn{foreign, b} {
			_, err := from.WriteTo([]byte("x"), a.LocalAddr())
			p.must(err)
		}
		_, from, err := a.ReadFrom(make([]byte, 10))
		p.must(err)
		p.see("from the peer: %v", from.String() == b.LocalAddr().String())
	}},
	{name: "connected: WriteTo", run: func(p *probe) {
		a, b := p.connected("udp")
		to := b.LocalAddr().(*net.UDPAddr)
		p.see("%s", rw(a.WriteTo([]byte("x"), to)))
		p.see("%s", rw(a.WriteToUDP([]byte("x"), to)))
		p.see("%s", rw(a.WriteToUDPAddrPort([]byte("x"), to.AddrPort())))
		n, oobn, err := a.WriteMsgUDP([]byte("x"), nil, to)
		p.see("%d %d %v", n, oobn, err)
		n, oobn, err = a.WriteMsgUDP([]byte("x"), nil, nil)
		p.see("%d %d %v", n, oobn, err)
	}},
	{name: "connected, closed: WriteTo", run: func(p *probe) {
		a, b := p.connected("udp")
		p.must(a.Close())
		u, v6 := p.packet(p.a, "udp", "192.0.2.1:0"), &net.UDPAddr{IP: b6.Addr().AsSlice(), Port: 9}
		p.must(u.Close())
		to := b.LocalAddr().(*net.UDPAddr)
		for _, c := range []udpConn{a, u} {
			for _, to := range []*net.UDPAddr{to, v6} {
				p.see("%s", rw(c.WriteTo([]byte("x"), to)))
				p.see("%s", rw(c.WriteToUDP([]byte("x"), to)))
				p.see("%s", rw(c.WriteToUDPAddrPort([]byte("x"), to.AddrPort())))
				n, oobn, err := c.WriteMsgUDP([]byte("x"), nil, to)
				p.see("%d %d %v", n, oobn, err)
			}
		}
	}},
	{name: "connected: refused", run: func(p *probe) {
		a, b := p.connected("udp")
		p.must(b.Close())
		p.see("write: %s", rw(a.Write([]byte("x"))))
		p.see("read: %s", rw(a.Read(make([]byte, 1))))
		p.must(a.SetReadDeadline(time.Unix(1, 0)))
		p.see("read: %s", rw(a.Read(make([]byte, 1))))
	}},
	{name: "connected: a write tells of the refusal too", run: func(p *probe) {
		a, b := p.connected("udp")
		p.must(b.Close())
		p.see("write: %s", rw(a.Write([]byte("x"))))
		p.until(p.a, a, socketapi.EventErr)
		p.see("write: %s", rw(a.Write([]byte("x"))))
	}},
	{name: "connected: nobody there", run: func(p *probe) {
		c, err := p.a.Dial(within(p), net.Dialer{}, "udp", "192.0.2.77:9")
		p.must(err)
		defer c.Close()
		p.see("write: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "connected: refused while reading", run: func(p *probe) {
		a, b := p.connected("udp")
		p.must(b.Close())
		read := p.start(func() string { return rw(a.Read(make([]byte, 1))) })
		p.see("write: %s", rw(a.Write([]byte("x"))))
		p.see("read: %s", read.wait())
	}},
}

var multicastRows = []row{
	{name: "listen to a group", run: func(p *probe) {
		u, err := p.b.ListenMulticast("udp4", "239.1.2.3:5000")
		p.must(err)
		defer u.Close()
		p.must(u.SetReadDeadline(time.Now().Add(20 * time.Second)))
		p.see("%v", u.LocalAddr())
		a := p.packet(p.a, "udp4", "192.0.2.1:0")
		_, err = a.WriteTo([]byte("unicast"), &net.UDPAddr{IP: b4.Addr().AsSlice(), Port: 5000})
		p.must(err)
		p.see("%s", nextFrom(u, 10))
		second, err := p.b.ListenMulticast("udp4", "239.1.2.3:5000")
		p.see("second: %v", err)
		if err == nil {
			defer second.Close()
		}
		_, err = p.b.ListenMulticast("udp4", "192.0.2.2:5001")
		p.see("no group: %v", err)
	}},
	{name: "listen to a group, IPv6", run: func(p *probe) {
		u, err := p.b.ListenMulticast("udp6", "[ff05::1:3]:5000")
		p.see("%v", err)
		if err == nil {
			u.Close()
		}
	}},
}
