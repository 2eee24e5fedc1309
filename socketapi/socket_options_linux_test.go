package socketapi_test

import (
	"fmt"
	"slices"
	"strings"

	"tapstack/socketapi"
)

// allOptions are the options in the order of their declaration.
func allOptions() []socketapi.Option {
	var out []socketapi.Option
	for o := range kernelOptions {
		out = append(out, o)
	}
	slices.Sort(out)
	return out
}

// sized options read back otherwise than on Linux, on purpose.
func sized(o socketapi.Option) bool { return o == socketapi.SO_SNDBUF || o == socketapi.SO_RCVBUF }

// values are what each option is set to.
var values = []int{0, 1, -1, 2, 7, 100, 255, 256, 1 << 20, 1<<31 - 1, -1 << 31}

// optionRow sets one option of one kind of socket to all values.
func optionRow(o socketapi.Option, network string) sockRow {
	return sockRow{
		name:    fmt.Sprintf("%s of %s", o, network),
		differs: optionDiffers[fmt.Sprintf("%s of %s", o, network)] + optionDiffers[o.String()],
		run: func(p *sockProbe) {
			so := p.on('a', network)
			v, err := so.Option(o)
			if sized(o) {
				v = 0
			}
			p.see("default %d %v", v, err)
			for _, set := range values {
				setErr := so.SetOption(o, set)
				v, err := so.Option(o)
				if sized(o) {
					v = 0
				}
				p.see("set %d: %v, reads %d %v", set, setErr, v, err)
			}
		},
	}
}

// optionNetworks are sockets that have an option.
func optionNetworks(o socketapi.Option) []string {
	switch name := o.String(); {
	case strings.HasPrefix(name, "TCP_"):
		return []string{"tcp4"}
	case strings.HasPrefix(name, "IPV6_MULTICAST"), strings.HasPrefix(name, "IPV6_RECV"):
		return []string{"udp6"}
	case strings.HasPrefix(name, "IPV6_"):
		return []string{"tcp6", "udp6"}
	case strings.HasPrefix(name, "IP_MULTICAST"), strings.HasPrefix(name, "IP_RECV"), o == socketapi.IP_PKTINFO, o == socketapi.SO_NO_CHECK:
		return []string{"udp4"}
	default:
		return []string{"tcp4", "udp4"}
	}
}

// optionValueRows have every option at sockets that have it.
var optionValueRows = func() (rows []sockRow) {
	for _, o := range allOptions() {
		for _, network := range optionNetworks(o) {
			rows = append(rows, optionRow(o, network))
		}
	}
	return rows
}()

// optionDiffers says why, by option or by option and network.
var optionDiffers = map[string]string{
	"SO_RCVLOWAT":       "bounded by what this stack's receive buffer may hold: the largest is another than the kernel's, and for UDP, where the mark means nothing, Linux bounds nothing",
	"TCP_DEFER_ACCEPT":  "Linux rounds up to the times at which it would send its SYN-ACK again; gVisor keeps the seconds, up to its largest timeout",
	"TCP_QUICKACK":      "there is no delayed acknowledgement to switch on (option.go)",
	"TCP_NOTSENT_LOWAT": "unsigned on Linux, where a negative mark is one that is never reached; here that is 0, no mark",
}

// inherited is what is set on a listener to be seen on what it accepts; it has
// a value that is nobody's default.
var inherited = map[socketapi.Option]int{
	socketapi.SO_RCVLOWAT: 3, socketapi.SO_REUSEADDR: 1, socketapi.SO_REUSEPORT: 1, socketapi.SO_KEEPALIVE: 1,
	socketapi.SO_BROADCAST: 1, socketapi.SO_TIMESTAMP: 1,
	socketapi.TCP_NODELAY: 1, socketapi.TCP_CORK: 1, socketapi.TCP_KEEPIDLE: 11, socketapi.TCP_KEEPINTVL: 12,
	socketapi.TCP_KEEPCNT: 13, socketapi.TCP_USER_TIMEOUT: 14_000, socketapi.TCP_LINGER2: 15, socketapi.TCP_NOTSENT_LOWAT: 16_000,
	socketapi.TCP_INQ: 1, socketapi.IP_TTL: 17, socketapi.IP_TOS: 0x18, socketapi.IP_MTU_DISCOVER: 0,
}

var inheritRows = []sockRow{
	{name: "options that accepted sockets have of their listener", run: func(p *sockProbe) {
		_, s := p.pair(func(l sock) {
			for o, v := range inherited {
				p.must(l.SetOption(o, v))
			}
			p.must(l.SetLinger(19))
			p.must(l.SetCongestionControl("reno"))
		})
		for _, o := range allOptions() {
			if _, ok := inherited[o]; ok {
				v, err := s.Option(o)
				p.see("%v %d %v", o, v, err)
			}
		}
		linger, err := s.Linger()
		p.see("linger %d %v", linger, err)
		cc, err := s.CongestionControl()
		p.see("%s %v", cc, err)
	}},
	{
		name:    "TCP_MAXSEG on accepted sockets",
		differs: "both bound both directions, options counted in; Linux keeps room for the timestamps alone, gVisor for SACK blocks too",
		run: func(p *sockProbe) {
			c, s := p.pair(func(l sock) { p.must(l.SetOption(socketapi.TCP_MAXSEG, 700)) })
			theirs, _ := c.Option(socketapi.TCP_MAXSEG)
			ours, _ := s.Option(socketapi.TCP_MAXSEG)
			p.see("to the listener's side %d", theirs)
			p.see("from it %d", ours)
		},
	},
	{
		name:    "options of IP at streams",
		differs: "Linux takes at TCP sockets what means something for datagrams alone; here that is ENOPROTOOPT (option.go)",
		run: func(p *sockProbe) {
			for _, o := range []socketapi.Option{socketapi.IP_RECVTTL, socketapi.IP_RECVTOS, socketapi.IP_PKTINFO, socketapi.IP_MULTICAST_LOOP, socketapi.SO_NO_CHECK} {
				p.see("%v %v", o, p.on('a', "tcp4").SetOption(o, 1))
			}
		},
	},
	{name: "options of another kind of socket", run: func(p *sockProbe) {
		udp, v4 := p.on('a', "udp4"), p.on('a', "tcp4")
		for _, o := range allOptions() {
			switch name := o.String(); {
			case strings.HasPrefix(name, "TCP_"):
				_, err := udp.Option(o)
				p.see("UDP %v %v, %v", o, udp.SetOption(o, 1), err != nil)
			case strings.HasPrefix(name, "IPV6_"):
				_, err := v4.Option(o)
				p.see("IPv4 %v %v, %v", o, v4.SetOption(o, 1), err != nil)
			}
		}
		for _, o := range []socketapi.Option{socketapi.SO_TYPE, socketapi.SO_PROTOCOL, socketapi.SO_DOMAIN, socketapi.SO_ACCEPTCONN, socketapi.SO_ERROR} {
			p.see("read only %v %v", o, v4.SetOption(o, 1))
		}
	}},
	{name: "TCP_DEFER_ACCEPT on accepted sockets", run: func(p *sockProbe) {
		l, name := p.listener(func(l sock) { p.must(l.SetOption(socketapi.TCP_DEFER_ACCEPT, 5)) })
		c := p.on('a', "tcp4")
		_ = c.Connect(name)
		p.ready(c, socketapi.EventOut)
		_, _, err := l.Accept()
		p.see("before data %v", err)
		_, err = c.SendTo([]byte("x"), 0, none)
		p.must(err)
		p.ready(l, socketapi.EventIn)
		s, _, err := l.Accept()
		p.must(err)
		defer s.Close()
		p.see("recv %s", received(s, 2, 0))
	}},
	{name: "set after listen, before the handshake", run: func(p *sockProbe) {
		_, s := p.pair(func(l sock) {
			p.must(l.Listen(5))
			p.must(l.SetOption(socketapi.TCP_NODELAY, 1))
			p.must(l.SetOption(socketapi.IP_TOS, 0x20))
		})
		a, _ := s.Option(socketapi.TCP_NODELAY)
		b, _ := s.Option(socketapi.IP_TOS)
		p.see("%d %d", a, b)
	}},
	{name: "options while connected", run: func(p *sockProbe) {
		c, _ := p.pair()
		for _, o := range []socketapi.Option{
			socketapi.SO_ERROR, socketapi.SO_TYPE, socketapi.SO_PROTOCOL, socketapi.SO_DOMAIN, socketapi.SO_ACCEPTCONN,
			socketapi.TCP_NODELAY, socketapi.TCP_KEEPCNT, socketapi.IP_TTL, socketapi.IP_TOS,
		} {
			v, err := c.Option(o)
			p.see("%v %d %v", o, v, err)
		}
		p.see("linger %v", c.SetLinger(3))
		l, err := c.Linger()
		p.see("%d %v", l, err)
		p.see("no such algorithm %v", c.SetCongestionControl("nosuchalgo"))
	}},
	{name: "options of sockets that have them not", run: func(p *sockProbe) {
		u := p.on('a', "udp4")
		p.see("%v", u.SetCongestionControl("reno"))
		v6 := p.on('a', "tcp6")
		p.must(v6.Bind(at(a6, 0)))
		p.see("IPV6_V6ONLY after bind %v", v6.SetOption(socketapi.IPV6_V6ONLY, 0))
	}},
}
