package stack

import (
	"errors"
	"net"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// sinkDevice takes every frame and has none: what is left is the cost of the
// link endpoint.
type sinkDevice struct{ last tap.Offload }

func (*sinkDevice) Name() string           { return "sink" }
func (*sinkDevice) MTU() int               { return 1500 }
func (d *sinkDevice) Queues() []tap.Queue  { return []tap.Queue{d} }
func (*sinkDevice) Offloads() tap.Offloads { return tap.Offloads{Csum: true, TSO4: true, TSO6: true} }
func (*sinkDevice) Stats() tap.Stats       { return tap.Stats{} }
func (*sinkDevice) Close() error           { return nil }
func (*sinkDevice) Read([][]byte) (int, tap.Offload, error) {
	return 0, tap.Offload{}, net.ErrClosed
}

func (d *sinkDevice) Write(_ [][]byte, off tap.Offload) error {
	d.last = off
	return nil
}

// nobody is the network layer of a link under test.
type nobody struct{ packets int }

func (n *nobody) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *netstack.PacketBuffer) {
	n.packets++
}
func (*nobody) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *netstack.PacketBuffer) {}

const testAddr = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x01")

// tcpPacket is an outgoing segment of n payload bytes as gVisor hands it over.
func tcpPacket(n int) *netstack.PacketBuffer {
	pkt := netstack.NewPacketBuffer(netstack.PacketBufferOptions{
		ReserveHeaderBytes: header.EthernetMinimumSize + header.IPv4MinimumSize + header.TCPMinimumSize,
		Payload:            buffer.MakeWithView(buffer.NewViewSize(n)),
	})
	pkt.TransportHeader().Push(header.TCPMinimumSize)
	pkt.NetworkHeader().Push(header.IPv4MinimumSize)
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	pkt.GSOOptions = netstack.GSO{
		Type: netstack.GSOTCPv4, NeedsCsum: true, CsumOffset: header.TCPChecksumOffset,
		MSS: 1460, L3HdrLen: header.IPv4MinimumSize,
	}
	return pkt
}

// TestOutgoing: what the device is told, also after the MTU has become smaller
// than what the connection's MSS was made for.
func TestOutgoing(t *testing.T) {
	for _, c := range []struct {
		name     string
		payload  int
		mtu      uint32
		gso      tap.GSOType
		gsoSize  uint16
		needCsum bool
	}{
		{"one segment", 1460, 1500, tap.GSONone, 0, true},
		{"many segments", 14_600, 1500, tap.GSOTCPv4, 1460, true},
		{"many segments, MTU now smaller", 14_600, 1300, tap.GSOTCPv4, 1260, true},
		{"one segment, MTU now smaller", 1460, 1300, tap.GSOTCPv4, 1260, true},
		{"many segments, MTU now larger", 14_600, 9000, tap.GSOTCPv4, 1460, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dev := &sinkDevice{}
			l := newLink(dev, testAddr, nil)
			l.SetMTU(c.mtu)
			pkt := tcpPacket(c.payload)
			l.AddHeader(pkt)
			if err := l.write(pkt); err != nil {
				t.Fatal(err)
			}
			pkt.DecRef()
			if got := dev.last; got.GSO != c.gso || got.GSOSize != c.gsoSize || got.NeedsCsum != c.needCsum || got.CsumStart != 34 {
				t.Errorf("%+v", got)
			}
			if err := dev.last.Check(c.payload+54, int(c.mtu), dev.Offloads()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChanged: the MTU is the device's, which may keep below its interface's.
func TestChanged(t *testing.T) {
	l := newLink(&sinkDevice{}, testAddr, nil)
	l.changed(tap.Interface{MTU: 9000})
	if l.up.Load() || l.MTU() != 1500 {
		t.Errorf("up %v, MTU %d", l.up.Load(), l.MTU())
	}
}

// droppingDevice is a device with an interface that drops.
type droppingDevice struct{ tap.Device }

func (droppingDevice) Interface() (tap.Interface, error) {
	return tap.Interface{Up: true, TxDropped: 7, RxDropped: 9}, nil
}

// TestKernelDrops: what the kernel lost is in the statistics, seen from here.
func TestKernelDrops(t *testing.T) {
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ours, peer := tap.Pipe(nil)
	defer peer.Close()
	if _, err := s.AddNIC(droppingDevice{ours}, nil); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().NICs[0]; n.KernelDropsIn != 7 || n.KernelDropsOut != 9 {
		t.Errorf("in %d, out %d", n.KernelDropsIn, n.KernelDropsOut)
	}
}

// TestEndIsNamedOnce: whatever the device's error says by itself.
func TestEndIsNamedOnce(t *testing.T) {
	ours, peer := tap.Pipe(nil)
	defer peer.Close()
	defer ours.Close()
	for _, err := range []error{errors.New("read: gone"), errors.New(ours.Name() + ": read: gone")} {
		s, e := New(nil)
		if e != nil {
			t.Fatal(e)
		}
		s.deviceFailed(ours, err)
		if got, want := s.Err(), "nic "+ours.Name()+": read: gone"; got.Error() != want || !errors.Is(got, err) {
			t.Errorf("%q, want %q", got, want)
		}
		_ = s.Close()
	}
}

// TestAddNoDevice: that is an error, and the stack goes on.
func TestAddNoDevice(t *testing.T) {
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.AddNIC(nil, nil); err == nil || s.Err() != nil {
		t.Errorf("%v, and the stack has %v", err, s.Err())
	}
}

// TestSendErrors: what a device refuses is counted, though nobody above the
// link hears of it.
func TestSendErrors(t *testing.T) {
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ours, peer := tap.Pipe(nil)
	n, err := s.AddNIC(ours, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil { // a pulled cable
		t.Fatal(err)
	}
	send(t, n.link, segment{1000, 1, ackFlag, 12, 0})
	send(t, n.link, segment{1000, 1, ackFlag, 0, 50})
	datagram := tcpPacket(10)
	defer datagram.DecRef()
	datagram.TransportProtocolNumber = header.UDPProtocolNumber
	n.link.AddHeader(datagram)
	if err := n.link.write(datagram); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.TCP.SendErrors != 2 || st.UDP.SendErrors != 1 {
		t.Errorf("%d segments, %d datagrams, want 2 and 1; the device: %+v", st.TCP.SendErrors, st.UDP.SendErrors, st.NICs[0].Device.TxDrops)
	}
}

func BenchmarkLinkOut(b *testing.B) {
	for name, n := range map[string]int{"1448": 1448, "64K": 65_160} {
		b.Run(name, func(b *testing.B) {
			l := newLink(&sinkDevice{}, testAddr, nil)
			pkt := tcpPacket(n)
			defer pkt.DecRef()
			l.AddHeader(pkt)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.write(pkt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLinkIn(b *testing.B) {
	for name, n := range map[string]int{"60": 60, "1514": 1514, "9014": 9014, "64K": 65_226} {
		b.Run(name, func(b *testing.B) {
			l := newLink(&sinkDevice{}, testAddr, nil)
			l.Attach(&nobody{})
			rx := newRxBuffer()
			defer rx.release()
			b.ReportAllocs()
			for b.Loop() {
				copy(rx.bufs[0], testAddr)
				l.receive(rx.take(n), tap.Offload{NeedsCsum: true})
			}
		})
	}
}

// BenchmarkChecksum is what a frame costs that nobody vouches for: gVisor's sum
// over it.
func BenchmarkChecksum(b *testing.B) {
	for name, n := range map[string]int{"20": 20, "1460": 1460, "64K": 65_160} {
		b.Run(name, func(b *testing.B) {
			data := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if checksum.Checksum(data, 0) != 0 {
					b.Fatal("the sum of nothing")
				}
			}
		})
	}
}
