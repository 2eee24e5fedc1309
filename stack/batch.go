package stack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// Batch joins what one UDP endpoint sends between Begin and End: consecutive
// datagrams of a flow leave as one frame that the device cuts (USO), as far as
// it can and they are alike. A frame costs a system call and the receiver's
// whole path on our thread, so a batch of small datagrams costs a fraction of
// the same datagrams one by one.
//
// A Batch is the owner of the endpoint's packets (tcpip.Endpoint.SetOwner): by
// that the link endpoint knows them. It may stay so; outside of Begin and End
// nothing waits. It keeps packets of one frame at most, 64 datagrams and 64 KiB,
// and nobody waits for more: what is kept leaves when a datagram comes that
// cannot join it, and with End. The stack's and the endpoint's counters take
// what is kept as sent; see NICStats for what the device did not take then.
//
// The zero value is ready. Methods are safe for concurrent use, but Begin and
// End belong to one sender at a time.
type Batch struct {
	mu   sync.Mutex
	open bool
	run  run
}

// KUID implements tcpip.PacketOwner, which gVisor asks for a user where its
// packet filter wants to know one.
func (*Batch) KUID() uint32 { return 0 }

// KGID implements tcpip.PacketOwner.
func (*Batch) KGID() uint32 { return 0 }

// Begin has datagrams wait for more of their kind. End must follow.
func (b *Batch) Begin() {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
}

// End sends what waits. From here on nothing does.
func (b *Batch) End() {
	b.mu.Lock()
	b.open = false
	b.run.flush()
	b.mu.Unlock()
}

// Flush sends what waits, and reports whether anything did. Until then it counts
// against the endpoint's send buffer.
func (b *Batch) Flush() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run.flush()
}

// Next is told how many payload bytes the next datagram has, before the
// endpoint is: one that is longer than those that wait cannot join them, and
// may not even come by here, because it is sent in fragments. Without it such
// a datagram could overtake them.
func (b *Batch) Next(size int) {
	b.mu.Lock()
	if size > b.run.size {
		b.run.flush()
	}
	b.mu.Unlock()
}

// take keeps a packet that l is to write, and reports whether it did. If not it
// has sent what the packet must not overtake.
func (b *Batch) take(l *link, pkt *netstack.PacketBuffer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false
	}
	d, ok := datagramOf(pkt)
	ok = ok && l.uso && d.headers()+d.size <= int(l.mtu.Load())+header.EthernetMinimumSize
	if !ok || !b.run.joins(l, &d) {
		b.run.flush()
	}
	if ok {
		b.run.add(l, pkt, &d)
	}
	return ok
}

// What a frame may hold. Linux allows 64 pieces of a program, whatever the size
// (UDP_MAX_SEGMENTS, 128 since 6.9), and IP no more bytes, headers included.
const (
	runMax      = 64
	runMaxBytes = 1<<16 - 1
)

// run is a frame in the making: datagrams of one flow and of one size, but for
// the last, which may be shorter.
type run struct {
	link  *link
	first datagram
	size  int // payload bytes of each, 0 if there are none
	bytes int // payload of all
	n     int
	pkts  [runMax]*netstack.PacketBuffer // a reference each
	bufs  [][]byte                       // for flush, which shall not allocate
}

// joins reports whether a datagram may be the next piece of the frame.
func (r *run) joins(l *link, d *datagram) bool {
	return r.n > 0 && r.link == l && d.kind == r.first.kind && d.size <= r.size &&
		d.headers()-header.EthernetMinimumSize+r.bytes+d.size <= runMaxBytes
}

// add keeps a datagram that joins the frame or begins one. A frame to which
// nothing can be added leaves at once.
func (r *run) add(l *link, pkt *netstack.PacketBuffer, d *datagram) {
	if r.n == 0 {
		r.link, r.first, r.size, r.bytes = l, *d, d.size, 0
	}
	r.pkts[r.n] = pkt.IncRef()
	r.n++
	r.bytes += d.size
	if r.n == runMax || d.size < r.size {
		r.flush()
	}
}

// flush writes the frame, if there is one, and forgets it. What the device does
// not take is lost and counted, as with the datagrams of a full queue.
func (r *run) flush() bool {
	switch r.n {
	case 0:
		return false
	case 1:
		_ = r.link.writeFrame(r.pkts[0])
	default:
		r.write()
	}
	for i := range r.n {
		r.pkts[i].DecRef()
	}
	clear(r.pkts[:r.n])
	r.link, r.n, r.size = nil, 0, 0
	return true
}

// write writes several datagrams as one frame: the headers of one that were as
// long, and all payloads where they are.
func (r *run) write() {
	l := r.link
	hdr := r.first.whole(r.bytes)
	r.bufs = append(r.bufs, hdr)
	for _, pkt := range r.pkts[:r.n] {
		r.bufs = appendFrame(r.bufs, pkt, len(hdr))
	}
	err := l.send(l.queueFor(r.pkts[0]), nil, r.bufs, tap.Offload{
		NeedsCsum:  true,
		CsumStart:  uint16(len(hdr) - header.UDPMinimumSize),
		CsumOffset: udpChecksumOffset,
		HdrLen:     uint16(len(hdr)),
		GSO:        tap.GSOUDP,
		GSOSize:    uint16(r.size),
	})
	clear(r.bufs)
	r.bufs = r.bufs[:0]
	if err != nil {
		l.merged.lost.Add(uint64(r.n))
		return
	}
	l.merged.sent.Add(uint64(r.n))
}

// linkMerged counts the datagrams of frames that a Batch has made.
type linkMerged struct{ sent, lost atomic.Uint64 }

const (
	udpChecksumOffset  = 6
	datagramHeadersMax = header.EthernetMinimumSize + header.IPv6MinimumSize + header.UDPMinimumSize
)

// datagram is what must be known of an outgoing packet to join it with others.
type datagram struct {
	kind datagramKind
	id   uint16 // IPv4's identification
	size int    // payload bytes
}

// datagramKind is all that pieces of a frame have in common: the headers of
// Ethernet, of IP without options or extensions, and of UDP, less what the
// device sets in each piece (lengths, IPv4's identification, checksums), which
// is 0.
type datagramKind struct {
	ip  int // length of the IP header
	hdr [datagramHeadersMax]byte
}

// headers is the length of all headers.
func (d *datagram) headers() int {
	return header.EthernetMinimumSize + d.kind.ip + header.UDPMinimumSize
}

// datagramOf looks at an outgoing packet. It is not ok for whatever the device
// could not make from a larger one: other protocols, fragments, options, and
// datagrams without payload or without checksum.
func datagramOf(pkt *netstack.PacketBuffer) (d datagram, ok bool) {
	eth, ip, udp := pkt.LinkHeader().Slice(), pkt.NetworkHeader().Slice(), header.UDP(pkt.TransportHeader().Slice())
	d.size = pkt.Data().Size()
	if pkt.TransportProtocolNumber != header.UDPProtocolNumber || len(eth) != header.EthernetMinimumSize ||
		len(udp) != header.UDPMinimumSize || d.size == 0 || int(udp.Length()) != len(udp)+d.size || udp.Checksum() == 0 {
		return d, false
	}
	switch pkt.NetworkProtocolNumber {
	case header.IPv4ProtocolNumber:
		if len(ip) != header.IPv4MinimumSize || !wholeIPv4(ip, len(udp)+d.size) {
			return d, false
		}
		d.id = header.IPv4(ip).ID()
	case header.IPv6ProtocolNumber:
		if len(ip) != header.IPv6MinimumSize || header.IPv6(ip).NextHeader() != uint8(header.UDPProtocolNumber) ||
			int(header.IPv6(ip).PayloadLength()) != len(udp)+d.size {
			return d, false
		}
	default:
		return d, false
	}
	d.kind.ip = len(ip)
	hdr := append(append(append(d.kind.hdr[:0], eth...), ip...), udp...)
	d.kind.common(hdr[len(eth):])
	return d, true
}

// wholeIPv4 reports whether an IPv4 header is that of a UDP datagram of n bytes
// in one piece.
func wholeIPv4(ip header.IPv4, n int) bool {
	return ip.Protocol() == uint8(header.UDPProtocolNumber) && !ip.More() && ip.FragmentOffset() == 0 &&
		int(ip.HeaderLength()) == len(ip) && int(ip.TotalLength()) == len(ip)+n
}

// common clears what is not common to the pieces of a frame, in their IP and
// UDP headers.
func (k *datagramKind) common(b []byte) {
	if header.IPVersion(b) == header.IPv4Version {
		header.IPv4(b).SetTotalLength(0)
		header.IPv4(b).SetID(0)
		header.IPv4(b).SetChecksum(0)
	} else {
		header.IPv6(b).SetPayloadLength(0)
	}
	header.UDP(b[k.ip:]).SetLength(0)
	header.UDP(b[k.ip:]).SetChecksum(0)
}

// whole makes the headers of a datagram with n payload bytes. UDP's checksum is
// the pseudo-header's sum, as the device wants it. They are made in d.kind,
// which is no longer good for comparing.
func (d *datagram) whole(n int) []byte {
	hdr := d.kind.hdr[:d.headers()]
	b := hdr[header.EthernetMinimumSize:]
	setLengths(b, d.kind.ip, n)
	var src, dst tcpip.Address
	if header.IPVersion(b) == header.IPv4Version {
		ip := header.IPv4(b)
		ip.SetID(d.id)
		ip.SetChecksum(^ip.CalculateChecksum())
		src, dst = ip.SourceAddress(), ip.DestinationAddress()
	} else {
		src, dst = header.IPv6(b).SourceAddress(), header.IPv6(b).DestinationAddress()
	}
	udp := header.UDP(b[d.kind.ip:])
	udp.SetChecksum(header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, udp.Length()))
	return hdr
}
