package tap

import (
	"errors"
	"strings"
	"testing"
)

func TestOffloadCheck(t *testing.T) {
	tso4 := Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: GSOTCPv4, GSOSize: 1460, HdrLen: 54}
	tso6 := Offload{NeedsCsum: true, CsumStart: 54, CsumOffset: 16, GSO: GSOTCPv6, GSOSize: 1440, HdrLen: 74}
	uso := Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6, GSO: GSOUDP, GSOSize: 1472, HdrLen: 42}
	with := func(o Offload, change func(*Offload)) Offload { change(&o); return o }
	const okay = numCauses
	for _, c := range []struct {
		name string
		n    int
		off  Offload
		dev  Offloads
		want cause
	}{
		{"plain", 1514, Offload{}, Offloads{}, okay},
		{"header only", 14, Offload{}, Offloads{}, okay},
		{"too short", 13, Offload{}, Offloads{}, causeTooShort},
		{"empty", 0, Offload{}, Offloads{}, causeTooShort},
		{"too large", 1515, Offload{}, allOffloads, causeTooLarge},
		{"beyond everything", MaxFrame + 1, tso4, allOffloads, causeTooLarge},
		{"vouched for", 60, Offload{CsumValid: true}, Offloads{}, okay},

		{"checksum", 60, Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}, Offloads{Csum: true}, okay},
		{"checksum not enabled", 60, Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}, Offloads{}, causeOffload},
		{"checksum at the very end", 52, Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}, Offloads{Csum: true}, okay},
		{"checksum beyond the end", 51, Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}, Offloads{Csum: true}, causeOffload},
		{"checksum beyond 16 bits", 60, Offload{NeedsCsum: true, CsumStart: 65535, CsumOffset: 65535}, Offloads{Csum: true}, causeOffload},
		{"checksum in the Ethernet header", 60, Offload{NeedsCsum: true, CsumStart: 13}, Offloads{Csum: true}, causeOffload},
		{"checksum unused", 60, Offload{CsumStart: 65535, CsumOffset: 65535}, Offloads{}, okay},
		{"HdrLen beyond the end", 60, Offload{HdrLen: 61}, Offloads{}, causeOffload},

		{"TSO4", MaxFrame, tso4, allOffloads, okay},
		{"TSO6", MaxFrame, tso6, allOffloads, okay},
		{"USO", MaxFrame, uso, allOffloads, okay},
		{"small TSO4", 60, tso4, allOffloads, okay},
		{"HdrLen covers payload", 9000, with(tso4, func(o *Offload) { o.HdrLen = 4000 }), allOffloads, okay},
		{"TSO4 not enabled", 9000, tso4, Offloads{Csum: true, TSO6: true, USO: true}, causeOffload},
		{"TSO6 not enabled", 9000, tso6, Offloads{Csum: true, TSO4: true, USO: true}, causeOffload},
		{"USO not enabled", 9000, uso, Offloads{Csum: true, TSO4: true, TSO6: true}, causeOffload},
		{"no such type", 60, with(tso4, func(o *Offload) { o.GSO = 4 }), allOffloads, causeOffload},
		{"no size", 9000, with(tso4, func(o *Offload) { o.GSOSize = 0 }), allOffloads, causeOffload},
		{"no checksum", 9000, with(tso4, func(o *Offload) { o.NeedsCsum = false }), allOffloads, causeOffload},
		{"UDP's checksum in TCP", 9000, with(tso4, func(o *Offload) { o.CsumOffset = 6 }), allOffloads, causeOffload},
		{"no IPv6 header", 9000, with(tso6, func(o *Offload) { o.CsumStart = 34 }), allOffloads, causeOffload},
		{"half a TCP header", 53, with(tso4, func(o *Offload) { o.HdrLen = 0 }), allOffloads, causeOffload},
		{"piece beyond the MTU", 9000, with(tso4, func(o *Offload) { o.GSOSize = 1461 }), allOffloads, causeTooLarge},
		{"USO piece beyond the MTU", 9000, with(uso, func(o *Offload) { o.GSOSize = 1473 }), allOffloads, causeTooLarge},

		{"ECN", 9000, with(tso4, func(o *Offload) { o.ECN = true }), allOffloads, okay},
		{"ECN not enabled", 9000, with(tso4, func(o *Offload) { o.ECN = true }), Offloads{Csum: true, TSO4: true}, causeOffload},
		{"ECN without TCP", 9000, with(uso, func(o *Offload) { o.ECN = true }), allOffloads, causeOffload},
		{"ECN without GSO", 60, Offload{ECN: true}, allOffloads, causeOffload},
	} {
		err := c.off.Check(c.n, 1500, c.dev)
		var bad *frameError
		switch {
		case c.want == okay && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != okay && (!errors.Is(err, ErrFrame) || !errors.As(err, &bad) || bad.cause != c.want):
			t.Errorf("%s: %v, want ErrFrame of cause %d", c.name, err, c.want)
		}
	}
}

// What Check lets pass, a device can act on without looking again.
func FuzzOffloadCheck(f *testing.F) {
	f.Add(1514, 1500, uint8(0), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0))
	f.Add(MaxFrame, 1500, uint8(1), uint8(GSOTCPv4), uint8(31), uint16(34), uint16(16), uint16(1460), uint16(54))
	f.Add(9000, 1280, uint8(1), uint8(GSOUDP), uint8(31), uint16(54), uint16(6), uint16(1232), uint16(0))
	f.Add(60, MaxMTU, uint8(7), uint8(255), uint8(1), uint16(65535), uint16(65535), uint16(65535), uint16(65535))
	f.Fuzz(func(t *testing.T, n, mtu int, flags, gso, enabled uint8, start, offset, size, hdr uint16) {
		bit := func(v uint8, i int) bool { return v>>i&1 == 1 }
		mtu = MinMTU + int(uint(mtu)%(MaxMTU-MinMTU+1))
		off := Offload{
			NeedsCsum: bit(flags, 0), CsumValid: bit(flags, 1), ECN: bit(flags, 2),
			CsumStart: start, CsumOffset: offset, GSO: GSOType(gso), GSOSize: size, HdrLen: hdr,
		}
		dev := Offloads{Csum: bit(enabled, 0), TSO4: bit(enabled, 1), TSO6: bit(enabled, 2), USO: bit(enabled, 3), ECN: bit(enabled, 4)}
		err := off.Check(n, mtu, dev)
		if err != nil {
			if !errors.Is(err, ErrFrame) || strings.Contains(err.Error(), "%!") {
				t.Errorf("%v, want a well-formed ErrFrame", err)
			}
			return
		}
		frame := make([]byte, n) // indexing it is the test
		_ = frame[:EthernetHeaderLen]
		_ = frame[:off.HdrLen]
		if off.NeedsCsum {
			_ = frame[start:][offset:][:2]
		}
		if off.GSO == GSONone {
			if n > mtu+EthernetHeaderLen {
				t.Errorf("%d bytes pass an MTU of %d", n, mtu)
			}
			return
		}
		_ = frame[int(start)+8:] // the smallest transport header
		if !off.NeedsCsum || size == 0 || !dev.Allows(off.GSO) || int(start)+8+int(size) > mtu+EthernetHeaderLen {
			t.Errorf("%d bytes, MTU %d, %v: %+v passes", n, mtu, dev, off)
		}
	})
}

func TestOffloadStrings(t *testing.T) {
	for want, got := range map[string]string{
		"none":                   Offloads{}.String(),
		"csum tso4 tso6 uso ecn": allOffloads.String(),
		"tcp6":                   GSOTCPv6.String(),
		"GSOType(9)":             GSOType(9).String(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
