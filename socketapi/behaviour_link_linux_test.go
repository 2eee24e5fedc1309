package socketapi_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestBehaviourOfLinks runs the rows that take a link away: each has hosts of
// its own in both worlds.
func TestBehaviourOfLinks(t *testing.T) {
	for _, r := range linkRows {
		t.Run(r.name, func(t *testing.T) {
			kernelA, kernelB := kernelPair(t)
			want := &probe{TB: t, a: kernelA, b: kernelB}
			r.run(want)
			a, b := pair(t, nil)
			got := &probe{TB: t, a: ourNode{a}, b: ourNode{b}}
			warm(got)
			r.run(got)
			compare(t, r.differs, want.transcript(), got.transcript())
		})
	}
}

// setLink is ip link set up or down of a host's one interface.
func (p *probe) setLink(n node, up bool) {
	p.Helper()
	switch n := n.(type) {
	case kernelNode:
		p.must(n.Do(func() error {
			link, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			if up {
				return netlink.LinkSetUp(link)
			}
			return netlink.LinkSetDown(link)
		}))
	case ourNode:
		p.must(n.NICs()[0].SetEnabled(up))
	}
}

// everyWrite sends to b in each of the ways that there are.
func (p *probe) everyWrite(what string, plain, conn udpConn, to netip.AddrPort) {
	p.see("%s, WriteTo: %s", what, rw(plain.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(to))))
	p.see("%s, WriteToUDPAddrPort: %s", what, rw(plain.WriteToUDPAddrPort([]byte("x"), to)))
	n, oobn, err := plain.WriteMsgUDPAddrPort([]byte("x"), nil, to)
	p.see("%s, WriteMsgUDPAddrPort: %d %d %v", what, n, oobn, err)
	p.see("%s, connected: %s", what, rw(conn.Write([]byte("x"))))
}

var linkRows = []row{
	{name: "UDP while our link is down", run: func(p *probe) {
		b := p.packet(p.b, "udp4", "192.0.2.2:1300")
		plain, conn := p.packet(p.a, "udp4", ":0"), p.dial("udp4", "192.0.2.2:1300").(udpConn)
		p.must(conn.SetReadDeadline(time.Now().Add(20 * time.Second)))
		to := addrPortOf(b.LocalAddr())
		p.everyWrite("up", plain, conn, to)
		p.setLink(p.a, false)
		p.everyWrite("down", plain, conn, to)
		_, err := p.a.Dial(within(p), net.Dialer{}, "udp4", "192.0.2.2:1301")
		p.see("dial: %v", err)
		p.setLink(p.a, true)
	}},
	{name: "TCP while our link is down", run: func(p *probe) {
		p.setLink(p.a, false)
		_, err := p.a.Dial(within(p), net.Dialer{}, "tcp4", "192.0.2.2:1302")
		p.see("dial: %v", err)
	}},
	{name: "UDP while the other end of the link is down", run: func(p *probe) {
		plain, conn := p.packet(p.a, "udp4", ":0"), p.dial("udp4", "192.0.2.2:1303").(udpConn)
		p.setLink(p.b, false)
		p.everyWrite("no carrier", plain, conn, netip.MustParseAddrPort("192.0.2.2:1303"))
	}},
	{name: "to a group from a bound address", run: func(p *probe) {
		u, err := p.b.ListenMulticast("udp4", "239.1.2.3:5002")
		p.must(err)
		defer u.Close()
		p.must(u.SetReadDeadline(time.Now().Add(20 * time.Second)))
		a := p.packet(p.a, "udp4", "192.0.2.1:0")
		p.see("writeto: %s", rw(a.WriteToUDPAddrPort([]byte("hello"), netip.MustParseAddrPort("239.1.2.3:5002"))))
		p.see("%s", nextFrom(u, 10))
		c, err := p.a.Dial(within(p), net.Dialer{LocalAddr: &net.UDPAddr{IP: a4.Addr().AsSlice()}}, "udp4", "239.1.2.3:5002")
		p.must(err)
		defer c.Close()
		p.see("write: %s, %s", rw(c.Write([]byte("dialled"))), addrsOf(c))
		p.see("%s", nextFrom(u, 10))
	}},
	{
		name:    "to a group from any address",
		differs: "Linux asks its routes, and a namespace has none to IPv4 groups; a stack with one NIC has one way to send them, as it has to join them",
		run: func(p *probe) {
			u, err := p.b.ListenMulticast("udp4", "239.1.2.3:5003")
			p.must(err)
			defer u.Close()
			p.must(u.SetReadDeadline(time.Now().Add(100 * time.Millisecond)))
			a := p.packet(p.a, "udp4", ":0")
			p.see("writeto: %s", rw(a.WriteToUDPAddrPort([]byte("hello"), netip.MustParseAddrPort("239.1.2.3:5003"))))
			p.see("%s", nextFrom(u, 10))
		},
	},
	{name: "to a group from any address, IPv6", run: func(p *probe) {
		u, err := p.b.ListenMulticast("udp6", "[ff05::1:3]:5004")
		p.must(err)
		defer u.Close()
		p.must(u.SetReadDeadline(time.Now().Add(20 * time.Second)))
		for _, a := range []udpConn{p.packet(p.a, "udp6", ":0"), p.packet(p.a, "udp", ":0"), p.packet(p.a, "udp6", "[2001:db8::1]:0")} {
			to := netip.MustParseAddrPort("[ff05::1:3]:5004")
			p.see("writeto: %s", rw(a.WriteToUDPAddrPort([]byte("hello"), to)))
			p.see("%s", nextFrom(u, 10))
		}
	}},
	{name: "to all on the link", run: func(p *probe) {
		u := p.packet(p.b, "udp4", ":5005")
		a := p.packet(p.a, "udp4", "192.0.2.1:0")
		for _, to := range []string{"255.255.255.255:5005", "192.0.2.255:5005"} {
			p.see("writeto: %s", rw(a.WriteToUDPAddrPort([]byte("hello"), netip.MustParseAddrPort(to))))
			p.see("%s", nextFrom(u, 10))
		}
	}},
}
