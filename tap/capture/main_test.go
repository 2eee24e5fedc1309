package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

// pipe is a device that can be captured, and the other end.
func pipe(t testing.TB, cfg *tap.PipeConfig) (*Device, tap.Device) {
	t.Helper()
	a, b := tap.Pipe(cfg)
	d := Wrap(a)
	t.Cleanup(func() { d.Close(); b.Close() })
	return d, b
}

func start(t testing.TB, d *Device, w io.Writer, cfg *Config) *Capture {
	t.Helper()
	c, err := d.Start(w, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

func stop(t testing.TB, c *Capture) Stats {
	t.Helper()
	s, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if s.Received != s.Frames+s.Filtered+s.Dropped {
		t.Errorf("stats do not add up: %+v", s)
	}
	return s
}

func write(t testing.TB, d tap.Device, frame []byte, off tap.Offload) {
	t.Helper()
	if err := d.Queues()[0].Write([][]byte{frame}, off); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, d tap.Device) ([]byte, tap.Offload) {
	t.Helper()
	buf := make([]byte, tap.MaxFrame)
	n, off, err := d.Queues()[0].Read([][]byte{buf[:10], buf[10:]})
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n], off
}

// readAll reads a file to its end, however that looks.
func readAll(file io.Reader) (frames []Frame, err error) {
	r, err := Open(file)
	if err != nil {
		return nil, err
	}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		f.Data = bytes.Clone(f.Data)
		frames = append(frames, f)
	}
}

func mustReadAll(t testing.TB, file []byte) []Frame {
	t.Helper()
	frames, err := readAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// A ticker is a clock that is a little later each time it is asked.
type ticker struct{ asked atomic.Int64 }

var tickerStart = time.Unix(1_700_000_000, 123_456_789).UTC()

const tick = time.Microsecond + time.Nanosecond

func (c *ticker) now() time.Time { return tickerStart.Add(time.Duration(c.asked.Add(1)) * tick) }

// numbered is a frame of n bytes, at least 18, with a number in it.
func numbered(n int, number uint32) []byte {
	f := make([]byte, n)
	copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	binary.BigEndian.PutUint32(f[14:], number)
	return f
}

func numberOf(frame []byte) uint32 { return binary.BigEndian.Uint32(frame[14:]) }

var (
	here  = host{mac: "\x02\x00\x00\x00\x00\x01", ip: netip.MustParseAddr("192.0.2.1")}
	there = host{mac: "\x02\x00\x00\x00\x00\x02", ip: netip.MustParseAddr("192.0.2.2")}
)

type host struct {
	mac string
	ip  netip.Addr
}

// udp is a frame from h to o. With partial, its checksum is as checksum
// offload leaves it.
func (h host) udp(o host, port uint16, payload string, partial bool) []byte {
	f := []byte(o.mac + h.mac + "\x08\x00" +
		"\x45\x00\x00\x00\x00\x00\x40\x00\x40\x11\x00\x00")
	f = append(f, h.ip.AsSlice()...)
	f = append(f, o.ip.AsSlice()...)
	ip := f[14:]
	f = binary.BigEndian.AppendUint16(f, port)
	f = binary.BigEndian.AppendUint16(f, port)
	f = binary.BigEndian.AppendUint16(f, uint16(8+len(payload)))
	f = append(f, 0, 0)
	f = append(f, payload...)
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip))

	pseudo := sum(17+uint32(8+len(payload)), f[26:34])
	if !partial {
		pseudo = ^sum(uint32(pseudo), f[34:])
	}
	binary.BigEndian.PutUint16(f[40:], pseudo)
	return f
}

// sum is the Internet checksum's sum (RFC 1071), not inverted.
func sum(s uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
