package stack_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/stack"
	"tapstack/tap"
)

var allOffloads = tap.Offloads{Csum: true, TSO4: true, TSO6: true, USO: true, ECN: true}

// offloadPeer is a stack behind a device with every offload, and the far end
// of the device.
func offloadPeer(t testing.TB) (*stack.Stack, tap.Queue) {
	t.Helper()
	ours, peer := tap.Pipe(&tap.PipeConfig{Offloads: allOffloads})
	t.Cleanup(func() { _ = peer.Close() })
	s, _ := newStack(t, ours, &stack.NICConfig{Addresses: []netip.Prefix{our4, our6}, HardwareAddr: ourMAC})
	listen(t, s, 80)
	return s, peer.Queues()[0]
}

func write(t testing.TB, q tap.Queue, frame []byte, off tap.Offload) {
	t.Helper()
	if err := q.Write([][]byte{frame}, off); err != nil {
		t.Fatal(err)
	}
}

// TestChecksumsAreBelievedOrVerified: a partial checksum must pass, because
// the sender leaves it to a wire that there is not; a frame that nobody
// vouches for must be verified, though the device has checksum offload.
func TestChecksumsAreBelievedOrVerified(t *testing.T) {
	good := ethernet(ourMAC, header.IPv4ProtocolNumber, ip4(header.TCPProtocolNumber, syn(false, 80)))
	bad := damaged(good, 14+20+16)
	for name, c := range map[string]struct {
		frame []byte
		off   tap.Offload
		drops uint64
	}{
		"right, unflagged": {good, tap.Offload{}, 0},
		"wrong, unflagged": {bad, tap.Offload{}, 1},
		"partial":          {bad, tap.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}, 0},
		"vouched for":      {bad, tap.Offload{CsumValid: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, q := offloadPeer(t)
			write(t, q, c.frame, c.off)
			eventually(t, "it is counted", func() bool {
				st := s.Stats()
				return st.TCP.SegmentsReceived+st.Drops.TCPChecksum > 0
			})
			if got := s.Stats().Drops.TCPChecksum; got != c.drops {
				t.Errorf("%d dropped, want %d", got, c.drops)
			}
		})
	}
}

// TestUSOIsCut: one large UDP frame is as many datagrams as it says.
func TestUSOIsCut(t *testing.T) {
	for _, c := range []struct {
		bytes     int
		datagrams uint64
	}{{2500, 3}, {2000, 2}, {1, 1}, {0, 1}} {
		payload := make([]byte, c.bytes)
		for name, f := range map[string]struct {
			frame []byte
			start uint16
		}{
			"IPv4": {ethernet(ourMAC, header.IPv4ProtocolNumber, ip4(header.UDPProtocolNumber, datagram(false, 53, payload))), 34},
			"IPv6": {ethernet(ourMAC, header.IPv6ProtocolNumber, ip6(header.UDPProtocolNumber, datagram(true, 53, payload))), 54},
		} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, c.bytes), func(t *testing.T) {
				s, q := offloadPeer(t)
				write(t, q, f.frame, tap.Offload{NeedsCsum: true, CsumStart: f.start, CsumOffset: 6, GSO: tap.GSOUDP, GSOSize: 1000})
				// Behind it, so that it has been cut when this is counted.
				write(t, q, ethernet(net.HardwareAddr{2, 9, 9, 9, 9, 9}, header.IPv4ProtocolNumber, nil), tap.Offload{})
				eventually(t, "the second frame", func() bool { return s.Stats().NICs[0].DropOtherHost == 1 })
				// To no socket: each datagram is a drop of its own.
				if st := s.Stats(); st.Drops.UDPNoSocket != c.datagrams || st.NICs[0].DropUSO != 0 {
					t.Errorf("%d datagrams, want %d", st.Drops.UDPNoSocket, c.datagrams)
				}
			})
		}
	}
}

// TestHostileUSO: a frame that says it is many datagrams, and is not UDP.
func TestHostileUSO(t *testing.T) {
	for name, packet := range map[string][]byte{
		"TCP inside":          ip4(header.TCPProtocolNumber, make([]byte, 100)),
		"version 5":           append([]byte{0x55}, make([]byte, 100)...),
		"IPv4 header too big": append([]byte{0x4f}, make([]byte, 50)...),
		"IPv4 header of 0":    append([]byte{0x40}, make([]byte, 50)...),
	} {
		t.Run(name, func(t *testing.T) {
			s, q := offloadPeer(t)
			write(t, q, ethernet(ourMAC, header.IPv4ProtocolNumber, packet),
				tap.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6, GSO: tap.GSOUDP, GSOSize: 10})
			eventually(t, "it is counted", func() bool { return s.Stats().NICs[0].DropUSO == 1 })
		})
	}
}

// FuzzOffload is FuzzInbound with offload headers in front.
func FuzzOffload(f *testing.F) {
	udp := ethernet(ourMAC, header.IPv4ProtocolNumber, ip4(header.UDPProtocolNumber, datagram(false, 53, make([]byte, 2500))))
	tcp := ethernet(ourMAC, header.IPv4ProtocolNumber, ip4(header.TCPProtocolNumber, syn(false, 80)))
	f.Add(udp, true, false, uint8(tap.GSOUDP), uint16(1000), uint16(34), uint16(6), uint16(42))
	f.Add(tcp, true, false, uint8(tap.GSONone), uint16(0), uint16(34), uint16(16), uint16(54))
	f.Add(tcp, false, true, uint8(tap.GSOTCPv4), uint16(1), uint16(0), uint16(0), uint16(0))
	s, q := offloadPeer(f)
	p := &prober{q: q, buf: make([]byte, tap.MaxFrame)}
	f.Fuzz(func(t *testing.T, frame []byte, needsCsum, csumValid bool, gso uint8, size, start, offset, hdrLen uint16) {
		off := tap.Offload{
			NeedsCsum: needsCsum, CsumValid: csumValid, CsumStart: start, CsumOffset: offset,
			GSO: tap.GSOType(gso % 4), GSOSize: size, HdrLen: hdrLen,
		}
		if err := q.Write([][]byte{frame}, off); err != nil {
			return // no device would have carried it
		}
		p.probe(t, s)
	})
}
