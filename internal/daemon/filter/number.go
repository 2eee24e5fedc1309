package filter

import (
	"fmt"
	"strconv"
)

// operators by how tightly they bind, loosest first, as libpcap has them.
var operators = [][]string{{"|", "&", "^"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}}

// compute is what an operator does. What cannot be divided is too short, which
// is what BPF makes of it: no match.
func compute(op string, f *frame, a, b uint32) uint32 {
	switch op {
	case "|":
		return a | b
	case "&":
		return a & b
	case "^":
		return a ^ b
	case "<<":
		return a << b
	case ">>":
		return a >> b
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	}
	if b == 0 {
		f.short = true
		return 0
	}
	if op == "/" {
		return a / b
	}
	return a % b
}

// arithmetic is a number, of operators that bind at least as tightly as level.
func (p *parser) arithmetic(level int) (number, error) {
	if level == len(operators) {
		return p.operand()
	}
	left, err := p.arithmetic(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		op := p.peek().text
		if !p.take(operators[level]...) {
			return left, nil
		}
		right, err := p.arithmetic(level + 1)
		if err != nil {
			return nil, err
		}
		a := left
		left = func(f *frame) uint32 { x := a(f); return compute(op, f, x, right(f)) }
	}
}

// parseNumber reads a number as C writes it.
func parseNumber(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 0, 32)
	return uint32(n), err == nil
}

// constants are the names that pcap-filter(7) has for offsets and values.
var constants = map[string]*uint32{}

func init() {
	for name, v := range map[string]uint32{
		"tcpflags": 13, "icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1,
		"tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
		"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
		"icmp-timxceed": 11, "icmp-paramprob": 12,
		"icmp6-destinationrunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-echo": 128, "icmp6-echoreply": 129,
		"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136,
	} {
		constants[name] = &v
	}
}

// operand is a number, a name of one, the frame's length, part of a header, or
// any of them in parentheses.
func (p *parser) operand() (number, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("at %d: nested too deeply", p.peek().at+1)
	}
	defer func() { p.depth-- }()
	if p.take("(") {
		n, err := p.arithmetic(0)
		if err == nil && !p.take(")") {
			err = p.unexpected("\")\"")
		}
		return n, err
	}
	if p.peek().kind != tokenWord {
		return nil, p.unexpected("a number")
	}
	word := p.next().text
	if n, ok := parseNumber(word); ok {
		return func(*frame) uint32 { return n }, nil
	}
	if c := constants[word]; c != nil {
		return func(*frame) uint32 { return *c }, nil
	}
	if word == "len" {
		return func(f *frame) uint32 { return uint32(len(f.data)) }, nil
	}
	if base := headers[word]; base != nil && p.take("[") {
		return p.part(base)
	}
	p.i--
	return nil, p.unexpected("a number, \"len\", or part of a header such as tcp[13]")
}

// headers are where the headers that can be looked into begin; ok is false for
// frames that have none. Over IPv6 libpcap looks into ICMP's alone.
var headers = map[string]func(*frame) (base int, ok bool){
	"ether": func(*frame) (int, bool) { return 0, true },
	"ip":    func(f *frame) (int, bool) { return etherLen, f.etherType() == etherIP4 },
	"ip6":   func(f *frame) (int, bool) { return etherLen, f.etherType() == etherIP6 },
	"arp":   func(f *frame) (int, bool) { return etherLen, f.etherType() == etherARP },
	"tcp":   transport4(protoTCP),
	"udp":   transport4(protoUDP),
	"icmp":  transport4(protoICMP),
	"icmp6": func(f *frame) (int, bool) {
		return etherLen + ip6Len, f.etherType() == etherIP6 && f.at(etherLen+6, 1) == protoICMP6
	},
}

func transport4(protocol int) func(*frame) (int, bool) {
	return func(f *frame) (int, bool) { return f.transport(false, protocol) }
}

// part is what stands in brackets behind a header's name: offset, or
// offset:size.
func (p *parser) part(base func(*frame) (int, bool)) (number, error) {
	offset, err := p.arithmetic(0)
	if err != nil {
		return nil, err
	}
	size := 1
	if p.take(":") {
		n, ok := parseNumber(p.peek().text)
		if !ok || n != 1 && n != 2 && n != 4 {
			return nil, p.unexpected("1, 2 or 4 bytes")
		}
		p.next()
		size = int(n)
	}
	if !p.take("]") {
		return nil, p.unexpected("\"]\"")
	}
	return func(f *frame) uint32 {
		start, ok := base(f)
		if !ok {
			f.absent = true
			return 0
		}
		return f.at(start+int(offset(f)), size)
	}, nil
}
