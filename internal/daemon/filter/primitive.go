package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// qualifiers are the words before an ID.
type qualifiers struct {
	proto, dir, kind string
}

var (
	protocols  = []string{"ether", "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6"}
	kinds      = []string{"host", "net", "port", "portrange", "proto"}
	directions = []string{"src", "dst"}
)

// alone are the primitives of one word.
var alone = map[string]test{
	"ip":    func(f *frame) bool { return f.at(12, 2) == etherIP4 },
	"ip6":   func(f *frame) bool { return f.at(12, 2) == etherIP6 },
	"arp":   func(f *frame) bool { return f.at(12, 2) == etherARP },
	"tcp":   func(f *frame) bool { return f.isIP(true, true, protoTCP) },
	"udp":   func(f *frame) bool { return f.isIP(true, true, protoUDP) },
	"icmp":  func(f *frame) bool { return f.isIP(true, false, protoICMP) },
	"icmp6": func(f *frame) bool { return f.isIP(false, true, protoICMP6) },
}

// primitive is qualifiers and an ID, or one of the words that stand alone.
func (p *parser) primitive() (test, error) {
	start := p.i
	switch {
	case p.take("less"):
		return p.length(func(have, n int) bool { return have <= n })
	case p.take("greater"):
		return p.length(func(have, n int) bool { return have >= n })
	case p.take("broadcast"):
		return macTest("dst", []byte{255, 255, 255, 255, 255, 255}), nil
	case p.take("multicast"):
		return func(f *frame) bool { return f.at(0, 1)&1 != 0 }, nil
	}
	q := p.qualifiers()
	if q == (qualifiers{}) {
		q = p.last // "port 80 or 443"
		if q == (qualifiers{}) {
			q.kind = "host"
		}
	} else if p.atEndOfTerm() {
		if t := alone[q.proto]; t != nil && q.dir == "" && q.kind == "" {
			p.last = qualifiers{}
			return t, nil
		}
		return nil, p.unexpected("what to look for")
	}
	if q.kind == "" {
		q.kind = "host"
	}
	id := p.peek()
	if id.kind != tokenWord || slices.Contains([]string{"and", "or", "not"}, id.text) {
		return nil, p.unexpected("an address, a network, a port or a protocol")
	}
	p.next()
	p.last = q
	t, err := p.identify(q, id.text)
	if err != nil {
		return nil, fmt.Errorf("at %d: %w", p.tokens[start].at+1, err)
	}
	return t, nil
}

func (p *parser) length(holds func(have, n int) bool) (test, error) {
	n, ok := parseNumber(p.peek().text)
	if !ok {
		return nil, p.unexpected("a number of bytes")
	}
	p.next()
	p.last = qualifiers{}
	return func(f *frame) bool { return holds(len(f.data), int(n)) }, nil
}

// atEndOfTerm reports whether nothing is left to look for.
func (p *parser) atEndOfTerm() bool {
	t := p.peek()
	return t.kind == tokenEnd || slices.Contains([]string{")", "and", "or", "&&", "||"}, t.text)
}

// qualifiers takes the words before an ID.
func (p *parser) qualifiers() (q qualifiers) {
	if t := p.peek(); slices.Contains(protocols, t.text) {
		q.proto = p.next().text
	}
	if slices.Contains(directions, p.peek().text) {
		q.dir = p.next().text
		// "src or dst", not the "or" of what comes next
		if join := p.peek().text; join == "or" || join == "and" {
			if after := p.tokens[p.i+1].text; slices.Contains(directions, after) && after != q.dir {
				p.next()
				p.next()
				q.dir = join
			}
		}
	}
	if slices.Contains(kinds, p.peek().text) {
		q.kind = p.next().text
	}
	return q
}

// identify is the test for an ID with its qualifiers.
func (p *parser) identify(q qualifiers, id string) (test, error) {
	if q.proto == "ether" && q.kind == "host" {
		mac, err := net.ParseMAC(id)
		if err != nil || len(mac) != 6 {
			return nil, fmt.Errorf("%q is no Ethernet address", id)
		}
		return macTest(q.dir, mac), nil
	}
	switch q.kind {
	case "host":
		a, err := netip.ParseAddr(id)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("%q is neither a word of the filter language nor an address (names are not looked up)", id)
		}
		return addressTest(q, netip.PrefixFrom(a, a.BitLen()))
	case "net":
		n, err := p.network(id)
		if err != nil {
			return nil, err
		}
		return addressTest(q, n)
	case "port", "portrange":
		return portTest(q, id)
	default:
		return protoTest(q, id)
	}
}

// network reads "10.0.0.0/8", "10.0.0.0 mask 255.0.0.0", "192.168" and a bare
// address.
func (p *parser) network(id string) (netip.Prefix, error) {
	none := netip.Prefix{}
	text, length, slash := strings.Cut(id, "/")
	bits := -1
	if !strings.Contains(text, ":") {
		for bits = 8 * (strings.Count(text, ".") + 1); strings.Count(text, ".") < 3; {
			text += ".0"
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return none, fmt.Errorf("%q is no network such as 10.0.0.0/8", id)
	}
	if bits < 0 {
		bits = a.BitLen()
	}
	if slash {
		if bits, err = strconv.Atoi(length); err != nil {
			return none, fmt.Errorf("%q is no network such as 10.0.0.0/8", id)
		}
	} else if p.take("mask") {
		m, err := netip.ParseAddr(p.peek().text)
		if err != nil || !m.Is4() || !a.Is4() {
			return none, p.unexpected("a mask such as 255.0.0.0")
		}
		p.next()
		ones, size := net.IPMask(m.AsSlice()).Size()
		if size == 0 {
			return none, fmt.Errorf("mask %v has holes: they are not supported", m)
		}
		bits = ones
	}
	n := netip.PrefixFrom(a, bits)
	if !n.IsValid() {
		return none, fmt.Errorf("%q is no network such as 10.0.0.0/8", id)
	}
	if n != n.Masked() {
		return none, fmt.Errorf("%v has bits beyond its prefix: write %v", n, n.Masked())
	}
	return n, nil
}

// directed joins a test of the source and one of the destination.
func directed(dir string, src, dst test) test {
	switch dir {
	case "src":
		return src
	case "dst":
		return dst
	case "and":
		return both(src, dst)
	default:
		return either(src, dst)
	}
}

func macTest(dir string, mac []byte) test {
	at := func(offset int) test {
		return func(f *frame) bool {
			f.at(offset+2, 4) // is it there?
			return !f.short && bytes.Equal(f.data[offset:offset+6], mac)
		}
	}
	return directed(dir, at(6), at(0))
}

// addressTest is about the addresses of IP and, for IPv4, of ARP.
func addressTest(q qualifiers, n netip.Prefix) (test, error) {
	within := func(etherType, src, dst int) test {
		at := func(offset int) test {
			return func(f *frame) bool {
				return f.within(offset, n)
			}
		}
		return both(func(f *frame) bool { return f.etherType() == etherType }, directed(q.dir, at(src), at(dst)))
	}
	ip6 := n.Addr().Is6()
	switch {
	case ip6 && (q.proto == "" || q.proto == "ip6"):
		return within(etherIP6, etherLen+8, etherLen+24), nil
	case !ip6 && q.proto == "":
		return either(within(etherIP4, etherLen+12, etherLen+16), within(etherARP, etherLen+14, etherLen+24)), nil
	case !ip6 && q.proto == "ip":
		return within(etherIP4, etherLen+12, etherLen+16), nil
	case !ip6 && q.proto == "arp":
		return within(etherARP, etherLen+14, etherLen+24), nil
	}
	return nil, fmt.Errorf("%q does not go with %s %v", q.proto, q.kind, n)
}

// within reports whether the address at an offset is in a prefix. It looks at
// the words that the prefix reaches into.
func (f *frame) within(offset int, n netip.Prefix) bool {
	want := n.Addr().AsSlice()
	for bits := n.Bits(); bits > 0; bits -= 32 {
		mask := ^uint32(0)
		if bits < 32 {
			mask <<= 32 - bits
		}
		if f.at(offset, 4)&mask != binary.BigEndian.Uint32(want) {
			return false
		}
		offset, want = offset+4, want[4:]
	}
	return true
}

// portTest is about the ports of TCP, UDP and SCTP.
func portTest(q qualifiers, id string) (test, error) {
	var over []int
	switch q.proto {
	case "":
		over = []int{protoTCP, protoUDP, protoSCTP}
	case "tcp":
		over = []int{protoTCP}
	case "udp":
		over = []int{protoUDP}
	default:
		return nil, fmt.Errorf("%q does not go with %s", q.proto, q.kind)
	}
	first, last := id, id
	if a, b, ok := strings.Cut(id, "-"); ok && q.kind == "portrange" {
		first, last = a, b
	}
	low, err := lookupPort(q.proto, first)
	if err != nil {
		return nil, err
	}
	high, err := lookupPort(q.proto, last)
	if err != nil {
		return nil, err
	}
	low, high = min(low, high), max(low, high)
	at := func(offset int) test {
		return func(f *frame) bool {
			base, ok := f.transport(true, over...)
			if !ok {
				return false
			}
			v := f.at(base+offset, 2)
			return low <= v && v <= high
		}
	}
	return directed(q.dir, at(0), at(2)), nil
}

func lookupPort(network, text string) (uint32, error) {
	if network == "" {
		network = "tcp"
	}
	n, err := net.LookupPort(network, text)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return uint32(n), nil
}

// protoTest is "ip proto 47", "ether proto 0x806".
func protoTest(q qualifiers, id string) (test, error) {
	if q.dir != "" {
		return nil, fmt.Errorf("%q does not go with proto", q.dir)
	}
	n, ok := parseNumber(id)
	if !ok {
		known := map[string]uint32{"icmp": protoICMP, "tcp": protoTCP, "udp": protoUDP, "icmp6": protoICMP6}
		if q.proto == "ether" {
			known = map[string]uint32{"ip": etherIP4, "ip6": etherIP6, "arp": etherARP}
		}
		if n, ok = known[id]; !ok {
			return nil, fmt.Errorf("%q is no protocol", id)
		}
	}
	switch q.proto {
	case "ether":
		return func(f *frame) bool { return f.at(12, 2) == n }, nil
	case "", "ip", "ip6":
		return func(f *frame) bool { return f.isIP(q.proto != "ip6", q.proto != "ip", int(n)) }, nil
	}
	return nil, fmt.Errorf("%q does not go with proto", q.proto)
}
