package cli

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// summary is a frame in one line, much as tcpdump -n prints it.
func summary(data []byte, length int) string {
	p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	src, dst, what := networkLine(p)
	switch {
	case what == "":
		return fmt.Sprintf("frame of %d bytes", length)
	case src == "":
		return what
	}
	if t, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		return fmt.Sprintf("%s %s > %s: %s", what, join(src, uint16(t.SrcPort)), join(dst, uint16(t.DstPort)), tcpLine(t))
	}
	if u, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
		return fmt.Sprintf("%s %s > %s: UDP, length %d", what, join(src, uint16(u.SrcPort)), join(dst, uint16(u.DstPort)), len(u.Payload))
	}
	text := "protocol " + strconv.Itoa(nextProtocol(p))
	if i, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		text = fmt.Sprintf("ICMP %v, id %d, seq %d", i.TypeCode, i.Id, i.Seq)
	}
	if i, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		text = fmt.Sprintf("ICMP6 %v", i.TypeCode)
	}
	return fmt.Sprintf("%s %s > %s: %s, length %d", what, src, dst, text, length)
}

func join(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// networkLine is both addresses and the protocol; of a frame that has none,
// what it is. what is "" for one that is not known.
func networkLine(p gopacket.Packet) (src, dst, what string) {
	switch {
	case p.Layer(layers.LayerTypeIPv4) != nil:
		ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		return ip.SrcIP.String(), ip.DstIP.String(), "IP"
	case p.Layer(layers.LayerTypeIPv6) != nil:
		ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		return ip.SrcIP.String(), ip.DstIP.String(), "IP6"
	case p.Layer(layers.LayerTypeARP) != nil:
		a := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		from, to := net.IP(a.SourceProtAddress), net.IP(a.DstProtAddress)
		if a.Operation == layers.ARPReply {
			return "", "", fmt.Sprintf("ARP, reply %v is-at %v", from, net.HardwareAddr(a.SourceHwAddress))
		}
		return "", "", fmt.Sprintf("ARP, request who-has %v tell %v", to, from)
	}
	if e, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet); ok {
		return "", "", fmt.Sprintf("%v > %v, %v", e.SrcMAC, e.DstMAC, e.EthernetType)
	}
	return "", "", ""
}

func nextProtocol(p gopacket.Packet) int {
	if ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		return int(ip.Protocol)
	}
	if ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ok {
		return int(ip.NextHeader)
	}
	return 0
}

// tcpLine is a TCP header as tcpdump has it.
func tcpLine(t *layers.TCP) string {
	var flags strings.Builder
	for _, f := range []struct {
		set  bool
		text string
	}{{t.FIN, "F"}, {t.SYN, "S"}, {t.RST, "R"}, {t.PSH, "P"}, {t.URG, "U"}, {t.ACK, "."}} {
		if f.set {
			flags.WriteString(f.text)
		}
	}
	line := "Flags [" + flags.String() + "]"
	if n := uint32(len(t.Payload)); n > 0 {
		line += fmt.Sprintf(", seq %d:%d", t.Seq, t.Seq+n)
	} else if t.SYN || t.FIN || t.RST {
		line += fmt.Sprintf(", seq %d", t.Seq)
	}
	if t.ACK {
		line += fmt.Sprintf(", ack %d", t.Ack)
	}
	return line + fmt.Sprintf(", win %d, length %d", t.Window, len(t.Payload))
}
