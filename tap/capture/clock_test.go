package capture

import (
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"
)

// exact is c.time by arbitrary precision.
func exact(c clock, ts uint64) time.Time {
	base := big.NewInt(10)
	if c.resolution&binaryUnit != 0 {
		base.SetInt64(2)
	}
	unit := base.Exp(base, big.NewInt(int64(c.resolution&^binaryUnit)), nil)
	ns := new(big.Int).Mul(new(big.Int).SetUint64(ts), big.NewInt(1e9))
	ns.Div(ns, unit)
	sec, nsec := new(big.Int).DivMod(ns, big.NewInt(1e9), new(big.Int))
	return time.Unix(int64(sec.Uint64())+c.offset, nsec.Int64()).UTC()
}

func TestClock(t *testing.T) {
	for resolution := range 256 {
		for _, ts := range []uint64{0, 1, 999, 1e9 - 1, 1e9, 0xffff_ffff, 1_700_000_000_123_456_789, math.MaxUint64} {
			c := clock{resolution: uint8(resolution), offset: -5}
			if got, want := c.time(ts), exact(c, ts); !got.Equal(want) {
				t.Errorf("resolution %#x, %d units: %v, want %v", resolution, ts, got, want)
			}
		}
	}
}

// Time in a file goes forward, whatever its unit.
func TestResolutions(t *testing.T) {
	for _, m := range makers[:2] {
		for _, resolution := range []uint8{0, 3, 6, 9, 12, 0x80, 0x8a, 0x94, 0x9e, 0xa0, 0xbf} {
			t.Run(fmt.Sprintf("%v %#x", m, resolution), func(t *testing.T) {
				c := clock{resolution: resolution, offset: 1000}
				head := m.u32(m.u16(nil, 1, 0), 0)
				head = append(head, m.option(9, string([]byte{resolution}))...)
				head = append(head, m.option(14, string(m.AppendUint64(nil, 1000)))...)
				file := append(m.section(), m.block(blockInterface, head)...)
				stamps := []uint64{1<<40 - 1, 1 << 40, 1<<40 + 1<<19, 1<<40 + 1<<20 - 1, 1<<40 + 1<<20, 1 << 41}
				for i, ts := range stamps {
					b := m.u32(nil, 0, uint32(ts>>32), uint32(ts), 60, 60)
					kind := uint32(blockEnhanced)
					if i%2 == 1 {
						kind = blockPacket // its interface has 16 bits, then drops
						b = append(m.u16(nil, 0, 7), b[4:]...)
					}
					file = append(file, m.block(kind, append(b, numbered(60, uint32(i))...))...)
				}
				var last time.Time
				for i, f := range mustReadAll(t, file) {
					if want := exact(c, stamps[i]); !f.Time.Equal(want) || f.Time.Before(last) {
						t.Errorf("frame %d: %v, want %v, after %v", i, f.Time, want, last)
					}
					last = f.Time
				}
				if last.IsZero() {
					t.Error("no frame")
				}
			})
		}
	}
}
