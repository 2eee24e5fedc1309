package socketapi_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/socketapi"
)

// udpPair is a socket at b with some options, and one at a to send from.
func (p *sockProbe) udpPair(network string, set map[socketapi.Option]int) (from, to sock, name netip.AddrPort) {
	p.Helper()
	addr := b4
	if network == "udp6" {
		addr = b6
	}
	to = p.on('b', network)
	if network == "udp" {
		p.must(to.Bind(none)) // both families
		bound, err := to.Getsockname()
		p.must(err)
		name = at(addr, bound.Port())
	} else {
		p.must(to.Bind(at(addr, 0)))
		var err error
		name, err = to.Getsockname()
		p.must(err)
	}
	for _, o := range allOptions() {
		if v, ok := set[o]; ok {
			p.see("%v: %v", o, to.SetOption(o, v))
		}
	}
	return p.on('a', network), to, name
}

// carry sends a message with what is to go with it, and sees what came.
func (p *sockProbe) carry(from, to sock, name netip.AddrPort, c socketapi.Control) {
	p.Helper()
	n, err := from.SendMsg(&socketapi.Message{Buffers: [][]byte{[]byte("x")}, Addr: name, Control: c}, 0)
	p.see("sendmsg %d %v", n, err)
	if err != nil {
		return
	}
	p.ready(to, socketapi.EventIn)
	m := socketapi.Message{Buffers: [][]byte{make([]byte, 2)}}
	n, err = to.RecvMsg(&m, 0)
	p.see("recvmsg %d %v flags %#x%s", n, err, int(m.Flags), controlText(m.Control))
}

// on is a set of options that are on.
func on(options ...socketapi.Option) map[socketapi.Option]int {
	out := map[socketapi.Option]int{}
	for _, o := range options {
		out[o] = 1
	}
	return out
}

// receivedRow is what comes with datagrams of one kind of socket, for one
// option.
func receivedRow(network string, options ...socketapi.Option) sockRow {
	var names []string
	for _, o := range options {
		names = append(names, o.String())
	}
	return sockRow{name: fmt.Sprintf("control received by %s: %s", network, strings.Join(names, ", ")), run: func(p *sockProbe) {
		from, to, name := p.udpPair(network, on(options...))
		p.carry(from, to, name, socketapi.Control{})
		if network != "udp6" {
			p.see("%v", from.SetOption(socketapi.IP_TTL, 44))
			p.see("%v", from.SetOption(socketapi.IP_TOS, 0xb8))
		} else {
			p.see("%v", from.SetOption(socketapi.IPV6_UNICAST_HOPS, 44))
			p.see("%v", from.SetOption(socketapi.IPV6_TCLASS, 0xb8))
		}
		p.carry(from, to, name, socketapi.Control{})
		for _, o := range options {
			p.see("off: %v", to.SetOption(o, 0))
		}
		p.carry(from, to, name, socketapi.Control{})
	}}
}

var controlRows = []sockRow{
	receivedRow("udp4"),
	receivedRow("udp4", socketapi.IP_RECVTTL),
	receivedRow("udp4", socketapi.IP_RECVTOS),
	receivedRow("udp4", socketapi.IP_PKTINFO),
	receivedRow("udp4", socketapi.SO_TIMESTAMP),
	receivedRow("udp4", socketapi.IP_RECVTTL, socketapi.IP_RECVTOS, socketapi.IP_PKTINFO, socketapi.SO_TIMESTAMP),
	receivedRow("udp6"),
	receivedRow("udp6", socketapi.IPV6_RECVHOPLIMIT),
	receivedRow("udp6", socketapi.IPV6_RECVTCLASS),
	receivedRow("udp6", socketapi.IPV6_RECVPKTINFO),
	receivedRow("udp6", socketapi.IPV6_RECVHOPLIMIT, socketapi.IPV6_RECVTCLASS, socketapi.IPV6_RECVPKTINFO, socketapi.SO_TIMESTAMP),
	receivedRow("udp", socketapi.IP_RECVTTL, socketapi.IP_RECVTOS, socketapi.IP_PKTINFO),
	receivedRow("udp", socketapi.IPV6_RECVHOPLIMIT),
	receivedRow("udp", socketapi.IPV6_RECVTCLASS),
	receivedRow("udp", socketapi.IPV6_RECVPKTINFO),
	receivedRow("udp", socketapi.IP_PKTINFO, socketapi.IPV6_RECVPKTINFO),
	{name: "control sent: TTL", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp4", on(socketapi.IP_RECVTTL))
		for _, ttl := range []uint8{1, 77, 255} {
			p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlTTL, TTL: ttl})
		}
		p.carry(from, to, name, socketapi.Control{})
	}},
	{name: "control sent: TTL 0", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp4", on(socketapi.IP_RECVTTL))
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlTTL})
	}},
	{name: "control sent: hop limit", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp6", on(socketapi.IPV6_RECVHOPLIMIT))
		for _, hops := range []uint8{1, 77, 255} {
			p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlTTL, TTL: hops})
		}
		p.carry(from, to, name, socketapi.Control{})
	}},
	{name: "control sent: TOS", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp4", on(socketapi.IP_RECVTOS))
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlTOS, TOS: 0x28})
	}},
	{name: "control sent: traffic class", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp6", on(socketapi.IPV6_RECVTCLASS))
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlTOS, TOS: 0x28})
	}},
	{name: "control sent: IPv4 source", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp4", nil)
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlPacketInfo, Dst: a4.Addr()})
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlPacketInfo})
	}},
	{name: "control sent: IPv4 source that is not ours", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp4", nil)
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlPacketInfo, Dst: netip.MustParseAddr("192.0.2.77")})
	}},
	{name: "control sent: IPv6 source", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp6", nil)
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlPacketInfo, Dst: a6.Addr()})
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlPacketInfo})
	}},
	{name: "control sent: IPv6 source that is not ours", run: func(p *sockProbe) {
		from, to, name := p.udpPair("udp6", nil)
		p.carry(from, to, name, socketapi.Control{Has: socketapi.ControlPacketInfo, Dst: netip.MustParseAddr("2001:db8::77")})
	}},
	{name: "control of streams: what is left", run: func(p *sockProbe) {
		c, s := p.pair()
		p.see("%v", s.SetOption(socketapi.TCP_INQ, 1))
		p.sent(c, s, "0123456789")
		for range 2 {
			m := socketapi.Message{Buffers: [][]byte{make([]byte, 4)}}
			n, err := s.RecvMsg(&m, 0)
			p.see("recvmsg %d %v%s", n, err, controlText(m.Control))
		}
	}},
}

// cmsgsText is what ReadMsgUDP has put in oob: levels, types, lengths and values,
// without the numbers of NICs and the times.
func cmsgsText(oob []byte) string {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err.Error()
	}
	out := fmt.Sprint(len(oob), " bytes")
	for _, m := range msgs {
		data := fmt.Sprintf("%d", m.Data)
		switch key := [2]int32{m.Header.Level, m.Header.Type}; {
		case key == [2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO}:
			data = fmt.Sprintf("%d %d", len(m.Data), m.Data[min(4, len(m.Data)):])
		case key == [2]int32{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO} && len(m.Data) == 20:
			data = fmt.Sprintf("%d %v", m.Data[:16], binary.NativeEndian.Uint32(m.Data[16:]) != 0)
		case m.Header.Level == unix.SOL_SOCKET:
			data = fmt.Sprint(len(m.Data))
		}
		out += fmt.Sprintf(", %d %d %s", m.Header.Level, m.Header.Type, data)
	}
	return out
}

// readMsg sees one datagram with room for some control messages.
func (p *probe) readMsg(c udpConn, room, oobRoom int) (oob []byte) {
	p.Helper()
	oob = make([]byte, oobRoom)
	n, oobn, flags, _, err := c.ReadMsgUDPAddrPort(make([]byte, room), oob)
	p.see("room for %d: %d, flags %#x, %v: %s", oobRoom, n, flags, err, cmsgsText(oob[:oobn]))
	return oob[:oobn]
}

// oobOptions ask for everything, per kind of socket.
var oobOptions = map[string][]socketapi.Option{
	"udp4": {socketapi.IP_RECVTTL, socketapi.IP_RECVTOS, socketapi.IP_PKTINFO},
	"udp6": {socketapi.IPV6_RECVHOPLIMIT, socketapi.IPV6_RECVTCLASS, socketapi.IPV6_RECVPKTINFO},
	"udp": {
		socketapi.IP_RECVTTL, socketapi.IP_RECVTOS, socketapi.IP_PKTINFO,
		socketapi.IPV6_RECVHOPLIMIT, socketapi.IPV6_RECVTCLASS, socketapi.IPV6_RECVPKTINFO,
	},
}

// oobUDPs are a socket at a, and one at b that is asked for everything.
func (p *probe) oobUDPs(network string, options ...socketapi.Option) (a, b udpConn, to netip.AddrPort) {
	p.Helper()
	host := map[string]string{"udp4": "192.0.2.2:0", "udp6": "[2001:db8::2]:0"}[network]
	a, b = p.packet(p.a, network, ":0"), p.packet(p.b, network, host)
	for _, o := range options {
		p.must(p.b.SetOption(b, o, 1))
	}
	return a, b, addrPortOf(b.LocalAddr())
}

var oobRows = []row{
	{name: "ReadMsgUDP: one control message each", run: func(p *probe) {
		for _, network := range []string{"udp4", "udp6"} {
			for _, o := range oobOptions[network] {
				a, b, to := p.oobUDPs(network, o)
				_, err := a.WriteToUDPAddrPort([]byte("x"), to)
				p.must(err)
				p.see("%v", o)
				p.readMsg(b, 4, 100)
			}
		}
	}},
	{name: "ReadMsgUDP: all control messages, and too little room for them", run: func(p *probe) {
		for _, network := range []string{"udp4", "udp6"} {
			a, b, to := p.oobUDPs(network, oobOptions[network]...)
			for _, room := range []int{200, 0, 8, 15, 16, 17, 20, 24, 30, 40, 47, 48, 60, 72, 76, 80} {
				_, err := a.WriteToUDPAddrPort([]byte("xyz"), to)
				p.must(err)
				p.readMsg(b, 4, room)
			}
		}
	}},
	{name: "ReadMsgUDP: both families at one socket", run: func(p *probe) {
		for i := range 7 { // all options, and each alone
			options := oobOptions["udp"]
			if i < len(options) {
				options = options[i : i+1]
			}
			b := p.packet(p.b, "udp", fmt.Sprint(":", 1310+i))
			for _, o := range options {
				p.must(p.b.SetOption(b, o, 1))
			}
			p.see("%v", options)
			for _, to := range []netip.Prefix{b4, b6} {
				_, err := p.packet(p.a, "udp", ":0").WriteToUDPAddrPort([]byte("x"), at(to, uint16(1310+i)))
				p.must(err)
				p.readMsg(b, 4, 200)
			}
		}
	}},
	{name: "ReadMsgUDP: sent to many, an answer comes from one", run: func(p *probe) {
		u, err := p.b.ListenMulticast("udp4", "239.1.2.3:5006")
		p.must(err)
		defer u.Close()
		p.must(u.SetReadDeadline(time.Now().Add(20 * time.Second)))
		p.must(p.b.SetOption(u, socketapi.IP_PKTINFO, 1))
		a := p.packet(p.a, "udp4", "192.0.2.1:0")
		for _, to := range []string{"239.1.2.3:5006", "255.255.255.255:5006", "192.0.2.255:5006", "192.0.2.2:5006"} {
			_, err := a.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(to))
			p.must(err)
			oob := p.readMsg(u, 4, 100)
			n, oobn, err := u.WriteMsgUDPAddrPort([]byte("y"), oob, addrPortOf(a.LocalAddr()))
			p.see("answer: %d %d %v", n, oobn, err)
			p.see("%s", nextFrom(a, 10))
		}
	}},
	{name: "WriteMsgUDP: sources over both families", run: func(p *probe) {
		a := p.packet(p.a, "udp", ":0")
		four, six := p.packet(p.b, "udp4", "192.0.2.2:0"), p.packet(p.b, "udp6", "[2001:db8::2]:0")
		for _, c := range []struct {
			what string
			oob  []byte
			to   udpConn
		}{
			{"IPv4 in IPv4", cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, info4(0, a4.Addr())), four},
			{"IPv4 in IPv6", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6(0, a4.Addr())), four},
			{"IPv6 in IPv6", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6(0, a6.Addr())), six},
			{"none in IPv4", cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, info4(0, netip.Addr{})), four},
			{"none in IPv6", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6(0, netip.Addr{})), six},
			{"IPv4's foreign", cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, info4(0, netip.MustParseAddr("192.0.2.77"))), four},
			{"IPv6's foreign", cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6(0, netip.MustParseAddr("2001:db8::77"))), six},
		} {
			n, oobn, err := a.WriteMsgUDPAddrPort([]byte("x"), c.oob, addrPortOf(c.to.LocalAddr()))
			p.see("%s: %d %d %v", c.what, n, oobn, err)
			if err == nil {
				p.see("%s", nextFrom(c.to, 10))
			}
		}
	}},
	{name: "ReadMsgUDP: both are cut", run: func(p *probe) {
		a, b, to := p.oobUDPs("udp4", oobOptions["udp4"]...)
		_, err := a.WriteToUDPAddrPort([]byte("0123456789"), to)
		p.must(err)
		p.readMsg(b, 4, 24)
	}},
	{name: "ReadMsgUDP: SO_TIMESTAMP", run: func(p *probe) {
		a, b, to := p.oobUDPs("udp4", socketapi.SO_TIMESTAMP)
		_, err := a.WriteToUDPAddrPort([]byte("x"), to)
		p.must(err)
		p.readMsg(b, 4, 100)
	}},
	{name: "WriteMsgUDP: TTL and hop limit", run: func(p *probe) {
		for _, network := range []string{"udp4", "udp6"} {
			a, b, to := p.oobUDPs(network, oobOptions[network][0])
			level, kind := unix.IPPROTO_IP, unix.IP_TTL
			if network == "udp6" {
				level, kind = unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT
			}
			for _, hops := range []int{77, 255, 256, -1, -2} {
				n, oobn, err := a.WriteMsgUDPAddrPort([]byte("x"), cmsg(level, kind, word(hops)), to)
				p.see("%s %d: %d %d %v", network, hops, n, oobn, err)
				if err == nil {
					p.readMsg(b, 4, 100)
				}
			}
		}
	}},
	{name: "WriteMsgUDP: TOS and traffic class", run: func(p *probe) {
		for _, network := range []string{"udp4", "udp6"} {
			a, b, to := p.oobUDPs(network, oobOptions[network][1])
			level, kind := unix.IPPROTO_IP, unix.IP_TOS
			if network == "udp6" {
				level, kind = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
			}
			for _, tos := range []int{0x28, 255, 256, -1} {
				n, oobn, err := a.WriteMsgUDPAddrPort([]byte("x"), cmsg(level, kind, word(tos)), to)
				p.see("%s %d: %d %d %v", network, tos, n, oobn, err)
				if err == nil {
					p.readMsg(b, 4, 100)
				}
			}
		}
	}},
	{name: "WriteMsgUDP: what came with a datagram goes with the answer", run: func(p *probe) {
		for _, network := range []string{"udp4", "udp6"} {
			a, b, to := p.oobUDPs(network, oobOptions[network][2])
			_, err := a.WriteToUDPAddrPort([]byte("x"), to)
			p.must(err)
			oob := p.readMsg(b, 4, 100)
			n, oobn, err := b.WriteMsgUDPAddrPort([]byte("y"), oob, netip.AddrPortFrom(map[bool]netip.Addr{true: a4.Addr(), false: a6.Addr()}[network == "udp4"], addrPortOf(a.LocalAddr()).Port()))
			p.see("%s: %d %d %v", network, n, oobn, err)
		}
	}},
	{name: "WriteMsgUDP: malformed control messages", run: func(p *probe) {
		a, _, to := p.oobUDPs("udp4")
		ttl := cmsg(unix.IPPROTO_IP, unix.IP_TTL, word(9))
		long := append([]byte(nil), ttl...)
		binary.NativeEndian.PutUint64(long, 1000)
		short := append([]byte(nil), ttl...)
		binary.NativeEndian.PutUint64(short, 15)
		for _, c := range []struct {
			what string
			oob  []byte
		}{
			{"nothing", nil},
			{"longer than there is", long},
			{"shorter than a header", short},
			{"no room for a value", cmsg(unix.IPPROTO_IP, unix.IP_TTL, nil)},
			{"no such message", cmsg(unix.IPPROTO_IP, 200, word(1))},
			{"no such level", cmsg(200, 1, word(1))},
			{"one too many bytes", append(append([]byte(nil), ttl...), 1)},
			{"a second header alone", append(append([]byte(nil), ttl...), make([]byte, 16)...)},
		} {
			n, oobn, err := a.WriteMsgUDPAddrPort([]byte("x"), c.oob, to)
			p.see("%s: %d %d %v", c.what, n, oobn, err)
		}
	}},
}
