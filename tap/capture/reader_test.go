package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// A maker writes capture files by hand: of either byte order, and wrong ones.
type maker struct {
	binary.AppendByteOrder
	nano bool
}

func (m maker) String() string { return fmt.Sprintf("%v nano=%v", m.AppendByteOrder, m.nano) }

var makers = []maker{
	{binary.LittleEndian, true}, {binary.BigEndian, true}, {binary.LittleEndian, false}, {binary.BigEndian, false},
}

func (m maker) u16(b []byte, vs ...uint16) []byte {
	for _, v := range vs {
		b = m.AppendUint16(b, v)
	}
	return b
}

func (m maker) u32(b []byte, vs ...uint32) []byte {
	for _, v := range vs {
		b = m.AppendUint32(b, v)
	}
	return b
}

// fraction is one unit of the files' resolution in a second, 123456789 ns cut.
func (m maker) fraction() uint32 {
	if m.nano {
		return 123456789
	}
	return 123456
}

func (m maker) time() time.Time {
	t := time.Unix(1_700_000_000, 123456789)
	if !m.nano {
		t = t.Truncate(time.Microsecond)
	}
	return t
}

func (m maker) pcapHead(link uint32) []byte {
	magic := uint32(0xa1b2c3d4)
	if m.nano {
		magic = 0xa1b23c4d
	}
	b := m.u32(nil, magic)
	b = m.u16(b, 2, 4)
	return m.u32(b, 0, 0, math.MaxUint32, link)
}

func (m maker) pcap(frames ...[]byte) []byte {
	b := m.pcapHead(1)
	for _, f := range frames {
		b = m.u32(b, 1_700_000_000, m.fraction(), uint32(len(f)), uint32(len(f)+1))
		b = append(b, f...)
	}
	return b
}

func (m maker) block(kind uint32, body []byte) []byte {
	body = append(body, make([]byte, pad4(len(body))-len(body))...)
	length := uint32(12 + len(body))
	return m.u32(append(m.u32(nil, kind, length), body...), length)
}

func (m maker) option(code uint16, value string) []byte {
	b := append(m.u16(nil, code, uint16(len(value))), value...)
	return append(b, make([]byte, pad4(len(value))-len(value))...)
}

func (m maker) section() []byte {
	return m.block(blockSection, m.u32(m.u16(m.u32(nil, magicBytes), 1, 0), math.MaxUint32, math.MaxUint32))
}

func (m maker) iface(link uint16, name string) []byte {
	b := m.u32(m.u16(nil, link, 0), 0)
	b = append(b, m.option(2, name)...)
	if m.nano {
		b = append(b, m.option(9, "\x09")...)
	}
	return m.block(blockInterface, b)
}

func (m maker) packet(iface uint32, f []byte, n uint32, options ...[]byte) []byte {
	unit := uint64(1e6)
	if m.nano {
		unit = 1e9
	}
	at := 1_700_000_000*unit + uint64(m.fraction())
	b := m.u32(nil, iface, uint32(at>>32), uint32(at), n, uint32(len(f)+1))
	b = append(b, f...)
	b = append(b, make([]byte, pad4(len(f))-len(f))...)
	for _, o := range options {
		b = append(b, o...)
	}
	return m.block(blockEnhanced, b)
}

// pcapng has all kinds of blocks: two interfaces, frames in and out, blocks
// that do not matter, a simple packet, a second section.
func (m maker) pcapng(frames ...[]byte) []byte {
	b := m.section()
	b = append(b, m.iface(1, "eth0")...)
	b = append(b, m.iface(1, "eth1")...)
	b = append(b, m.block(4, []byte("names, skipped"))...)
	for i, f := range frames {
		flags := m.option(2, string(m.u32(nil, uint32(i%2+1))))
		lost := m.option(4, string(m.AppendUint64(nil, uint64(i))))
		b = append(b, m.packet(uint32(i%2), f, uint32(len(f)), flags, lost)...)
		b = append(b, m.block(5, m.u32(nil, 0, 0, 0))...)
	}
	return b
}

func testFrames() (frames [][]byte) {
	for i := range uint32(5) {
		frames = append(frames, numbered(60+int(i), i))
	}
	return frames
}

func TestByteOrders(t *testing.T) {
	for _, m := range makers {
		for _, ng := range []bool{false, true} {
			t.Run(fmt.Sprint(m, " pcapng=", ng), func(t *testing.T) {
				frames := testFrames()
				file := m.pcap(frames...)
				if ng {
					file = m.pcapng(frames...)
				}
				got, err := readAll(iotest.OneByteReader(bytes.NewReader(file)))
				if err != nil || len(got) != len(frames) {
					t.Fatalf("%d frames, %v", len(got), err)
				}
				for i, f := range got {
					want := Frame{Time: m.time(), Length: len(frames[i]) + 1}
					if ng {
						want.Direction, want.Lost = Direction(i%2+1), uint64(i)
						want.Interface = fmt.Sprint("eth", i%2)
					}
					if !bytes.Equal(f.Data, frames[i]) || !f.Time.Equal(want.Time) || f.Length != want.Length ||
						f.Direction != want.Direction || f.Lost != want.Lost || f.Interface != want.Interface {
						t.Errorf("frame %d: %+v, want %+v", i, f, want)
					}
				}
			})
		}
	}
}

func TestSimplePacketAndSections(t *testing.T) {
	little, big := makers[0], makers[1]
	file := little.pcapng(numbered(60, 0))
	file = append(file, big.pcapng(numbered(60, 1))...) // the byte order may change
	file = append(file, big.block(blockSimple, append(big.u32(nil, 60), numbered(60, 2)...))...)
	frames := mustReadAll(t, file)
	if len(frames) != 3 {
		t.Fatalf("%d frames", len(frames))
	}
	for i, f := range frames {
		if numberOf(f.Data) != uint32(i) || f.Interface != "eth0" || f.Time.IsZero() != (i == 2) {
			t.Errorf("frame %d: %+v", i, f)
		}
	}
}

// Cut at every byte: the frames before that are there, the error has the
// offset of the first that is not, and there is no error between two blocks.
func TestTruncated(t *testing.T) {
	for _, m := range makers[:2] {
		for _, whole := range [][]byte{m.pcap(testFrames()...), m.pcapng(testFrames()...)} {
			good, last := 0, int64(-1)
			for cut := range len(whole) {
				frames, err := readAll(bytes.NewReader(whole[:cut]))
				if len(frames) < good {
					t.Fatalf("cut at %d: %d frames, %d when cut before", cut, len(frames), good)
				}
				good = len(frames)
				if err == nil {
					last = int64(cut) // a boundary
					continue
				}
				var bad *FormatError
				if !errors.As(err, &bad) || !errors.Is(err, io.ErrUnexpectedEOF) || bad.Offset != max(last, 0) {
					t.Fatalf("cut at %d: %v, want unexpected EOF at %d", cut, err, max(last, 0))
				}
			}
			if last < 0 || good != len(testFrames())-1 && good != len(testFrames()) {
				t.Errorf("%d frames, the last boundary at %d", good, last)
			}
		}
	}
}

func TestCorrupt(t *testing.T) {
	m := makers[0]
	head := append(m.section(), m.iface(1, "eth0")...)
	one := m.packet(0, numbered(60, 1), 60)
	good := append(bytes.Clone(head), one...)
	ng := func(b ...[]byte) []byte { return append(bytes.Clone(good), bytes.Join(b, nil)...) }
	at := func(block []byte, i int, v uint32) []byte {
		return append(m.u32(bytes.Clone(block[:i]), v), block[i+4:]...)
	}
	pcap := m.pcap(numbered(60, 1))
	for _, c := range []struct {
		name   string
		file   []byte
		frames int
		offset int
		says   string
	}{
		{"empty", nil, 0, 0, "unexpected EOF"},
		{"text", []byte("hello, world"), 0, 0, "neither pcap nor pcapng"},
		{"gzip", []byte("\x1f\x8b\x08\x00"), 0, 0, "gzip"},
		{"pcap of wifi", m.pcapHead(105), 0, 0, "link type 105"},
		{"pcap of another version", at(pcap, 4, 3), 0, 0, "version"},
		{"pcap with a huge record", append(bytes.Clone(pcap), m.u32(nil, 1, 1, math.MaxInt32, math.MaxInt32)...), 1, len(pcap), "capture length"},
		{"pcap with more than there was", append(bytes.Clone(pcap), m.u32(nil, 1, 1, 60, 59)...), 1, len(pcap), "length"},
		{"pcapng of wifi", ng(m.iface(105, "wlan0")), 1, len(good), "link type 105"},
		{"byte order", at(good, 8, 1), 0, 0, "byte-order magic"},
		{"version", at(good, 12, 9), 0, 0, "Version"},
		{"length 0", ng(at(one, 4, 0)), 1, len(good), "length 0"},
		{"length odd", ng(at(one, 4, 93)), 1, len(good), "length 93"},
		{"length huge", ng(at(one, 4, math.MaxUint32-3)), 1, len(good), "limit"},
		{"length differs", ng(at(one, len(one)-4, 4)), 1, len(good), "at its end"},
		{"skipped block, length differs", ng(at(m.block(4, make([]byte, 99)), 4, 108)), 1, len(good), "at its end"},
		{"skipped block, cut", ng(at(m.block(4, nil), 4, 1<<31)), 1, len(good), "unexpected EOF"},
		{"no such interface", ng(m.packet(1, numbered(60, 1), 60)), 1, len(good), "interface 1"},
		{"frame beyond its block", ng(m.packet(0, numbered(60, 1), 65)), 1, len(good), "65 bytes"},
		{"frame of 4 GiB", ng(m.packet(0, numbered(60, 1), math.MaxUint32)), 1, len(good), "limit"},
		{"option beyond its block", ng(m.packet(0, nil, 0, m.u16(nil, 2, 9))), 1, len(good), "option 2"},
		{"block too short", ng(m.block(blockEnhanced, make([]byte, 16))), 1, len(good), "short"},
		{"simple packet too long", ng(m.block(blockSimple, m.u32(nil, 1000))), 1, len(good), "1000 bytes"},
		{"resolution", ng(m.block(blockInterface, append(m.u32(nil, 1, 0), m.option(9, "\xff")...))), 1, len(good), "resolution"},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames, err := readAll(bytes.NewReader(c.file))
			var bad *FormatError
			if !errors.As(err, &bad) || bad.Offset != int64(c.offset) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q at byte %d", err, c.says, c.offset)
			}
			if len(frames) != c.frames {
				t.Errorf("%d frames, want %d", len(frames), c.frames)
			}
		})
	}
}

func TestReadError(t *testing.T) {
	for _, file := range [][]byte{makers[0].pcap(testFrames()...), makers[0].pcapng(testFrames()...)} {
		broken := errors.New("disk on fire")
		frames, err := readAll(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken)))
		var bad *FormatError
		if !errors.Is(err, broken) || !errors.As(err, &bad) || bad.Offset != int64(len(file)) || len(frames) != 5 {
			t.Errorf("%d frames, %v", len(frames), err)
		}
	}
}

func TestManyInterfaces(t *testing.T) {
	m := makers[0]
	file := m.section()
	for range 20 {
		file = append(file, m.iface(1, strings.Repeat("x", 65_000))...)
	}
	if _, err := readAll(bytes.NewReader(file)); err == nil || !strings.Contains(err.Error(), "descriptions") {
		t.Errorf("%v", err)
	}
}

// A file of 60 MB of what the library would keep.
func TestBoundedMemory(t *testing.T) {
	m := makers[0]
	secrets := m.block(10, append(m.u32(nil, 0x544c534b, 60_000), make([]byte, 60_000)...))
	file := []io.Reader{bytes.NewReader(append(m.section(), m.iface(1, "eth0")...))}
	for range 1000 {
		file = append(file, bytes.NewReader(secrets))
	}
	file = append(file, bytes.NewReader(m.packet(0, numbered(60, 1), 60)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	frames, err := readAll(io.MultiReader(file...))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; err != nil || len(frames) != 1 || n > 8<<20 {
		t.Errorf("%d frames, %v, %d bytes allocated", len(frames), err, n)
	}
}

func FuzzReader(f *testing.F) {
	for _, m := range makers {
		f.Add(m.pcap(testFrames()[:2]...))
		f.Add(m.pcapng(testFrames()[:2]...))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		frames, err := readAll(bytes.NewReader(file))
		var bad *FormatError
		if err != nil && (!errors.As(err, &bad) || bad.Offset < 0 || bad.Offset > int64(len(file))) {
			t.Errorf("%v in a file of %d bytes", err, len(file))
		}
		for _, f := range frames {
			if len(f.Data) > len(file) || len(f.Data) > f.Length || f.Direction > Outbound {
				t.Errorf("%+v in a file of %d bytes", f, len(file))
			}
		}
	})
}
