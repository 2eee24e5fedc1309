// Package filter says which Ethernet frames to capture, in the language of
// pcap-filter(7), as far as this goes:
//
//	[ether|ip|ip6|arp|tcp|udp] [src|dst|src or dst|src and dst] host|net|port|portrange ID
//	ip ip6 arp tcp udp icmp icmp6    ip proto N    ether proto N    broadcast multicast
//	less N    greater N    tcp[13] & 2 != 0    len > 100
//	and or not ( )    && || !
//
// Addresses are numbers; ports may have names. What it does not know (vlan,
// gateway, inbound, ...) it refuses: nothing is taken for something else. On
// what it knows a test holds it against tcpdump, frame by frame.
//
//	Parse -> lexer -> parser -> Filter.Match
//
// It has no goroutine. A Filter is safe for concurrent use.
package filter

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Limits of a filter.
const (
	maxText  = 2048 // bytes
	maxDepth = 50   // parentheses and negations inside each other
)

// Filter is a parsed filter.
type Filter struct {
	match test // nil is all
}

// test looks at a frame; number computes something from one.
type (
	test   func(*frame) bool
	number func(*frame) uint32
)

// All reports whether every frame matches.
func (f *Filter) All() bool { return f.match == nil }

// Match reports whether a frame matches; as with BPF, one that is too short
// for what the filter looks at does not. It keeps no reference.
func (f *Filter) Match(data []byte) bool {
	if f.match == nil {
		return true
	}
	fr := frame{data: data}
	return f.match(&fr) && !fr.short
}

// Parse reads a filter; the empty one matches all. The error is one line, with
// the place where it is wrong.
func Parse(text string) (*Filter, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("longer than %d bytes", maxText)
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 1 {
		return &Filter{}, nil
	}
	p := &parser{tokens: tokens}
	match, err := p.expression()
	if err == nil && p.peek().kind != tokenEnd {
		err = p.unexpected("\"and\", \"or\" or the end")
	}
	if err != nil {
		return nil, err
	}
	return &Filter{match}, nil
}

// frame is an Ethernet frame that is being looked at.
type frame struct {
	data   []byte
	short  bool // something was looked for behind its end
	absent bool // or in a header that it has not
}

// Numbers of Ethernet and IP.
const (
	etherIP4 = 0x0800
	etherARP = 0x0806
	etherIP6 = 0x86dd

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoFrag6 = 44
	protoICMP6 = 58
	protoSCTP  = 132

	etherLen = 14
	ip6Len   = 40
)

// etherType is the network protocol.
func (f *frame) etherType() int { return int(f.at(12, 2)) }

// at is the number of size bytes at an offset, 0 behind the end.
func (f *frame) at(offset, size int) uint32 {
	if offset < 0 || offset > len(f.data)-size {
		f.short = true
		return 0
	}
	switch b := f.data[offset:]; size {
	case 1:
		return uint32(b[0])
	case 2:
		return uint32(binary.BigEndian.Uint16(b))
	default:
		return binary.BigEndian.Uint32(b)
	}
}

// isIP reports whether the frame carries a protocol over either IP. Over IPv6
// the protocol may also stand behind a fragment header, as libpcap has it.
func (f *frame) isIP(v4, v6 bool, protocol int) bool {
	switch f.etherType() {
	case etherIP4:
		return v4 && int(f.at(etherLen+9, 1)) == protocol
	case etherIP6:
		next := int(f.at(etherLen+6, 1))
		return v6 && (next == protocol || next == protoFrag6 && int(f.at(etherLen+ip6Len, 1)) == protocol)
	}
	return false
}

// transport is where the header of one of several protocols begins; ok is
// false where there is none, as in all fragments but the first.
func (f *frame) transport(v6 bool, protocols ...int) (offset int, ok bool) {
	switch f.etherType() {
	case etherIP4:
		if !slices.Contains(protocols, int(f.at(etherLen+9, 1))) || f.at(etherLen+6, 2)&0x1fff != 0 {
			return 0, false
		}
		return etherLen + int(f.at(etherLen, 1)&15)*4, true
	case etherIP6:
		return etherLen + ip6Len, v6 && slices.Contains(protocols, int(f.at(etherLen+6, 1)))
	}
	return 0, false
}
