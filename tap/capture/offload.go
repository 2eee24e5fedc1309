package capture

import (
	"fmt"
	"strconv"
	"strings"

	"tapstack/tap"
)

// LINKTYPE_ETHERNET has no place for an offload header, so it goes into the
// frame's comment, for whoever looks at the file and for Replay:
//
//	offload: csum=34+16 gso=tcp4/1448 hdr=66 ecn
//
// csum is CsumStart+CsumOffset and gso the type and size, in bytes. That the
// sender vouches for a checksum is not worth a comment.
const offloadPrefix = "offload:"

// formatOffload is the comment for o, "" when it needs none.
func formatOffload(o tap.Offload) string {
	if !o.NeedsCsum && o.GSO == tap.GSONone {
		return ""
	}
	s := offloadPrefix
	if o.NeedsCsum {
		s += fmt.Sprintf(" csum=%d+%d", o.CsumStart, o.CsumOffset)
	}
	if o.GSO != tap.GSONone {
		s += fmt.Sprintf(" gso=%v/%d", o.GSO, o.GSOSize)
	}
	if o.HdrLen != 0 {
		s += fmt.Sprintf(" hdr=%d", o.HdrLen)
	}
	if o.ECN {
		s += " ecn"
	}
	return s
}

// parseOffload is the reverse of formatOffload. It is false for any other
// comment: anyone may comment on a frame.
func parseOffload(comment string) (o tap.Offload, ok bool) {
	fields, ok := strings.CutPrefix(comment, offloadPrefix)
	if !ok {
		return tap.Offload{}, false
	}
	for _, field := range strings.Fields(fields) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "csum":
			start, offset, _ := strings.Cut(value, "+")
			o.NeedsCsum, ok = true, parseUint16(start, &o.CsumStart) && parseUint16(offset, &o.CsumOffset)
		case "gso":
			name, size, _ := strings.Cut(value, "/")
			o.GSO, ok = parseGSO(name)
			ok = ok && parseUint16(size, &o.GSOSize)
		case "hdr":
			ok = parseUint16(value, &o.HdrLen)
		case "ecn":
			o.ECN = true
		default:
			ok = false
		}
		if !ok {
			return tap.Offload{}, false
		}
	}
	return o, true
}

func parseUint16(s string, to *uint16) bool {
	v, err := strconv.ParseUint(s, 10, 16)
	*to = uint16(v)
	return err == nil
}

func parseGSO(name string) (tap.GSOType, bool) {
	for _, t := range []tap.GSOType{tap.GSOTCPv4, tap.GSOTCPv6, tap.GSOUDP} {
		if name == t.String() {
			return t, true
		}
	}
	return tap.GSONone, false
}

// offloadComment remembers the last comment: bulk traffic has the same one
// again and again.
type offloadComment struct {
	last    tap.Offload
	comment string
}

func (c *offloadComment) of(o tap.Offload) string {
	if o != c.last {
		c.last, c.comment = o, formatOffload(o)
	}
	return c.comment
}
