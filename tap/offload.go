package tap

import (
	"fmt"
	"strings"
)

// String is the type as "none", "tcp4", "tcp6" or "udp".
func (t GSOType) String() string {
	switch t {
	case GSONone:
		return "none"
	case GSOTCPv4:
		return "tcp4"
	case GSOTCPv6:
		return "tcp6"
	case GSOUDP:
		return "udp"
	}
	return fmt.Sprintf("GSOType(%d)", uint8(t))
}

// Allows reports whether a frame may ask to be cut as t says.
func (o Offloads) Allows(t GSOType) bool {
	switch t {
	case GSONone:
		return true
	case GSOTCPv4:
		return o.TSO4
	case GSOTCPv6:
		return o.TSO6
	case GSOUDP:
		return o.USO
	}
	return false
}

// String lists the offloads, "csum tso4 tso6", or says "none".
func (o Offloads) String() string {
	var on []string
	for _, f := range []struct {
		on   bool
		name string
	}{{o.Csum, "csum"}, {o.TSO4, "tso4"}, {o.TSO6, "tso6"}, {o.USO, "uso"}, {o.ECN, "ecn"}} {
		if f.on {
			on = append(on, f.name)
		}
	}
	if on == nil {
		return "none"
	}
	return strings.Join(on, " ")
}

// A gsoShape is what headers a frame of one GSO type has, in bytes.
type gsoShape struct {
	network    int // smallest IP header
	transport  int // smallest TCP or UDP header
	csumOffset int // of the checksum in that
}

var gsoShapes = [...]gsoShape{
	GSOTCPv4: {network: 20, transport: 20, csumOffset: 16},
	GSOTCPv6: {network: 40, transport: 20, csumOffset: 16},
	GSOUDP:   {network: 20, transport: 8, csumOffset: 6},
}

// Check reports whether a frame of frameLen bytes, Ethernet header included,
// that is offloaded as o says, may be written to a device with this MTU and
// these offloads. It is what every device asks before it takes a frame, and
// follows what Linux demands of a writer (tun_get_user, virtio_net_hdr_to_skb).
// The error is ErrFrame with the reason.
//
// Check sees the frame's length, not its bytes. A device takes a frame with an
// 802.1Q tag that is up to 4 bytes longer than mtu allows: for one of those mtu
// is to be given with 4 more. The transport header of a large frame is taken to
// be without options, so a piece may still turn out longer than the MTU by the
// length of its options; and CsumStart is believed to be where the transport
// header starts.
func (o Offload) Check(frameLen, mtu int, dev Offloads) error {
	if bad := o.check(frameLen, mtu, dev); bad != nil {
		return bad
	}
	return nil
}

// check is Check with the cause to count the drop under.
func (o Offload) check(frameLen, mtu int, dev Offloads) *frameError {
	limit := mtu + EthernetHeaderLen
	switch {
	case frameLen < EthernetHeaderLen:
		return badFrame(causeTooShort, "%d bytes are less than an Ethernet header", frameLen)
	case frameLen > MaxFrame:
		return badFrame(causeTooLarge, "%d bytes are more than the largest frame, %d", frameLen, MaxFrame)
	case o.GSO == GSONone && frameLen > limit:
		return badFrame(causeTooLarge, "%d bytes exceed the MTU of %d plus %d", frameLen, mtu, EthernetHeaderLen)
	case int(o.HdrLen) > frameLen:
		return badFrame(causeOffload, "HdrLen %d is beyond the frame's %d bytes", o.HdrLen, frameLen)
	case o.ECN && (o.GSO != GSOTCPv4 && o.GSO != GSOTCPv6 || !dev.ECN):
		return badFrame(causeOffload, "ECN without TSO, or not enabled")
	}
	if o.NeedsCsum {
		if bad := o.checkCsum(frameLen, dev); bad != nil {
			return bad
		}
	}
	if o.GSO != GSONone {
		return o.checkGSO(frameLen, limit, dev)
	}
	return nil
}

// checkCsum is the part for NeedsCsum.
func (o Offload) checkCsum(frameLen int, dev Offloads) *frameError {
	const csumLen = 2
	at := int(o.CsumStart) + int(o.CsumOffset)
	switch {
	case !dev.Csum:
		return badFrame(causeOffload, "checksum offload is not enabled")
	case o.CsumStart < EthernetHeaderLen:
		return badFrame(causeOffload, "CsumStart %d is inside the Ethernet header", o.CsumStart)
	case at+csumLen > frameLen:
		return badFrame(causeOffload, "checksum at %d is beyond the frame's %d bytes", at, frameLen)
	}
	return nil
}

// checkGSO is the part for large frames; limit is the longest piece in bytes,
// Ethernet header included.
func (o Offload) checkGSO(frameLen, limit int, dev Offloads) *frameError {
	switch {
	case !dev.Allows(o.GSO):
		return badFrame(causeOffload, "GSO type %v is not enabled", o.GSO)
	case o.GSOSize == 0:
		return badFrame(causeOffload, "GSO type %v without a size", o.GSO)
	case !o.NeedsCsum:
		// A piece has another length than the whole, so other sums.
		return badFrame(causeOffload, "GSO type %v without NeedsCsum", o.GSO)
	}
	shape := gsoShapes[o.GSO]
	// Not HdrLen: a hint, and Linux hands over frames in which it covers
	// payload too.
	headers := int(o.CsumStart) + shape.transport
	switch {
	case int(o.CsumStart) < EthernetHeaderLen+shape.network:
		return badFrame(causeOffload, "CsumStart %d leaves no room for the IP header", o.CsumStart)
	case int(o.CsumOffset) != shape.csumOffset:
		return badFrame(causeOffload, "CsumOffset %d is not where GSO type %v has its checksum", o.CsumOffset, o.GSO)
	case headers > frameLen:
		return badFrame(causeOffload, "headers of %d bytes are beyond the frame's %d", headers, frameLen)
	case headers+int(o.GSOSize) > limit:
		return badFrame(causeTooLarge, "pieces of %d bytes and headers of %d exceed the MTU of %d plus %d",
			o.GSOSize, headers, limit-EthernetHeaderLen, EthernetHeaderLen)
	}
	return nil
}
