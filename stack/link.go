package stack

// The data path, in the order in which a frame meets it:
//
//	in:  readLoop -> receive -> deliver -> gVisor's network endpoint
//	                   (a USO frame first through cutUSO)
//	out: gVisor's network endpoint -> noQueue -> write -> outgoing
//	                   (a pure ACK may wait in an ackHold, acks.go,
//	                   a datagram in a Batch, batch.go)

import (
	"errors"
	"hash/maphash"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// link is gVisor's view of one tap.Device: an Ethernet link endpoint. It owns
// the device, and one reading goroutine per queue.
type link struct {
	dev    tap.Device
	queues []tap.Queue
	seed   maphash.Seed // for choosing one
	acks   []*ackHold   // of each queue; nil for one that is no tap.Idler
	onDead func(error)  // told once, when a reader ends and close was not called
	onMTU  func()       // told when the MTU has changed; may be nil

	csum bool // the device has checksum offload
	tso  bool // and takes large TCP frames of both families
	uso  bool // and large UDP frames

	mtu        atomic.Uint32
	addr       atomic.Pointer[tcpip.LinkAddress]
	dispatcher atomic.Pointer[netstack.NetworkDispatcher]

	// unvouched is locked while a frame is delivered whose checksums nobody
	// vouches for, and read-locked for all others; see deliver.
	unvouched sync.RWMutex
	verify    atomic.Bool

	clock   tcpip.Clock    // of what waits for the device
	readers sync.WaitGroup // and the watcher
	up      atomic.Bool    // the system's end of the link
	closing atomic.Bool
	drops   linkDrops
	merged  linkMerged

	scratch sync.Pool // *txScratch
}

// linkDrops are frames lost between the device and gVisor, by cause.
type linkDrops struct {
	otherHost, tooShort, badUSO atomic.Uint64

	// Segments and datagrams that the device refused and gVisor believes sent.
	tcpOut, udpOut atomic.Uint64
}

// txScratch keeps the slices of one outgoing frame from being allocated.
type txScratch struct{ bufs [][]byte }

var _ netstack.QueueingDiscipline = noQueue{}

func newLink(dev tap.Device, addr tcpip.LinkAddress, onDead func(error)) *link {
	o := dev.Offloads()
	l := &link{
		dev: dev, queues: dev.Queues(), seed: maphash.MakeSeed(), onDead: onDead,
		clock: tcpip.NewStdClock(),
		csum:  o.Csum,
		// gVisor asks once for both families.
		tso: o.Csum && o.TSO4 && o.TSO6,
		uso: o.Csum && o.USO,
	}
	l.mtu.Store(uint32(dev.MTU()))
	l.up.Store(true)
	if i, err := tap.InterfaceOf(dev); err == nil {
		l.up.Store(i.Up)
	}
	l.addr.Store(&addr)
	for _, q := range l.queues {
		l.acks = append(l.acks, newAckHold(q))
	}
	l.scratch.New = func() any { return &txScratch{bufs: make([][]byte, 0, 8)} }
	return l
}

// start begins to read. It comes after the NIC has its addresses, so that the
// first frame already finds them.
func (l *link) start() {
	for i, q := range l.queues {
		l.readers.Go(func() { l.readLoop(q, l.acks[i]) })
	}
	l.readers.Go(func() { tap.Watch(l.dev, l.changed) })
}

// changed follows what an administrator does to the system's end. New
// connections take their MSS from a new MTU; see outgoing for old ones.
func (l *link) changed(i tap.Interface) {
	l.up.Store(i.Up)
	mtu := uint32(l.dev.MTU()) // which need not be all that the interface has
	if l.mtu.Swap(mtu) != mtu && l.onMTU != nil {
		l.onMTU()
	}
}

// stop closes the device and waits for the readers.
func (l *link) stop() {
	l.closing.Store(true)
	_ = l.dev.Close()
	l.readers.Wait()
}

// readLoop reads frames until the device ends.
func (l *link) readLoop(q tap.Queue, acks *ackHold) {
	rx := newRxBuffer()
	defer rx.release()
	for {
		n, off, err := q.Read(rx.bufs)
		if err != nil {
			if !l.closing.Load() {
				l.onDead(err)
			}
			return
		}
		if acks != nil {
			acks.received()
		}
		l.receive(rx.take(n), off)
	}
}

// receive looks at a frame's Ethernet header and hands its packet on. It
// consumes pkt.
func (l *link) receive(pkt *netstack.PacketBuffer, off tap.Offload) {
	defer pkt.DecRef()
	hdr, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	if !ok {
		l.drops.tooShort.Add(1)
		return
	}
	eth := header.Ethernet(hdr)
	switch dst := eth.DestinationAddress(); {
	case dst == *l.addr.Load():
		pkt.PktType = tcpip.PacketHost
	case dst == header.EthernetBroadcastAddress:
		pkt.PktType = tcpip.PacketBroadcast
	case header.IsMulticastEthernetAddress(dst):
		pkt.PktType = tcpip.PacketMulticast
	default:
		l.drops.otherHost.Add(1)
		return
	}
	if off.GSO != tap.GSOUDP {
		l.deliver(eth.Type(), pkt, off.NeedsCsum || off.CsumValid)
		return
	}
	err := cutUSO(pkt, int(off.GSOSize), func(piece *netstack.PacketBuffer) {
		l.deliver(eth.Type(), piece, true)
		piece.DecRef()
	})
	if err != nil {
		l.drops.badUSO.Add(1)
	}
}

// deliver hands a packet to the network layer. vouched says that its
// checksums need no look: they are partial, because the packet never left the
// machine, or whoever took it off the wire has verified them.
//
// gVisor asks the link endpoint, not the packet, whether to verify
// (nic.DeliverNetworkPacket overwrites RXChecksumValidated with
// CapabilityRXChecksumOffload). So the capability is withdrawn while a packet
// is delivered that must be verified, and nothing else is delivered meanwhile.
func (l *link) deliver(proto tcpip.NetworkProtocolNumber, pkt *netstack.PacketBuffer, vouched bool) {
	d := l.dispatcher.Load()
	if d == nil {
		return
	}
	if !l.csum || vouched {
		l.unvouched.RLock()
		(*d).DeliverNetworkPacket(proto, pkt)
		l.unvouched.RUnlock()
		return
	}
	l.unvouched.Lock()
	l.verify.Store(true)
	(*d).DeliverNetworkPacket(proto, pkt)
	l.verify.Store(false)
	l.unvouched.Unlock()
}

// WritePackets implements netstack.LinkWriter, for whoever has several packets.
func (l *link) WritePackets(pkts netstack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := l.write(pkt); err != nil {
			return i, err
		}
	}
	return pkts.Len(), nil
}

// noQueue is the queueing discipline between gVisor and the link: none. The
// device waits when it is full, and a queue before it would only hide that.
// gVisor's own way of not having one allocates a list for every packet.
type noQueue struct{ l *link }

func (q noQueue) WritePacket(pkt *netstack.PacketBuffer) tcpip.Error { return q.l.write(pkt) }
func (noQueue) Close()                                               {}

// write passes one packet on, unless it waits in a batch.
func (l *link) write(pkt *netstack.PacketBuffer) tcpip.Error {
	if b, ok := pkt.Owner.(*Batch); ok && b.take(l, pkt) {
		return nil
	}
	return l.writeFrame(pkt)
}

// writeFrame sends a packet as a frame. A full device counts as a packet lost
// below IP: TCP sees ENOBUFS and sends again later.
func (l *link) writeFrame(pkt *netstack.PacketBuffer) tcpip.Error {
	s := l.scratch.Get().(*txScratch)
	defer func() {
		clear(s.bufs)
		s.bufs = s.bufs[:0]
		l.scratch.Put(s)
	}()
	s.bufs = appendFrame(s.bufs, pkt, 0)
	n := l.queueFor(pkt)
	off := l.outgoing(pkt)
	if a := l.acks[n]; a != nil && a.take(pkt, s.bufs, off, int(l.mtu.Load())) {
		return nil // waits for the answer
	}
	switch err := l.send(n, pkt.Owner, s.bufs, off); {
	case err == nil:
		return nil
	case errors.Is(err, tap.ErrFull):
		return &tcpip.ErrNoBufferSpace{}
	case errors.Is(err, net.ErrClosed):
		return &tcpip.ErrClosedForSend{}
	default:
		// ErrDown and ErrFrame, counted by the device, and ErrGone, which
		// ends the stack. A link that is down loses packets silently, as a
		// pulled cable does; only the statistics tell.
		l.refused(pkt.TransportProtocolNumber)
		return nil
	}
}

// refused counts a packet that the device did not take.
func (l *link) refused(proto tcpip.TransportProtocolNumber) {
	switch proto {
	case header.TCPProtocolNumber:
		l.drops.tcpOut.Add(1)
	case header.UDPProtocolNumber:
		l.drops.udpOut.Add(1)
	}
}

// appendFrame appends a packet's frame, less its first skip bytes, as the slices
// that it lies in.
func appendFrame(bufs [][]byte, pkt *netstack.PacketBuffer, skip int) [][]byte {
	views, offset := pkt.AsViewList()
	offset += skip
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if offset >= len(b) {
			offset -= len(b)
			continue
		}
		bufs = append(bufs, b[offset:])
		offset = 0
	}
	return bufs
}

// deviceWaiter is a packet's owner who wants to know how long the device keeps
// its packets: an account that socketapi keeps of what holds a connection up.
type deviceWaiter interface {
	DeviceWaited(d time.Duration)
}

// send writes a frame to a queue.
func (l *link) send(n uint32, owner tcpip.PacketOwner, bufs [][]byte, off tap.Offload) error {
	w, watched := owner.(deviceWaiter)
	if !watched {
		return l.queues[n].Write(bufs, off)
	}
	start := l.clock.NowMonotonic()
	err := l.queues[n].Write(bufs, off)
	w.DeviceWaited(l.clock.NowMonotonic().Sub(start))
	return err
}

// outgoing says what the device is to do with a packet, from what gVisor asks
// for. Only TCP data is offloaded: its checksum holds the pseudo-header's sum,
// and it may be up to GSOMaxSize long. Everything else is summed by gVisor.
//
// gVisor's MSS was settled by the handshake. If the MTU has become smaller
// since, the device is told to cut to what fits now.
func (l *link) outgoing(pkt *netstack.PacketBuffer) tap.Offload {
	gso := &pkt.GSOOptions
	if gso.Type == netstack.GSONone || !gso.NeedsCsum {
		return tap.Offload{}
	}
	off := tap.Offload{
		NeedsCsum:  true,
		CsumStart:  header.EthernetMinimumSize + gso.L3HdrLen,
		CsumOffset: gso.CsumOffset,
		HdrLen:     uint16(pkt.HeaderSize()),
	}
	fits := int(l.mtu.Load()) + header.EthernetMinimumSize - pkt.HeaderSize()
	size := min(int(gso.MSS), fits)
	if size <= 0 || pkt.Data().Size() <= size {
		return off
	}
	off.GSOSize = uint16(size)
	off.GSO = tap.GSOTCPv4
	if gso.Type == netstack.GSOTCPv6 {
		off.GSO = tap.GSOTCPv6
	}
	return off
}

// GSOMaxSize implements netstack.GSOEndpoint: one more than the longest packet,
// in bytes, because gVisor's sender takes one off (sender.sendSegment's limit).
func (*link) GSOMaxSize() uint32 { return tap.MaxFrame - tap.EthernetHeaderLen + 1 }
