package script

import "net/netip"

// ValueKind says what a [Value] matches.
type ValueKind uint8

const (
	// Unset is for what was not written.
	Unset ValueKind = iota
	// Exact is the value Lo.
	Exact
	// AnyValue is "*".
	AnyValue
	// Between is "a~b": Lo to Hi, both included.
	Between
	// Computed is "$N" or "${N * 1000}": what Expr evaluates to.
	Computed
)

// Value is a number in a packet. Whether it is one of a packet to send, where
// only Unset, Exact and Computed make sense, or of one to be matched, is
// known from the packet's direction.
type Value struct {
	Lo, Hi uint32
	Kind   ValueKind
	Expr   *Formula // Computed only
}

// Formula is the expression of a computed [Value].
type Formula struct {
	Pos
	X Expr
}

// IsSet reports whether anything was written.
func (v Value) IsSet() bool { return v.Kind != Unset }

// Match reports whether n is what was written. An unset value matches
// everything; one to be computed must have been computed before and matches
// nothing.
func (v Value) Match(n uint32) bool {
	switch v.Kind {
	case Unset, AnyValue:
		return true
	case Exact:
		return n == v.Lo
	case Between:
		return v.Lo <= n && n <= v.Hi
	default:
		return false
	}
}

// Packet is a template of a packet: one to inject, or one to expect.
type Packet struct {
	Pos
	Outbound bool     // ">", out of the stack; otherwise "<", into it
	Conn     string   // name before a colon, or ""
	Outer    []Header // in front of the packet, outermost first
	IP       *IPInfo  // nil where nothing is said about the IP header
	Ports    *Ports   // nil where not written
	Body     Body
}

// Header is an outer header: [*EthernetHeader], [*IPHeader], [*GREHeader] or
// [*MPLSHeader].
type Header interface {
	Node
	header()
}

func (*EthernetHeader) header() {}
func (*IPHeader) header()       {}
func (*GREHeader) header()      {}
func (*MPLSHeader) header()     {}

// MAC is an Ethernet address.
type MAC [6]byte

// EthernetHeader is "eth 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff:".
type EthernetHeader struct {
	Pos
	Src, Dst MAC
}

// IPHeader is "ipv4 192.0.2.1 > 192.168.0.1:", or the same with ipv6.
type IPHeader struct {
	Pos
	Src, Dst netip.Addr // both of the version that was written
}

// GREHeader is "gre:" or "gre flags 0xb000, key 7:".
type GREHeader struct {
	Pos
	Flags, Sum, Off, Key, Seq Value
}

// MPLSHeader is "mpls (label 5, tc 0, ttl 9) (label 6, tc 0, [S], ttl 9):".
type MPLSHeader struct {
	Pos
	Stack []*MPLSEntry
}

// MPLSEntry is one label; Bottom is the [S].
type MPLSEntry struct {
	Pos
	Label, TC, TTL Value
	Bottom         bool
}

// ECN is what a packet says of its ECN bits.
type ECN uint8

const (
	// ECNUnset is for what was not written.
	ECNUnset ECN = iota
	// ECNNone is "noecn": 0.
	ECNNone
	// ECT1 is "ect1": 1.
	ECT1
	// ECT0 is "ect0": 2.
	ECT0
	// CE is "ce": 3.
	CE
	// ECT01 is "ect01": 1 or 2.
	ECT01
)

// IPInfo is what "[ect0]" or "(tos 0x10, ttl 4)" says of the IP header.
type IPInfo struct {
	Pos
	ECN       ECN
	TOS       Value // traffic class in IPv6
	TTL       Value // hop limit in IPv6
	FlowLabel Value
	ID        Value
	DF        bool // "df": don't fragment
	Frag      *Fragment
}

// Fragment is "frag 0:1480+": the packet is only that part of the template's
// IP payload, and with "+" more follow.
type Fragment struct {
	Pos
	From, To Value // bytes of the IP payload, To excluded
	More     bool
}

// Ports is "5000 > 8080", with or without brackets.
type Ports struct {
	Pos
	Src, Dst Value
}

// Body is what an IP packet or a frame carries: [*TCP], [*UDP], [*ICMP],
// [*ARP], [*NDP] or [*Raw].
type Body interface {
	Node
	body()
}

func (*TCP) body()  {}
func (*UDP) body()  {}
func (*ICMP) body() {}
func (*ARP) body()  {}
func (*NDP) body()  {}
func (*Raw) body()  {}

// UDP is "udp (1000)".
type UDP struct {
	Pos
	Len     Value
	Payload *String // nil: as many zeros as Len says
}

// ICMP is "icmp unreachable frag_needed mtu 1400 [1:1001(1000)]": ICMPv4 or
// ICMPv6, as the IP version is. See [ICMP.Number].
type ICMP struct {
	Pos
	Type    string // a name, or "type_N"
	Code    string // a name, or "code_N", or ""
	MTU     Value
	ID, Seq Value // of echo requests and replies
	Len     Value // of an echo's data: "(56)"
	Payload *String
	Quote   *Quote // nil where none is written
}

// Quote is the packet that an ICMP error is about: "[1:1001(1000)]" of TCP, or
// "[udp (1000)]".
type Quote struct {
	Pos
	UDP           bool
	Seq, End, Len Value // of UDP Len alone
}

// ARP is "arp who-has 192.168.0.1 tell 192.0.2.1" or, with Reply,
// "arp reply 192.168.0.1 is-at 02:00:00:00:00:01".
type ARP struct {
	Pos
	Reply  bool
	Target netip.Addr // whose address is asked for or told
	Tell   netip.Addr // who asks; invalid in a reply
	MAC    *MAC       // of Target in a reply; nil for any
}

// NDP is "ndp solicit fd00::1 from fd00::2" or, with Advert,
// "ndp advertise fd00::1 is-at 02:00:00:00:00:01 solicited override".
type NDP struct {
	Pos
	Advert                      bool
	Target                      netip.Addr
	From                        netip.Addr // who asks; invalid where not written
	MAC                         *MAC       // source or target link-layer address option
	Router, Solicited, Override bool
}

// Raw is `frame "02.. 0000 ..."`: bytes of a frame in hexadecimal, Ethernet
// header included. ".." is any byte.
type Raw struct {
	Pos
	Data []byte
	Wild []bool // as long as Data: true where ".." was written
	More bool   // "..." at the end: whatever follows
}
