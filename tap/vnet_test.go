package tap

import (
	"bytes"
	"testing"
)

func TestVnetHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		off  Offload
		wire [vnetHdrLen]byte
	}{
		{"plain", Offload{}, [vnetHdrLen]byte{}},
		{"vouched for", Offload{CsumValid: true}, [vnetHdrLen]byte{0: 2}},
		{"partial checksum", Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, HdrLen: 54},
			[vnetHdrLen]byte{1, 0, 54, 0, 0, 0, 34, 0, 16, 0}},
		{"TSO, little-endian, ECN", Offload{NeedsCsum: true, CsumStart: 0x0136, CsumOffset: 16, HdrLen: 0x0242, GSO: GSOTCPv4, GSOSize: 0x05a8, ECN: true},
			[vnetHdrLen]byte{1, 0x81, 0x42, 2, 0xa8, 5, 0x36, 1, 16, 0}},
		{"TSO over IPv6", Offload{NeedsCsum: true, CsumStart: 54, CsumOffset: 16, GSO: GSOTCPv6, GSOSize: 1428},
			[vnetHdrLen]byte{1, 4, 0, 0, 0x94, 5, 54, 0, 16, 0}},
		{"USO", Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6, GSO: GSOUDP, GSOSize: 64},
			[vnetHdrLen]byte{1, 5, 0, 0, 64, 0, 34, 0, 6, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := bytes.Repeat([]byte{0xff}, vnetHdrLen)
			encodeVnet(got, c.off)
			if !bytes.Equal(got, c.wire[:]) {
				t.Errorf("encoded %x, want %x", got, c.wire)
			}
			if off, bad := decodeVnet(c.wire[:]); bad != nil || off != c.off {
				t.Errorf("decoded %+v (%v), want %+v", off, bad, c.off)
			}
		})
	}
	for _, gso := range []byte{2, 3, 6, 0x7f, 0xff} {
		if off, bad := decodeVnet([]byte{1, gso, 0, 0, 1, 0, 14, 0, 0, 0}); bad == nil {
			t.Errorf("GSO type %d became %+v", gso, off)
		}
	}
}

// FuzzVnetHeader: whatever a kernel sends, a header that Check lets pass never
// points outside the frame, and survives being written again.
func FuzzVnetHeader(f *testing.F) {
	f.Add([]byte{1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0}, 3000)
	f.Add([]byte{1, 5, 0, 0, 0, 0, 34, 0, 6, 0}, 300)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 60)
	all := Offloads{Csum: true, TSO4: true, TSO6: true, USO: true, ECN: true}
	f.Fuzz(func(t *testing.T, hdr []byte, frameLen int) {
		if len(hdr) < vnetHdrLen {
			return
		}
		off, bad := decodeVnet(hdr[:vnetHdrLen])
		if bad != nil || off.Check(frameLen, 1500, all) != nil {
			return
		}
		if off.NeedsCsum && int(off.CsumStart)+int(off.CsumOffset)+2 > frameLen {
			t.Errorf("%+v points beyond %d bytes", off, frameLen)
		}
		if off.GSO != GSONone && (off.GSOSize == 0 || !off.NeedsCsum) {
			t.Errorf("%+v cannot be cut", off)
		}
		var again [vnetHdrLen]byte
		encodeVnet(again[:], off)
		if off2, bad := decodeVnet(again[:]); bad != nil || off2 != off {
			t.Errorf("%+v came back as %+v, %v", off, off2, bad)
		}
	})
}

func BenchmarkVnetHeader(b *testing.B) {
	off := Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, HdrLen: 66, GSO: GSOTCPv4, GSOSize: 1448}
	var hdr [vnetHdrLen]byte
	b.ReportAllocs()
	for b.Loop() {
		encodeVnet(hdr[:], off)
		if got, bad := decodeVnet(hdr[:]); bad != nil || got != off {
			b.Fatal(got, bad)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	all := Offloads{Csum: true, TSO4: true, TSO6: true, USO: true, ECN: true}
	off := Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, HdrLen: 66, GSO: GSOTCPv4, GSOSize: 1448}
	b.ReportAllocs()
	for b.Loop() {
		if off.check(65_226, 1500, all) != nil {
			b.Fatal("refused")
		}
	}
}
