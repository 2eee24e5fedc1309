package drill

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill/script"
	"tapstack/tap"
)

// Ethernet, ARP (RFC 826) and neighbour discovery (RFC 4861): to be sent, and
// to be compared.

// outer is what stands in front of a packet: an Ethernet header, and whether
// there is more.
func outer(pk *script.Packet) (eth *script.EthernetHeader, inner bool) {
	for i, h := range pk.Outer {
		if e, ok := h.(*script.EthernetHeader); ok && i == 0 {
			eth = e
		} else {
			inner = true
		}
	}
	return eth, inner
}

func (d *differ) ethernet(pk *script.Packet, p *packet) {
	eth, _ := outer(pk)
	if eth == nil {
		return
	}
	if dst := script.MAC(p.frame[:6]); dst != eth.Dst {
		d.add("to %s, want %s", dst, eth.Dst)
	}
	if src := script.MAC(p.frame[6:12]); src != eth.Src {
		d.add("from %s, want %s", src, eth.Src)
	}
}

var broadcast = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// linkFrame is an Ethernet frame from the script's end.
func linkFrame(dst []byte, etherType uint16, payload []byte) []byte {
	b := make([]byte, tap.EthernetHeaderLen, tap.EthernetHeaderLen+len(payload))
	copy(b, dst)
	copy(b[6:], peerMAC)
	binary.BigEndian.PutUint16(b[12:], etherType)
	return append(b, payload...)
}

func macOr(m *script.MAC) []byte {
	if m == nil {
		return peerMAC
	}
	return m[:]
}

func (r *run) arp(h *host, a *script.ARP) []byte {
	b := header.ARP(make([]byte, header.ARPSize))
	b.SetIPv4OverEthernet()
	if a.Reply {
		b.SetOp(header.ARPReply)
		copy(b.HardwareAddressSender(), macOr(a.MAC))
		copy(b.ProtocolAddressSender(), a.Target.AsSlice())
		copy(b.HardwareAddressTarget(), h.mac)
		copy(b.ProtocolAddressTarget(), h.local.AsSlice())
		return linkFrame(h.mac, etherARP, b)
	}
	b.SetOp(header.ARPRequest)
	copy(b.HardwareAddressSender(), peerMAC)
	copy(b.ProtocolAddressSender(), a.Tell.AsSlice())
	copy(b.ProtocolAddressTarget(), a.Target.AsSlice())
	return linkFrame(broadcast, etherARP, b)
}

// isARP reports whether a frame is an ARP packet of Ethernet's and IPv4's.
func (p *packet) isARP() bool {
	return p.etherType == etherARP && header.ARP(p.frame[tap.EthernetHeaderLen:]).IsValid()
}

func (d *differ) arp(want *script.ARP, p *packet) {
	b := header.ARP(p.frame[tap.EthernetHeaderLen:])
	if !b.IsValid() {
		d.add("malformed ARP")
		return
	}
	if reply := b.Op() == header.ARPReply; reply != want.Reply {
		d.add("reply %v, want %v", reply, want.Reply)
		return
	}
	target := b.ProtocolAddressTarget()
	if want.Reply {
		target = b.ProtocolAddressSender()
		if mac := script.MAC(b.HardwareAddressSender()); want.MAC != nil && mac != *want.MAC {
			d.add("is-at %s, want %s", mac, *want.MAC)
		}
	} else if tell, _ := netip.AddrFromSlice(b.ProtocolAddressSender()); tell != want.Tell {
		d.add("tell %s, want %s", tell, want.Tell)
	}
	if a, _ := netip.AddrFromSlice(target); a != want.Target {
		d.add("of %s, want %s", a, want.Target)
	}
}

// Types and options of ICMPv6 neighbour discovery.
const (
	ndpSolicit, ndpAdvert              = 135, 136
	ndpLen                             = 24
	ndpSourceLink, ndpTargetLink       = 1, 2
	ndpRouter, ndpSolicited            = 0x80, 0x40
	ndpOverride                        = 0x20
	ndpHops                      uint8 = 255
)

// isNDP reports whether a packet is a solicitation or an advertisement of a
// neighbour.
func (p *packet) isNDP() bool {
	return p.v6 && len(p.icmp) >= ndpLen && (p.icmp[0] == ndpSolicit || p.icmp[0] == ndpAdvert)
}

func (r *run) ndp(h *host, n *script.NDP) []byte {
	b := make([]byte, ndpLen, ndpLen+8)
	b[0] = ndpSolicit
	option := byte(ndpSourceLink)
	a := addrs{src: h.remote, dst: h.local}
	dst := []byte(h.mac)
	if n.Advert {
		b[0], option = ndpAdvert, ndpTargetLink
		a.src = n.Target
		b[4] = byte(b2i(n.Router)*ndpRouter | b2i(n.Solicited)*ndpSolicited | b2i(n.Override)*ndpOverride)
	} else {
		a.dst = solicited(n.Target)
		ip := a.dst.As16()
		dst = append([]byte{0x33, 0x33}, ip[12:]...)
	}
	if n.From.IsValid() {
		a.src = n.From
	}
	copy(b[8:], n.Target.AsSlice())
	b = append(append(b, option, 1), macOr(n.MAC)...)
	binary.BigEndian.PutUint16(b[2:], ^checksum(b, pseudo(a.src, a.dst, protoICMPv6, len(b))))
	ttl := script.Value{Kind: script.Exact, Lo: uint32(ndpHops)}
	return linkFrame(dst, etherIPv6, r.ipPacket(a, protoICMPv6, &script.IPInfo{TTL: ttl}, b))
}

// solicited is the solicited-node multicast address (RFC 4291, 2.7.1).
func solicited(a netip.Addr) netip.Addr {
	b := netip.MustParseAddr("ff02::1:ff00:0").As16()
	t := a.As16()
	copy(b[13:], t[13:])
	return netip.AddrFrom16(b)
}

func (d *differ) ndp(want *script.NDP, p *packet) {
	b := p.icmp
	if advert := b[0] == ndpAdvert; advert != want.Advert {
		d.add("advertisement %v, want %v", advert, want.Advert)
		return
	}
	if target := netip.AddrFrom16([16]byte(b[8:ndpLen])); target != want.Target {
		d.add("of %s, want %s", target, want.Target)
	}
	if p.ttl != ndpHops {
		d.add("ttl %d, want %d", p.ttl, ndpHops)
	}
	if want.From.IsValid() && p.src != want.From {
		d.add("from %s, want %s", p.src, want.From)
	}
	if opt := b[ndpLen:]; want.MAC != nil && (len(opt) < 8 || script.MAC(opt[2:8]) != *want.MAC) {
		d.add("link-layer address option %s, want %s", hex.EncodeToString(opt), *want.MAC)
	}
	if want.Advert {
		flags := byte(b2i(want.Router)*ndpRouter | b2i(want.Solicited)*ndpSolicited | b2i(want.Override)*ndpOverride)
		if b[4]&(ndpRouter|ndpSolicited|ndpOverride) != flags {
			d.add("flags %#x, want %#x", b[4], flags)
		}
	}
}

func (d *differ) raw(want *script.Raw, p *packet) {
	got := p.frame
	if len(got) < len(want.Data) || !want.More && len(got) != len(want.Data) {
		d.add("%d bytes, want %d", len(got), len(want.Data))
		return
	}
	for i, b := range want.Data {
		if !want.Wild[i] && got[i] != b {
			d.add("byte %d is %02x, want %02x", i, got[i], b)
			return
		}
	}
}
