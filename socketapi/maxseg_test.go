package socketapi_test

import (
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// wire is what a link has seen of TCP.
type wire struct {
	announced atomic.Int64 // MSS of the last SYN
	largest   atomic.Int64 // TCP payload and options of the largest segment, after the device's cut
	data      atomic.Int64 // bytes of payload
}

// see looks at a frame.
func (w *wire) see(frame []byte, off tap.Offload) {
	eth := header.Ethernet(frame)
	packet := frame[header.EthernetMinimumSize:]
	var segment header.TCP
	switch eth.Type() {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(packet)
		segment = header.TCP(packet[ip.HeaderLength():ip.TotalLength()])
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(packet)
		if ip.NextHeader() != uint8(header.TCPProtocolNumber) {
			return
		}
		segment = header.TCP(packet[header.IPv6MinimumSize:][:ip.PayloadLength()])
	default:
		return
	}
	if segment.Flags()&header.TCPFlagSyn != 0 {
		w.announced.Store(int64(header.ParseSynOptions(segment.Options(), false).MSS))
		return
	}
	payload := len(segment.Payload())
	w.data.Add(int64(payload))
	if off.GSOSize != 0 {
		payload = min(payload, int(off.GSOSize))
	}
	if n := int64(payload + len(segment.Options())); n > w.largest.Load() {
		w.largest.Store(n)
	}
}

// maxSegLinks are devices that cut large frames, and ones that do not.
var maxSegLinks = map[string]*tap.PipeConfig{
	"small frames": nil,
	"large frames": {Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true}},
}

// maxSegConfigs have different options in their segments.
var maxSegConfigs = map[string]*stack.Config{"SACK": nil, "no SACK": {TCP: stack.TCPConfig{NoSACK: true}}}

// TestMaxSegOnTheWire: TCP_MAXSEG set on one socket before the handshake bounds
// what both ends put on the wire, and is announced; so on an accepted socket.
func TestMaxSegOnTheWire(t *testing.T) {
	t.Parallel()
	const bound, size = 700, 100_000
	for device, pipe := range maxSegLinks {
		for options_, cfg := range maxSegConfigs {
			for _, addr := range []netip.Addr{b4.Addr(), b6.Addr()} {
				for _, dialled := range []bool{true, false} {
					t.Run(device+", "+options_+", "+addr.String()+map[bool]string{true: ", dialled", false: ", accepted"}[dialled], func(t *testing.T) {
						a, b, la, lb := linked(t, pipe, cfg)
						var out, in wire
						la.look(out.see)
						lb.look(in.see)
						set := options(map[socketapi.Option]int{socketapi.TCP_MAXSEG: bound})
						var client, server func(*socketapi.Socket) error
						bounded := &in
						if client = set; dialled {
							bounded = &out
						} else {
							client, server = nil, set
						}
						c, s := connectWith(t, a, b, addr, client, server)
						exchangeBytes(t, c, s, size)
						exchangeBytes(t, s, c, size)
						if got := bounded.announced.Load(); got != bound {
							t.Errorf("announced %d, want %d", got, bound)
						}
						for name, w := range map[string]*wire{"client": &out, "server": &in} {
							// Nothing but SACK, which is not there, may make it less.
							if got := w.largest.Load(); got > bound || got < bound-40 || w.data.Load() < size {
								t.Errorf("from the %s: %d bytes in segments of %d, bound %d", name, w.data.Load(), got, bound)
							}
						}
						readsBack(t, c, int(out.largest.Load()))
						readsBack(t, s, int(in.largest.Load()))
					})
				}
			}
		}
	}
}

// readsBack asks for the size of c's segments, of which the largest had n bytes,
// options included.
func readsBack(t *testing.T, c *socketapi.TCPConn, n int) {
	t.Helper()
	mss, err := c.MaxSegment()
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	const timestamps = 12
	if mss+timestamps != n || info.Conn.SndMSS != mss {
		t.Errorf("TCP_MAXSEG reads %d, tcpi_snd_mss %d; the largest segment had %d with its timestamps", mss, info.Conn.SndMSS, n)
	}
}

// exchangeBytes sends n bytes from w to r.
func exchangeBytes(t *testing.T, w, r *socketapi.TCPConn, n int) {
	t.Helper()
	out := waitAside(func() error { _, err := w.Write(make([]byte, n)); return err })
	if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := endedWith(t, "Write", out); err != nil {
		t.Fatal(err)
	}
}

// TestMaxSegWhileConnected: it lowers what is sent from then on, in the middle of
// a transfer, and raises nothing; what was under way arrives.
func TestMaxSegWhileConnected(t *testing.T) {
	t.Parallel()
	for device, pipe := range maxSegLinks {
		t.Run(device, func(t *testing.T) {
			a, b, la, _ := linked(t, pipe, nil)
			c, s := connect(t, a, b, b4.Addr())
			var before, after wire
			la.look(before.see)
			exchangeBytes(t, c, s, 100_000)
			was, _ := c.MaxSegment()
			if before.largest.Load() <= 1000 {
				t.Fatalf("unbounded segments have %d", before.largest.Load())
			}
			// More than any window holds, so that much is under way.
			out := waitAside(func() error { _, err := c.Write(make([]byte, 3<<20)); return err })
			eventually(t, "the windows are full", func() bool {
				snd := c.SendBuffer()
				return snd.Unsent > 0 && snd.Window < was
			})
			if err := c.SetMaxSegment(536); err != nil {
				t.Fatal(err)
			}
			la.look(after.see)
			if _, err := io.CopyN(io.Discard, struct{ io.Reader }{s}, 3<<20); err != nil {
				t.Fatal(err)
			}
			if err := endedWith(t, "Write", out); err != nil {
				t.Fatal(err)
			}
			if got := after.largest.Load(); got > 536 || got < 536-40 || after.data.Load() == 0 {
				t.Errorf("segments of %d after the bound of 536", got)
			}
			readsBack(t, c, int(after.largest.Load()))
			lowered, _ := c.MaxSegment()
			if err := c.SetMaxSegment(1200); err != nil {
				t.Fatal(err)
			}
			if got, _ := c.MaxSegment(); got != lowered || got >= was {
				t.Errorf("asked for 1200: %d, was %d and %d at first", got, lowered, was)
			}
		})
	}
}

// TestMaxSegIsKept: what a socket says before it is connected, and what it
// refuses.
func TestMaxSegIsKept(t *testing.T) {
	a, _ := pair(t, nil)
	so, err := socketapi.NewSocket(a, "tcp4")
	if err != nil {
		t.Fatal(err)
	}
	defer so.Close()
	const unset = 536
	for _, c := range []struct {
		set  int
		want int
		err  error
	}{
		{0, unset, nil},
		{88, 88, nil},
		{87, 88, syscall.EINVAL},
		{-1, 88, syscall.EINVAL},
		{32767, 32767, nil},
		{32768, 32767, syscall.EINVAL},
		{0, unset, nil},
	} {
		if err := so.SetOption(socketapi.TCP_MAXSEG, c.set); !errors.Is(err, c.err) {
			t.Errorf("set %d: %v, want %v", c.set, err, c.err)
		}
		if got, err := so.Option(socketapi.TCP_MAXSEG); got != c.want || err != nil {
			t.Errorf("after %d: %d, %v, want %d", c.set, got, err, c.want)
		}
	}
}
