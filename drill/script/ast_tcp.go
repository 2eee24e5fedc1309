package script

// TCPFlags are the flags, each at its bit of the header's 13th and 14th byte.
type TCPFlags uint16

// The flags, with the letter that stands for each.
const (
	FIN TCPFlags = 1 << iota // F
	SYN                      // S
	RST                      // R
	PSH                      // P
	ACK                      // .
	URG                      // U
	ECE                      // E
	CWR                      // W
	AE                       // A, of accurate ECN
)

// flagLetters has the letters from the lowest bit up; printed from the right
// order below.
const flagLetters = "FSRP.UEWA"

// printOrder is how flags are usually written.
const printOrder = "SEWAFRPU."

// String writes flags as scripts do, "-" for none.
func (f TCPFlags) String() string {
	var b []byte
	for i := range len(printOrder) {
		for bit := range len(flagLetters) {
			if flagLetters[bit] == printOrder[i] && f&(1<<bit) != 0 {
				b = append(b, printOrder[i])
			}
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b)
}

// TCP is a segment: "S. 0:0(0) ack 1 win 65535 <mss 1460,...>".
//
// The numbers are the script's, which begin at 0 in both directions; the
// interpreter maps them. Ack may be set although Flags lacks [ACK], and the
// other way round: what is written goes into the header.
type TCP struct {
	Pos
	Flags         TCPFlags
	Seq, End, Len Value
	Ack, Win, Urg Value
	Options       []TCPOption
	// AnyOptions is "...": after Options whatever the sender likes, so that
	// "<...>" is any at all. Without it Options are all there may be.
	AnyOptions bool
	Payload    *String // nil: as many zeros as Len says
}

// TCPOption is an option: [*MSS], [*NOP], [*EOL], [*SACKPermitted],
// [*WindowScale], [*Timestamp], [*SACK], [*FastOpen], [*MD5], [*AccECN],
// [*Experiment] or [*OtherOption].
type TCPOption interface {
	Node
	option()
}

func (*MSS) option()           {}
func (*NOP) option()           {}
func (*EOL) option()           {}
func (*SACKPermitted) option() {}
func (*WindowScale) option()   {}
func (*Timestamp) option()     {}
func (*SACK) option()          {}
func (*FastOpen) option()      {}
func (*MD5) option()           {}
func (*AccECN) option()        {}
func (*Experiment) option()    {}
func (*OtherOption) option()   {}

// MSS is "mss 1460".
type MSS struct {
	Pos
	Size Value
}

// NOP is "nop".
type NOP struct{ Pos }

// EOL is "eol".
type EOL struct{ Pos }

// SACKPermitted is "sackOK".
type SACKPermitted struct{ Pos }

// WindowScale is "wscale 8".
type WindowScale struct {
	Pos
	Shift Value
}

// Timestamp is "TS val 100 ecr 0".
type Timestamp struct {
	Pos
	Val, Ecr Value
}

// SACK is "sack 1:1001 2001:3001".
type SACK struct {
	Pos
	Blocks []SACKBlock
}

// SACKBlock is one block, End excluded.
type SACKBlock struct {
	Start, End Value
}

// FastOpen is "FO" asking for a cookie, or "FO 0a0b0c0d" with one; with Exp it
// is FOEXP, the same under the experimental kind 254.
type FastOpen struct {
	Pos
	Exp    bool
	Cookie []byte
}

// MD5 is "md5 000102030405060708090a0b0c0d0e0f".
type MD5 struct {
	Pos
	Digest [16]byte
}

// AccECN is "ECN e0b 1 ceb 0 e1b 1": byte counters in the order written, from
// which the kind follows (172 begins with e0b, 174 with e1b).
type AccECN struct {
	Pos
	Counters []AccECNCounter
}

// AccECNCounter is one of "e0b", "ceb" and "e1b" with its value.
type AccECNCounter struct {
	Name  string
	Value Value
}

// Experiment is "exp 0xf989 0a0b": kind 253 with a two-byte identifier (RFC
// 6994) and data; "exp254" is kind 254.
type Experiment struct {
	Pos
	Kind254 bool
	ID      Value
	Data    []byte
}

// OtherOption is "kind 99 0a0b0c": any kind, with its data.
type OtherOption struct {
	Pos
	Kind Value
	Data []byte
}
