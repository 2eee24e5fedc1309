package drill

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
	"tapstack/tap"
)

// seconds writes a time as scripts do.
func seconds(d time.Duration) string {
	s := fmt.Sprintf("%.6f", d.Seconds())
	return strings.TrimSuffix(s, "000")
}

// describe writes a packet that came as the script would, with the script's
// numbers. f may be nil.
func describe(f *flow, p *packet, like *script.Packet) string {
	out := &script.Packet{Outbound: true}
	if like != nil {
		out.Outbound, out.Conn = like.Outbound, like.Conn
		if like.IP != nil {
			out.IP = describeIP(like.IP, p)
		}
	}
	if f == nil {
		f = &flow{}
	}
	switch {
	case p.tcp != nil:
		out.Body = describeTCP(f, p.tcp)
	case p.udp != nil:
		out.Body = &script.UDP{Len: exact(len(p.udp.data))}
	case p.isNDP():
		out.Body = describeNDP(p)
	case p.icmp != nil:
		return "> " + describeICMP(p)
	case p.isARP():
		out.Body = describeARP(p)
	default:
		return "> frame " + hex.EncodeToString(p.frame[:min(len(p.frame), 60)])
	}
	text := script.Format(out)
	if p.bad != "" {
		text += "  // " + p.bad
	}
	return text
}

func exact[T int | uint8 | uint16 | uint32](n T) script.Value {
	return script.Value{Kind: script.Exact, Lo: uint32(n), Hi: uint32(n)}
}

func describeIP(like *script.IPInfo, p *packet) *script.IPInfo {
	i := &script.IPInfo{}
	if like.ECN != script.ECNUnset {
		i.ECN = script.ECN(p.tos&3) + script.ECNNone
	}
	for _, f := range []struct {
		like script.Value
		to   *script.Value
		v    uint32
	}{
		{like.TOS, &i.TOS, uint32(p.tos)}, {like.TTL, &i.TTL, uint32(p.ttl)},
		{like.FlowLabel, &i.FlowLabel, p.flowLabel}, {like.ID, &i.ID, uint32(p.id)},
	} {
		if f.like.IsSet() {
			*f.to = exact(f.v)
		}
	}
	i.DF = like.DF && p.df
	return i
}

func describeTCP(f *flow, s *segment) *script.TCP {
	seq := s.seq - f.localISN
	t := &script.TCP{
		Flags: s.flags, Seq: exact(seq), End: exact(seq + uint32(len(s.data))), Len: exact(len(s.data)),
		Win: exact(s.win),
	}
	if s.flags&script.ACK != 0 {
		t.Ack = exact(s.ack - f.remoteISN)
	}
	if s.flags&script.URG != 0 {
		t.Urg = exact(s.urg)
	}
	for _, o := range parseOptions(s.options) {
		t.Options = append(t.Options, optionNode(f, o))
	}
	return t
}

func optionNode(f *flow, o option) script.TCPOption {
	be := binary.BigEndian
	switch {
	case o.kind == kindEOL:
		return &script.EOL{}
	case o.kind == kindNOP:
		return &script.NOP{}
	case o.kind == kindMSS && len(o.data) == 2:
		return &script.MSS{Size: exact(be.Uint16(o.data))}
	case o.kind == kindScale && len(o.data) == 1:
		return &script.WindowScale{Shift: exact(o.data[0])}
	case o.kind == kindSackOK && len(o.data) == 0:
		return &script.SACKPermitted{}
	case o.kind == kindTimestamp && len(o.data) == 8:
		return &script.Timestamp{Val: exact(be.Uint32(o.data)), Ecr: exact(be.Uint32(o.data[4:]))}
	case o.kind == kindSACK && len(o.data)%8 == 0:
		s := &script.SACK{}
		for b := o.data; len(b) > 0; b = b[8:] {
			s.Blocks = append(s.Blocks, script.SACKBlock{
				Start: exact(be.Uint32(b) - f.remoteISN), End: exact(be.Uint32(b[4:]) - f.remoteISN),
			})
		}
		return s
	default:
		return &script.OtherOption{Kind: exact(o.kind), Data: o.data}
	}
}

func describeOption(f *flow, o option) string { return script.Format(optionNode(f, o)) }

func describeICMP(p *packet) string {
	be := binary.BigEndian
	return fmt.Sprintf("icmp type_%d code_%d id %d seq %d (%d)", p.icmp[0], p.icmp[1], be.Uint16(p.icmp[4:]), be.Uint16(p.icmp[6:]), len(p.icmp)-8)
}

func describeARP(p *packet) *script.ARP {
	b := header.ARP(p.frame[tap.EthernetHeaderLen:])
	sender, _ := netip.AddrFromSlice(b.ProtocolAddressSender())
	target, _ := netip.AddrFromSlice(b.ProtocolAddressTarget())
	if b.Op() != header.ARPReply {
		return &script.ARP{Target: target, Tell: sender}
	}
	mac := script.MAC(b.HardwareAddressSender())
	return &script.ARP{Reply: true, Target: sender, MAC: &mac}
}

func describeNDP(p *packet) *script.NDP {
	b := p.icmp
	n := &script.NDP{Advert: b[0] == ndpAdvert, Target: netip.AddrFrom16([16]byte(b[8:ndpLen])), From: p.src}
	if n.Advert {
		n.Router, n.Solicited, n.Override = b[4]&ndpRouter != 0, b[4]&ndpSolicited != 0, b[4]&ndpOverride != 0
	}
	if opt := b[ndpLen:]; len(opt) >= 8 {
		mac := script.MAC(opt[2:8])
		n.MAC = &mac
	}
	return n
}
