package socketapi_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"tapstack/socketapi"
)

// The table of behaviour one layer down: Socket against the kernel's system
// calls on non-blocking descriptors. The rules are those of TestBehaviour.
type sockRow struct {
	name    string
	differs string
	run     func(p *sockProbe)
}

// sockProbe is one run of a row.
type sockProbe struct {
	*probe
	open func(host byte, network string) sock
}

var none netip.AddrPort

func at(a netip.Prefix, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), port) }

// on makes a socket on host 'a' or 'b'.
func (p *sockProbe) on(host byte, network string) sock {
	p.Helper()
	return p.open(host, network)
}

// bound is a socket bound to a port of the stack's choice.
func (p *sockProbe) bound(host byte, network string, addr netip.Prefix) (sock, netip.AddrPort) {
	p.Helper()
	so := p.on(host, network)
	p.must(so.Bind(at(addr, 0)))
	name, err := so.Getsockname()
	p.must(err)
	return so, name
}

// listener listens on host b.
func (p *sockProbe) listener(options ...func(sock)) (sock, netip.AddrPort) {
	p.Helper()
	l, name := p.bound('b', "tcp4", b4)
	for _, set := range options {
		set(l)
	}
	p.must(l.Listen(10))
	return l, name
}

// ready waits until a socket is ready for all of ev.
func (p *sockProbe) ready(so sock, ev socketapi.Events) {
	p.Helper()
	eventually(p, ev.String(), func() bool { return so.Ready()&ev == ev })
}

// pair is a connection from host a to host b.
func (p *sockProbe) pair(options ...func(sock)) (c, s sock) {
	p.Helper()
	l, name := p.listener(options...)
	c = p.on('a', "tcp4")
	_ = c.Connect(name) // EINPROGRESS
	p.ready(l, socketapi.EventIn)
	s, _, err := l.Accept()
	p.must(err)
	p.Cleanup(func() { s.Close() })
	p.ready(c, socketapi.EventOut)
	p.must(l.Close())
	return c, s
}

// sent sends all of a string, and waits for it to arrive.
func (p *sockProbe) sent(from, to sock, text string) {
	p.Helper()
	n, err := from.SendTo([]byte(text), 0, none)
	p.must(err)
	if n != len(text) {
		p.Fatalf("sent %d of %d", n, len(text))
	}
	buf := make([]byte, len(text))
	eventually(p, "it arrives", func() bool {
		n, _, err := to.RecvFrom(buf, socketapi.MsgPeek)
		return err == nil && n == len(text)
	})
}

// received is what a receive returned.
func received(so sock, n int, flags socketapi.MsgFlags) string {
	buf := make([]byte, n)
	m, _, err := so.RecvFrom(buf, flags)
	return string(buf[:min(max(m, 0), n)]) + " " + rw(m, err)
}

// TestSocketBehaviour runs the table.
func TestSocketBehaviour(t *testing.T) {
	kernelA, kernelB := kernelPair(t)
	for _, r := range slices.Concat(connectRows, pollRows, stateRows, messageRows, datagramSocketRows, controlRows, backlogRows, sizeRows, optionValueRows, inheritRows) {
		t.Run(r.name, func(t *testing.T) {
			want := &sockProbe{&probe{TB: t, a: kernelA, b: kernelB}, func(host byte, network string) sock {
				return newKernel(t, map[byte]kernelNode{'a': kernelA, 'b': kernelB}[host].NS, network)
			}}
			r.run(want)
			a, b := pair(t, nil)
			got := &sockProbe{&probe{TB: t, a: ourNode{a}, b: ourNode{b}}, func(host byte, network string) sock {
				if host == 'a' {
					return newOurs(t, a, network)
				}
				return newOurs(t, b, network)
			}}
			warm(got.probe)
			r.run(got)
			compare(t, r.differs, want.transcript(), got.transcript())
		})
	}
}

var connectRows = []sockRow{
	{name: "connect and connect again", run: func(p *sockProbe) {
		_, name := p.listener()
		c := p.on('a', "tcp4")
		p.see("%v", c.Connect(name))
		p.ready(c, socketapi.EventOut)
		e, err := c.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v", e, err)
		for range 3 {
			p.see("%v", c.Connect(name))
		}
	}},
	{name: "connect while connecting", run: func(p *sockProbe) {
		c := p.on('a', "tcp4")
		p.see("%v", c.Connect(silent))
		p.see("%v", c.Connect(silent))
		p.see("%v", c.Ready())
		p.see("send: %s", rw(c.SendTo([]byte("x"), 0, none)))
		p.see("recv: %s", received(c, 1, 0))
		p.see("listen: %v", c.Listen(1))
		p.see("bind: %v", c.Bind(at(a4, 0)))
		_, err := c.Getpeername()
		p.see("peer: %v", err)
		name, err := c.Getsockname()
		p.see("name: %v %v", name, err)
	}},
	{name: "connect refused", run: func(p *sockProbe) {
		c := p.on('a', "tcp4")
		p.see("%v", c.Connect(at(b4, 9)))
		p.ready(c, socketapi.EventErr)
		p.see("%v", c.Ready())
		for range 2 {
			e, err := c.Option(socketapi.SO_ERROR)
			p.see("SO_ERROR %d %v, %v", e, err, c.Ready())
		}
		p.see("send: %s", rw(c.SendTo([]byte("x"), 0, none)))
		p.see("recv: %s", received(c, 1, 0))
	}},
	{name: "connect refused, told by connect", run: func(p *sockProbe) {
		c := p.on('a', "tcp4")
		p.see("%v", c.Connect(at(b4, 9)))
		p.ready(c, socketapi.EventErr)
		p.see("%v", c.Connect(at(b4, 9)))
		e, err := c.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v", e, err)
	}},
	{name: "connect refused, told by recv", run: func(p *sockProbe) {
		c := p.on('a', "tcp4")
		p.see("%v", c.Connect(at(b4, 9)))
		p.ready(c, socketapi.EventErr)
		p.see("recv: %s", received(c, 1, 0))
		e, err := c.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v", e, err)
		p.see("recv: %s", received(c, 1, 0))
	}},
	{
		name:    "connect and nobody answers",
		differs: "Linux gives up its SYNs after TCP_USER_TIMEOUT; gVisor looks at that once the connection is open alone: Dialer.Timeout and a context are for before",
		run: func(p *sockProbe) {
			if n, ours := p.a.(ourNode); ours { // as in configure
				p.must(n.NICs()[0].AddNeighbour(silent.Addr(), net.HardwareAddr{2, 0, 0, 0, 0, 0x66}))
			}
			c := p.on('a', "tcp4")
			p.see("%v", c.SetOption(socketapi.TCP_USER_TIMEOUT, 100))
			p.see("%v", c.Connect(silent))
			p.see("it gives up: %v", within3s(c, socketapi.EventErr))
			e, err := c.Option(socketapi.SO_ERROR)
			p.see("SO_ERROR %d %v", e, err)
			p.see("recv: %s", received(c, 1, 0))
		},
	},
	{name: "connect to who is not there", run: func(p *sockProbe) {
		c := p.on('a', "tcp4")
		p.see("%v", c.Connect(netip.MustParseAddrPort("192.0.2.99:9")))
		p.ready(c, socketapi.EventErr)
		e, err := c.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v", e, err)
	}},
	{name: "connect from where it cannot", run: func(p *sockProbe) {
		_, name := p.listener()
		first, second := p.on('a', "tcp4"), p.on('a', "tcp4")
		for _, c := range []sock{first, second} {
			p.must(c.SetOption(socketapi.SO_REUSEPORT, 1))
			p.must(c.Bind(at(a4, 1270)))
			p.see("%v", c.Connect(name))
		}
	}},
	{
		name:    "connect again after a refusal",
		differs: "Linux lets a socket whose connect failed try again; a gVisor endpoint that failed stays so (StateError)",
		run: func(p *sockProbe) {
			c := p.on('a', "tcp4")
			p.see("%v", c.Connect(at(b4, 9)))
			p.ready(c, socketapi.EventErr)
			p.see("%v", c.Connect(at(b4, 9)))
			p.see("%v", c.Connect(at(b4, 9)))
		},
	},
	{name: "connect where it cannot go", run: func(p *sockProbe) {
		for _, to := range []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:9"), at(b6, 9), netip.MustParseAddrPort("239.1.2.3:9")} {
			p.see("%v: %v", to, p.on('a', "tcp4").Connect(to))
		}
		for _, to := range []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:1::1]:9"), netip.MustParseAddrPort("[ff05::1]:9"), at(b4, 9)} {
			p.see("%v: %v", to, p.on('a', "tcp6").Connect(to))
		}
		l, _ := p.listener()
		p.see("a listener: %v", l.Connect(at(a4, 9)))
	}},
	{
		name:    "TCP disconnects",
		differs: "connect(2) to AF_UNSPEC makes a Linux TCP socket fresh again, with a reset; gVisor has no way back, so it is EAFNOSUPPORT: close and make another",
		run: func(p *sockProbe) {
			p.see("fresh %v", p.on('a', "tcp4").Connect(none))
			c, _ := p.pair()
			p.see("connected %v", c.Connect(none))
		},
	},
}

var pollRows = []sockRow{
	{name: "poll: fresh, bound, listening", run: func(p *sockProbe) {
		so := p.on('b', "tcp4")
		p.see("fresh %v", so.Ready())
		p.must(so.Bind(at(b4, 0)))
		p.see("bound %v", so.Ready())
		p.must(so.Listen(5))
		p.see("listening %v", so.Ready())
		name, err := so.Getsockname()
		p.must(err)
		c := p.on('a', "tcp4")
		_ = c.Connect(name)
		p.ready(so, socketapi.EventIn)
		p.see("someone waits %v", so.Ready())
		s, _, err := so.Accept()
		p.must(err)
		p.see("accepted %v, %v", so.Ready(), s.Ready())
		p.must(s.Close())
	}},
	{name: "poll: data and peer's FIN", run: func(p *sockProbe) {
		c, s := p.pair()
		p.see("established %v %v", c.Ready(), s.Ready())
		p.sent(c, s, "abc")
		p.see("data %v", s.Ready())
		p.must(c.Shutdown(socketapi.ShutWR))
		p.ready(s, socketapi.EventRdHup)
		p.see("data and FIN %v", s.Ready())
		p.see("%s", received(s, 10, 0))
		p.see("FIN %v", s.Ready())
		p.see("after shutdown %v", c.Ready())
		p.must(s.Shutdown(socketapi.ShutWR))
		p.ready(c, socketapi.EventRdHup)
		p.see("both FINs %v", c.Ready())
		p.see("both FINs %v", s.Ready())
	}},
	{name: "poll: shutdown of each direction", run: func(p *sockProbe) {
		c, s := p.pair()
		p.must(c.Shutdown(socketapi.ShutRD))
		p.see("SHUT_RD %v", c.Ready())
		p.must(s.Shutdown(socketapi.ShutWR))
		p.see("SHUT_WR %v", s.Ready())
		p.must(c.Shutdown(socketapi.ShutRDWR))
		p.see("SHUT_RDWR %v", c.Ready())
	}},
	{name: "poll: reset", run: func(p *sockProbe) {
		c, s := p.pair()
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.ready(c, socketapi.EventErr)
		p.see("%v", c.Ready())
		e, err := c.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v", e, err)
		p.see("%v", c.Ready())
		p.see("recv: %s", received(c, 1, 0))
		p.see("send: %s", rw(c.SendTo([]byte("x"), 0, none)))
	}},
	{name: "poll: reset in CLOSE-WAIT", run: func(p *sockProbe) {
		c, s := p.pair()
		p.must(s.Shutdown(socketapi.ShutWR))
		p.ready(c, socketapi.EventRdHup)
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.ready(c, socketapi.EventErr)
		p.see("%v", c.Ready())
		for range 2 {
			e, err := c.Option(socketapi.SO_ERROR)
			p.see("SO_ERROR %d %v, %v", e, err, c.Ready())
		}
		p.see("recv: %s", received(c, 1, 0))
		p.see("send: %s", rw(c.SendTo([]byte("x"), 0, none)))
	}},
	{name: "poll: full send buffer", run: func(p *sockProbe) {
		c, s := p.pair(func(l sock) { p.must(l.SetOption(socketapi.SO_RCVBUF, 4096)) })
		p.must(c.SetOption(socketapi.SO_SNDBUF, 4096))
		misses := 0 // one after the other: no acknowledgement is on its way any more
		eventually(p, "it is full", func() bool {
			if _, err := c.SendTo(make([]byte, 4096), 0, none); err == nil {
				misses = 0
			}
			misses++
			return misses == 20
		})
		p.see("send: %s, %v", rw(c.SendTo([]byte("x"), 0, none)), c.Ready())
		eventually(p, "the peer has made room", func() bool {
			_, _, _ = s.RecvFrom(make([]byte, 1<<16), 0)
			return c.Ready()&socketapi.EventOut != 0
		})
		p.see("%v", c.Ready())
	}},
	{name: "poll: low-water marks", run: func(p *sockProbe) {
		c, s := p.pair()
		p.must(s.SetOption(socketapi.SO_RCVLOWAT, 5))
		p.sent(c, s, "1234")
		p.see("below %v", s.Ready())
		p.see("but recv: %s", received(s, 10, socketapi.MsgPeek))
		n, err := c.SendTo([]byte("5"), 0, none)
		p.see("%d %v", n, err)
		p.ready(s, socketapi.EventIn)
		p.see("reached %v", s.Ready())
	}},
	{name: "poll: UDP", run: func(p *sockProbe) {
		u := p.on('b', "udp4")
		p.see("fresh %v", u.Ready())
		p.must(u.Bind(at(b4, 0)))
		p.see("bound %v", u.Ready())
		name, err := u.Getsockname()
		p.must(err)
		c := p.on('a', "udp4")
		p.must(c.Connect(name))
		p.see("connected %v", c.Ready())
		_, err = c.SendTo(nil, 0, none)
		p.must(err)
		p.ready(u, socketapi.EventIn)
		p.see("empty datagram %v", u.Ready())
		p.must(u.Close())
		_, err = c.SendTo([]byte("x"), 0, none)
		p.must(err)
		p.ready(c, socketapi.EventErr)
		p.see("refused %v", c.Ready())
		e, err := c.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v, %v", e, err, c.Ready())
	}},
	{name: "poll: UDP shut down", run: func(p *sockProbe) {
		c := p.on('a', "udp4")
		p.must(c.Connect(at(b4, 9)))
		p.must(c.Shutdown(socketapi.ShutRD))
		p.see("SHUT_RD %v", c.Ready())
		p.must(c.Shutdown(socketapi.ShutRDWR))
		p.see("SHUT_RDWR %v", c.Ready())
	}},
}
