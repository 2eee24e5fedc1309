package filter

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// filters are held against tcpdump, each over all frames.
var filters = []string{
	"", "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6",
	"host 192.0.2.1", "src host 192.0.2.1", "dst 192.0.2.1", "src and dst host 192.0.2.1", "src or dst 10.1.2.3",
	"ip host 192.0.2.1", "arp host 192.0.2.1", "host fd00::1", "ip6 src host fd00::1", "not host 192.0.2.1",
	"net 192.0.2.0/24", "net 10", "net 192.0", "src net 10.0.0.0/8", "net 10.0.0.0 mask 255.0.0.0", "net fd00::/64", "dst net 192.0.2.0/25",
	"port 80", "tcp port 80", "udp port 53", "src port 80", "dst port 80", "src and dst port 80", "port 80 or 443", "tcp port 80 or udp port 53",
	"portrange 79-81", "tcp portrange 1-100", "src portrange 1000-2000", "not port 22",
	"tcp and not port 22", "(tcp or udp) and port 53", "tcp or udp and port 53", "tcp and (port 80 or 443) and not host 10.1.2.3",
	"ip proto 47", "ip proto \\tcp", "ip6 proto 58", "proto 17", "ether proto 0x806", "ether proto \\ip",
	"ether host 02:00:00:00:00:01", "ether src 02:00:00:00:00:01", "ether dst 02:00:00:00:00:02", "broadcast", "multicast",
	"less 60", "greater 100", "len > 80", "len = 60", "len <= 60 and tcp",
	"tcp[13] & 2 != 0", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] == tcp-syn", "ip[8] < 32", "ip[2:2] > 60", "ip[0] & 0xf != 5",
	"icmp[icmptype] = icmp-echo", "icmp[0] == 8", "icmp6[0] == 128", "ip6[6] == 6", "udp[4:2] > 8", "ether[0] & 1 = 0", "arp[6:2] == 1",
	"ip[6:2] & 0x1fff = 0", "tcp[2:2] = 80 or tcp[0:2] = 80", "not tcp[13] & 2 != 0", "!tcp && !udp || port 80",
	"1 + 2 * 3 == 7", "1 << 2 + 1 = 8", "7 & 3 = 3", "tcp[((tcp[12:1] & 0xf0) >> 2):1] = 0x47", "len - 14 > 100 and ip",
	"host 192.0.2.1 and (tcp port 80 or udp port 53)", "not (src host 192.0.2.1 or dst host 192.0.2.1)", "not not tcp",
	"src host 192.0.2.1 or dst host 10.1.2.3 and tcp",
}

// frames are all kinds of frames, whole and cut off.
func frames(t testing.TB) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	macs := [][]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {255, 255, 255, 255, 255, 255}, {1, 0, 0x5e, 0, 0, 1}}
	ip4 := [][]byte{{192, 0, 2, 1}, {192, 0, 2, 200}, {10, 1, 2, 3}, {192, 0, 3, 1}}
	ip6 := make([][]byte, 3)
	for i := range ip6 {
		ip6[i] = append([]byte{0xfd, 0, 0, 0, 0, 0, 0, byte(i / 2)}, 0, 0, 0, 0, 0, 0, 0, byte(1+i))
	}
	ports := []uint16{80, 443, 53, 22, 1234, 79, 1}
	pick := func(list [][]byte) []byte { return list[r.IntN(len(list))] }
	port := func() uint16 { return ports[r.IntN(len(ports))] }
	var out [][]byte
	for range 600 {
		eth := &layers.Ethernet{SrcMAC: pick(macs[:2]), DstMAC: pick(macs)}
		var stack []gopacket.SerializableLayer
		var net gopacket.NetworkLayer
		proto := []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP, layers.IPProtocolICMPv4, layers.IPProtocolICMPv6, layers.IPProtocolGRE}[r.IntN(5)]
		switch r.IntN(5) {
		case 0, 1:
			eth.EthernetType = layers.EthernetTypeIPv4
			ip := &layers.IPv4{Version: 4, TTL: uint8(r.IntN(64)), Protocol: proto, SrcIP: pick(ip4), DstIP: pick(ip4)}
			if r.IntN(6) == 0 {
				ip.FragOffset = 3
			}
			if r.IntN(6) == 0 {
				ip.Options = []layers.IPv4Option{{OptionType: 1, OptionLength: 1}}
			}
			net, stack = ip, append(stack, eth, ip)
		case 2, 3:
			eth.EthernetType = layers.EthernetTypeIPv6
			ip := &layers.IPv6{Version: 6, HopLimit: 3, NextHeader: proto, SrcIP: pick(ip6), DstIP: pick(ip6)}
			net, stack = ip, append(stack, eth, ip)
		default:
			eth.EthernetType = layers.EthernetTypeARP
			stack = append(stack, eth, &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4, Operation: uint16(1 + r.IntN(2)),
				SourceHwAddress: macs[0], SourceProtAddress: pick(ip4), DstHwAddress: macs[1], DstProtAddress: pick(ip4)})
		}
		if net != nil {
			switch proto {
			case layers.IPProtocolTCP:
				l := &layers.TCP{SrcPort: layers.TCPPort(port()), DstPort: layers.TCPPort(port()), SYN: r.IntN(2) == 0, FIN: r.IntN(3) == 0, ACK: true}
				_ = l.SetNetworkLayerForChecksum(net)
				stack = append(stack, l)
			case layers.IPProtocolUDP:
				l := &layers.UDP{SrcPort: layers.UDPPort(port()), DstPort: layers.UDPPort(port())}
				_ = l.SetNetworkLayerForChecksum(net)
				stack = append(stack, l)
			case layers.IPProtocolICMPv4:
				stack = append(stack, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode([]uint8{8, 0, 3}[r.IntN(3)], 0)})
			case layers.IPProtocolICMPv6:
				l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode([]uint8{128, 135}[r.IntN(2)], 0)}
				_ = l.SetNetworkLayerForChecksum(net)
				stack = append(stack, l)
			default:
			}
			stack = append(stack, gopacket.Payload("GET / "+strings.Repeat("x", r.IntN(100))))
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, stack...); err != nil {
			t.Fatal(err)
		}
		f := bytes.Clone(b.Bytes())
		if r.IntN(5) == 0 {
			f = f[:14+r.IntN(len(f)-14)]
		}
		out = append(out, f)
	}
	// A fragment header before TCP, which libpcap looks behind for protocols.
	f := bytes.Clone(out[0][:0])
	f = append(append(f, macs[1]...), macs[0]...)
	f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 28, 44, 9)
	f = append(append(append(f, ip6[0]...), ip6[1]...), 6, 0, 0, 0, 0, 0, 0, 1)
	return append(out, append(f, make([]byte, 20)...))
}

// TestAgainstTcpdump: every filter takes the frames that tcpdump takes. A
// frame's number is its time.
func TestAgainstTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatalf("TAPSTACK_REQUIRE_TOOLS=1, but: %v", err)
		}
		t.Skip(err)
	}
	all := frames(t)
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(ci, f); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range filters {
		cmd := exec.CommandContext(t.Context(), tcpdump, "-r", "-", "-w", "-", text)
		cmd.Stdin = bytes.NewReader(file.Bytes())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%q: tcpdump: %v %s", text, err, &stderr)
			continue
		}
		taken := make(map[int]bool)
		for b := out[24:]; len(b) >= 16; b = b[16+binary.LittleEndian.Uint32(b[8:]):] {
			taken[int(binary.LittleEndian.Uint32(b))] = true
		}
		f, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		wrong, example := 0, ""
		for i, data := range all {
			if got := f.Match(data); got != taken[i] {
				wrong++
				example = strconv.FormatBool(got) + " for " + gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default).String()
			}
		}
		if wrong > 0 {
			t.Errorf("%q: %d of %d frames differ; %s", text, wrong, len(all), example)
		}
		if text != "" && !strings.Contains(text, "==") && len(taken) == 0 {
			t.Errorf("%q takes nothing: a poor test", text)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"foo", `at 1: "foo" is neither a word of the filter language nor an address`},
		{"tcp and", "at the end: want"},
		{"tcp or or udp", `at 8: "or": want`},
		{"(tcp", `at the end: want ")"`},
		{"tcp)", `at 4: ")": want "and", "or" or the end`},
		{"host", "at the end: want what to look for"},
		{"port http:80", "is no port"},
		{"port 70000", `"70000" is no port`},
		{"portrange 5-", `want "and"`},
		{"tcp host 1.2.3.4", `"tcp" does not go with host`},
		{"arp port 5", `"arp" does not go with port`},
		{"ip6 host 1.2.3.4", `"ip6" does not go with host`},
		{"net 10.1.2.3/8", "has bits beyond its prefix: write 10.0.0.0/8"},
		{"net 10.0.0.0/33", "is no network"},
		{"net 10.0.0.0 mask 255.0.255.0", "has holes"},
		{"vlan 5", "neither a word"},
		{"inbound", "neither a word"},
		{"ether host 1.2.3.4", "is no Ethernet address"},
		{"tcp[13", `want "]"`},
		{"tcp[13] &", "want a number"},
		{"tcp[13] & 2", "want a comparison"},
		{"tcp[13:3] = 1", "want 1, 2 or 4 bytes"},
		{"foo[1] = 1", "want a number"},
		{"ip proto foo", `"foo" is no protocol`},
		{"tcp $ udp", `at 5: unexpected character '$'`},
		{"less many", "want a number of bytes"},
		{strings.Repeat("(", 60) + "tcp" + strings.Repeat(")", 60), "nested too deeply"},
		{strings.Repeat("not ", 60) + "tcp", "nested too deeply"},
		{strings.Repeat("tcp or ", 400) + "udp", "longer than 2048 bytes"},
	} {
		f, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, %v; want %s", c.text, f, err, c.want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	all := frames(f)
	for _, text := range filters {
		f.Add(text, all[0])
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		p, err := Parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("%q: more than a line: %v", text, err)
			}
			return
		}
		p.Match(data)
		for i := range min(len(data), 80) {
			p.Match(data[:i])
		}
	})
}
