package stack

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// usoDevice takes every frame that a device with USO would take, and keeps it.
type usoDevice struct {
	sinkDevice
	without bool  // USO
	fail    error // what every write returns
	frames  []usoFrame
}

type usoFrame struct {
	data []byte
	off  tap.Offload
}

func (d *usoDevice) Queues() []tap.Queue    { return []tap.Queue{d} }
func (d *usoDevice) Offloads() tap.Offloads { return tap.Offloads{Csum: true, USO: !d.without} }

func (d *usoDevice) Write(bufs [][]byte, off tap.Offload) error {
	if d.fail != nil {
		return d.fail
	}
	data := bytes.Join(bufs, nil)
	d.frames = append(d.frames, usoFrame{data, off})
	return off.Check(len(data), d.MTU(), d.Offloads())
}

// udpSpec is a datagram to be sent. The zero value is IPv4 and has no payload.
type udpSpec struct {
	size     int
	port     uint16
	v6       bool
	ttl, tos uint8
	df       bool
	options  int // bytes of IPv4 options
	fragment bool
	noSum    bool
	wrongLen bool
	foreign  bool // not the batch's
	mac      byte // of the neighbour
}

var (
	udpFrom4, udpTo4 = tcpip.AddrFrom4([4]byte{192, 0, 2, 1}), tcpip.AddrFrom4([4]byte{192, 0, 2, 2})
	udpFrom6, udpTo6 = tcpip.AddrFrom16([16]byte{0x20, 1, 15: 1}), tcpip.AddrFrom16([16]byte{0x20, 1, 15: 2})
)

// packet makes it as gVisor hands it over; i tells it from others.
func (u *udpSpec) packet(owner tcpip.PacketOwner, i int) *netstack.PacketBuffer {
	const headers = header.EthernetMinimumSize + header.IPv4MaximumHeaderSize + header.UDPMinimumSize
	payload := bytes.Repeat([]byte{byte(i)}, u.size)
	pkt := netstack.NewPacketBuffer(netstack.PacketBufferOptions{
		ReserveHeaderBytes: headers,
		Payload:            buffer.MakeWithData(payload),
	})
	udp := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
	pkt.TransportProtocolNumber = header.UDPProtocolNumber
	n := uint16(len(udp) + u.size)
	src, dst := udpFrom4, udpTo4
	if u.v6 {
		src, dst = udpFrom6, udpTo6
	}
	udp.Encode(&header.UDPFields{SrcPort: 1000, DstPort: 2000 + u.port, Length: n})
	if !u.noSum {
		udp.SetChecksum(^udp.CalculateChecksum(checksum.Checksum(payload,
			header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, n))))
	}
	if u.wrongLen {
		udp.SetLength(n + 1)
	}
	u.network(pkt, src, dst, i)
	pkt.EgressRoute.LocalLinkAddress = testAddr
	pkt.EgressRoute.RemoteLinkAddress = tcpip.LinkAddress([]byte{2, 0, 0, 0, 0, u.mac})
	if !u.foreign {
		pkt.Owner = owner
	}
	return pkt
}

func (u *udpSpec) network(pkt *netstack.PacketBuffer, src, dst tcpip.Address, i int) {
	length := uint16(pkt.Size())
	if u.v6 {
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
		header.IPv6(pkt.NetworkHeader().Push(header.IPv6MinimumSize)).Encode(&header.IPv6Fields{
			TrafficClass: u.tos, PayloadLength: length, TransportProtocol: header.UDPProtocolNumber,
			HopLimit: 64 + u.ttl, SrcAddr: src, DstAddr: dst,
		})
		return
	}
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	ip := header.IPv4(pkt.NetworkHeader().Push(header.IPv4MinimumSize + u.options))
	f := header.IPv4Fields{
		TotalLength: uint16(len(ip)) + length, TTL: 64 + u.ttl, TOS: u.tos, ID: uint16(1000 * i),
		Protocol: uint8(header.UDPProtocolNumber), SrcAddr: src, DstAddr: dst,
	}
	for range u.options {
		f.Options = append(f.Options, &header.IPv4SerializableNOPOption{})
	}
	if u.df {
		f.Flags, f.ID = header.IPv4FlagDontFragment, 0
	}
	if u.fragment {
		f.Flags = header.IPv4FlagMoreFragments
	}
	ip.Encode(&f)
	ip.SetChecksum(^ip.CalculateChecksum())
}

// sendAll writes the datagrams through a batch, and returns them as frames of
// their own and what came out of the device.
func sendAll(t *testing.T, dev *usoDevice, specs []udpSpec) (sent [][]byte, frames []usoFrame) {
	t.Helper()
	l := newLink(dev, testAddr, nil)
	var b Batch
	b.Begin()
	for i := range specs {
		pkt := specs[i].packet(&b, i)
		l.AddHeader(pkt)
		sent = append(sent, bytes.Join(appendFrame(nil, pkt, 0), nil))
		b.Next(specs[i].size)
		if err := l.write(pkt); err != nil {
			t.Fatal(err)
		}
		pkt.DecRef()
	}
	b.End()
	if b.Flush() {
		t.Error("something was left")
	}
	return sent, dev.frames
}

// pieces cuts a frame as the device would, after looking whether it can.
func (f *usoFrame) pieces(t *testing.T) (cut [][]byte) {
	t.Helper()
	if f.off == (tap.Offload{}) {
		return [][]byte{f.data}
	}
	eth, ip := f.data[:header.EthernetMinimumSize], f.data[header.EthernetMinimumSize:]
	ipLen, ok := udpOffset(ip)
	if !ok {
		t.Fatalf("% x", f.data)
	}
	udp := header.UDP(ip[ipLen:])
	checkWhole(t, ip, ipLen, udp)
	hdr := len(eth) + ipLen + header.UDPMinimumSize
	want := tap.Offload{NeedsCsum: true, CsumStart: uint16(len(eth) + ipLen), CsumOffset: 6, HdrLen: uint16(hdr), GSO: tap.GSOUDP, GSOSize: f.off.GSOSize}
	if f.off != want {
		t.Errorf("offload %+v, want %+v", f.off, want)
	}
	id := header.IPv4(ip).ID()
	for data := range slices.Chunk(f.data[hdr:], int(f.off.GSOSize)) {
		p := append(slices.Clone(f.data[:hdr]), data...)
		ip := p[len(eth):]
		setLengths(ip, ipLen, len(data))
		sum := header.UDP(ip[ipLen:])
		src, dst := udpFrom6, udpTo6
		if header.IPVersion(ip) == header.IPv4Version {
			src, dst = udpFrom4, udpTo4
			header.IPv4(ip).SetID(id)
			header.IPv4(ip).SetChecksum(0)
			header.IPv4(ip).SetChecksum(^header.IPv4(ip).CalculateChecksum())
			id++
		}
		sum.SetChecksum(0)
		sum.SetChecksum(^sum.CalculateChecksum(checksum.Checksum(data,
			header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, sum.Length()))))
		cut = append(cut, p)
	}
	return cut
}

// checkWhole looks at the headers of a large frame.
func checkWhole(t *testing.T, ip []byte, ipLen int, udp header.UDP) {
	t.Helper()
	n := uint16(len(udp))
	if udp.Length() != n {
		t.Errorf("UDP length %d of %d bytes", udp.Length(), n)
	}
	src, dst := udpFrom6, udpTo6
	if header.IPVersion(ip) == header.IPv4Version {
		src, dst = udpFrom4, udpTo4
		if h := header.IPv4(ip); int(h.TotalLength()) != len(ip) || h.CalculateChecksum() != 0xffff {
			t.Errorf("IPv4 header % x of %d bytes", ip[:ipLen], len(ip))
		}
	} else if int(header.IPv6(ip).PayloadLength()) != len(ip)-ipLen {
		t.Errorf("IPv6 header % x of %d bytes", ip[:ipLen], len(ip))
	}
	if sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, n); udp.Checksum() != sum {
		t.Errorf("UDP checksum %x, want the pseudo-header's %x", udp.Checksum(), sum)
	}
}

// same compares what was sent with what the device has cut, but for IPv4's
// identification, which it sets.
func same(t *testing.T, sent [][]byte, frames []usoFrame) {
	t.Helper()
	var got [][]byte
	for i := range frames {
		got = append(got, frames[i].pieces(t)...)
	}
	if len(got) != len(sent) {
		t.Fatalf("%d datagrams of %d", len(got), len(sent))
	}
	for i := range sent {
		for _, p := range [][]byte{got[i], sent[i]} {
			if ip := p[header.EthernetMinimumSize:]; header.IPVersion(ip) == header.IPv4Version {
				header.IPv4(ip).SetID(0)
				header.IPv4(ip).SetChecksum(0)
			}
		}
		if !bytes.Equal(got[i], sent[i]) {
			t.Fatalf("datagram %d is\n% x, not\n% x", i, got[i], sent[i])
		}
	}
}

// times is n equal datagrams.
func times(n int, u udpSpec) []udpSpec { return slices.Repeat([]udpSpec{u}, n) }

// TestBatch: which datagrams are joined, in their order, and how.
func TestBatch(t *testing.T) {
	one := udpSpec{size: 100}
	but := func(change func(*udpSpec)) []udpSpec { u := one; change(&u); return times(2, u) }
	for name, c := range map[string]struct {
		specs  []udpSpec
		frames []int // datagrams in each
	}{
		"none":                   {nil, nil},
		"one":                    {times(1, one), []int{1}},
		"two":                    {times(2, one), []int{2}},
		"64":                     {times(64, one), []int{64}},
		"more than 64":           {times(130, one), []int{64, 64, 2}},
		"64 KiB":                 {times(50, udpSpec{size: 1472}), []int{44, 6}},
		"64 KiB, IPv6":           {times(50, udpSpec{size: 1452, v6: true}), []int{45, 5}},
		"all of 65,535 bytes":    {slices.Concat(times(63, udpSpec{size: 1024}), times(1, udpSpec{size: 995})), []int{64}},
		"one byte more":          {slices.Concat(times(63, udpSpec{size: 1024}), times(1, udpSpec{size: 996})), []int{63, 1}},
		"one byte each":          {times(3, udpSpec{size: 1}), []int{3}},
		"a shorter one ends":     {slices.Concat(times(3, one), times(1, udpSpec{size: 99}), times(2, one)), []int{4, 2}},
		"a longer one begins":    {slices.Concat(times(2, one), times(2, udpSpec{size: 101})), []int{2, 2}},
		"an empty one between":   {slices.Concat(times(2, one), times(2, udpSpec{}), times(2, one)), []int{2, 1, 1, 2}},
		"ports":                  {slices.Concat(times(2, one), but(func(u *udpSpec) { u.port = 1 }), times(2, one)), []int{2, 2, 2}},
		"interleaved":            {slices.Concat(times(1, one), times(1, udpSpec{size: 100, port: 1}), times(1, one)), []int{1, 1, 1}},
		"neighbours":             {slices.Concat(times(2, one), but(func(u *udpSpec) { u.mac = 1 })), []int{2, 2}},
		"TTL":                    {slices.Concat(times(2, one), but(func(u *udpSpec) { u.ttl = 1 })), []int{2, 2}},
		"TOS":                    {slices.Concat(times(2, one), but(func(u *udpSpec) { u.tos = 4 })), []int{2, 2}},
		"hop limit":              {slices.Concat(times(2, udpSpec{size: 9, v6: true}), times(2, udpSpec{size: 9, v6: true, ttl: 1})), []int{2, 2}},
		"traffic class":          {slices.Concat(times(2, udpSpec{size: 9, v6: true}), times(2, udpSpec{size: 9, v6: true, tos: 4})), []int{2, 2}},
		"don't fragment":         {slices.Concat(times(2, one), but(func(u *udpSpec) { u.df = true })), []int{2, 2}},
		"families":               {slices.Concat(times(2, one), but(func(u *udpSpec) { u.v6 = true })), []int{2, 2}},
		"options":                {slices.Concat(times(2, one), but(func(u *udpSpec) { u.options = 4 })), []int{2, 1, 1}},
		"fragments":              {slices.Concat(times(2, one), but(func(u *udpSpec) { u.fragment = true })), []int{2, 1, 1}},
		"without checksum":       {slices.Concat(times(2, one), but(func(u *udpSpec) { u.noSum = true })), []int{2, 1, 1}},
		"lengths that disagree":  {slices.Concat(times(2, one), but(func(u *udpSpec) { u.wrongLen = true })), []int{2, 1, 1}},
		"somebody else's go now": {slices.Concat(times(1, udpSpec{size: 100, foreign: true}), times(2, one)), []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			sent, frames := sendAll(t, &usoDevice{}, c.specs)
			same(t, sent, frames)
			var got []int
			for i := range frames {
				n := 1
				if size := int(frames[i].off.GSOSize); size > 0 {
					n = (len(frames[i].data) - int(frames[i].off.HdrLen) + size - 1) / size
				}
				got = append(got, n)
			}
			if !slices.Equal(got, c.frames) {
				t.Errorf("frames of %d, want %d", got, c.frames)
			}
		})
	}
}

// TestBatchWithoutUSO: they go one by one, at once.
func TestBatchWithoutUSO(t *testing.T) {
	sent, frames := sendAll(t, &usoDevice{without: true}, times(10, udpSpec{size: 100}))
	same(t, sent, frames)
	if len(frames) != 10 {
		t.Errorf("%d frames", len(frames))
	}
}

// TestBatchTooLong: what has become longer than the MTU is not joined, so that
// the device counts each.
func TestBatchTooLong(t *testing.T) {
	dev := &usoDevice{}
	_, frames := sendAll(t, dev, times(3, udpSpec{size: 1473}))
	if len(frames) != 3 {
		t.Errorf("%d frames", len(frames))
	}
}

// TestBatchLost: the datagrams of a frame that the device does not take are
// counted, and no packet is kept.
func TestBatchLost(t *testing.T) {
	for _, fail := range []error{tap.ErrFull, tap.ErrDown, tap.ErrGone} {
		t.Run(fail.Error(), func(t *testing.T) {
			dev := &usoDevice{fail: fmt.Errorf("write: %w", fail)}
			l := newLink(dev, testAddr, nil)
			var b Batch
			b.Begin()
			for i := range 5 {
				pkt := (&udpSpec{size: 100}).packet(&b, i)
				l.AddHeader(pkt)
				if err := l.write(pkt); err != nil {
					t.Error(err)
				}
				pkt.DecRef()
			}
			b.End()
			if sent, lost := l.merged.sent.Load(), l.merged.lost.Load(); sent != 0 || lost != 5 {
				t.Errorf("sent %d, lost %d", sent, lost)
			}
		})
	}
}

// TestBatchClosed: without Begin, and after End, nothing waits.
func TestBatchClosed(t *testing.T) {
	dev := &usoDevice{}
	l := newLink(dev, testAddr, nil)
	var b Batch
	for i := range 2 {
		pkt := (&udpSpec{size: 100}).packet(&b, i)
		l.AddHeader(pkt)
		if err := l.write(pkt); err != nil || len(dev.frames) != i+1 {
			t.Error(err, len(dev.frames))
		}
		pkt.DecRef()
		b.Begin()
		b.End()
	}
}

// TestBatchLinks: one frame never holds what goes to two devices.
func TestBatchLinks(t *testing.T) {
	devs := []*usoDevice{{}, {}}
	links := []*link{newLink(devs[0], testAddr, nil), newLink(devs[1], testAddr, nil)}
	var b Batch
	b.Begin()
	for i := range 8 {
		pkt := (&udpSpec{size: 100}).packet(&b, i)
		l := links[i/2%2]
		l.AddHeader(pkt)
		if err := l.write(pkt); err != nil {
			t.Error(err)
		}
		pkt.DecRef()
	}
	b.End()
	for i, d := range devs {
		if len(d.frames) != 2 || links[i].merged.sent.Load() != 4 {
			t.Errorf("device %d: %d frames, %d datagrams", i, len(d.frames), links[i].merged.sent.Load())
		}
	}
}

// FuzzBatch: whatever is sent comes out as it was, in order. Four bytes make a
// datagram.
func FuzzBatch(f *testing.F) {
	f.Add(bytes.Repeat([]byte{100, 0, 0, 0}, 70))
	f.Add([]byte{100, 0, 0, 0, 100, 0, 0, 0, 99, 0, 0, 0, 100, 1, 0, 0, 100, 1, 4, 0, 0, 0, 0, 0})
	f.Add(slices.Concat(bytes.Repeat([]byte{200, 5, 0, 1}, 66), bytes.Repeat([]byte{3, 0, 1, 1}, 4), []byte{1, 0, 2, 1, 1, 0, 8, 0, 1, 0, 16, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var specs []udpSpec
		for b := range slices.Chunk(b, 4) {
			if len(b) < 4 || len(specs) > 300 {
				break
			}
			specs = append(specs, udpSpec{
				size: min(int(b[0])+int(b[1]&7)<<8, 1452), port: uint16(b[1] >> 6), ttl: b[1] >> 3 & 1, tos: b[1] >> 4 & 1,
				df: b[2]&1 != 0, fragment: b[2]&2 != 0, noSum: b[2]&4 != 0, wrongLen: b[2]&8 != 0,
				options: int(b[2] >> 4 & 4), foreign: false, v6: b[3]&1 != 0, mac: b[3] >> 7,
			})
			if u := &specs[len(specs)-1]; u.v6 {
				u.noSum, u.fragment, u.options = false, false, 0
			} else if u.fragment {
				u.df = false
			}
		}
		sent, frames := sendAll(t, &usoDevice{}, specs)
		same(t, sent, frames)
	})
}

// BenchmarkBatch is what 64 datagrams cost the link endpoint, one by one and in
// a batch.
func BenchmarkBatch(b *testing.B) {
	for name, owner := range map[string]*Batch{"single": nil, "batch": new(Batch)} {
		b.Run(name, func(b *testing.B) {
			l := newLink(&usoSink{}, testAddr, nil)
			var o tcpip.PacketOwner
			if owner != nil {
				o = owner
			}
			pkt := (&udpSpec{size: 64}).packet(o, 0)
			defer pkt.DecRef()
			l.AddHeader(pkt)
			b.ReportAllocs()
			for b.Loop() {
				if owner != nil {
					owner.Begin()
				}
				for range runMax {
					if err := l.write(pkt); err != nil {
						b.Fatal(err)
					}
				}
				if owner != nil {
					owner.End()
				}
			}
		})
	}
}

// usoSink is a sinkDevice with USO.
type usoSink struct{ sinkDevice }

func (*usoSink) Offloads() tap.Offloads { return tap.Offloads{Csum: true, USO: true} }

// TestBatchAllocates nothing in the link endpoint.
func TestBatchAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := newLink(&usoSink{}, testAddr, nil)
	var b Batch
	pkt := (&udpSpec{size: 64}).packet(&b, 0)
	defer pkt.DecRef()
	l.AddHeader(pkt)
	if n := testing.AllocsPerRun(100, func() {
		b.Begin()
		for range 70 {
			_ = l.write(pkt)
		}
		b.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
