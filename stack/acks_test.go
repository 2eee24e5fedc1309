package stack

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"tapstack/tap"
)

// idlerQueue takes every frame and remembers it. Its reader is the test.
type idlerQueue struct {
	sinkDevice
	mu   sync.Mutex
	sent []header.TCP
	keep bool
	idle func()
}

func (q *idlerQueue) Queues() []tap.Queue { return []tap.Queue{q} }

func (q *idlerQueue) OnIdle(f func()) bool {
	q.idle = f
	return true
}

func (q *idlerQueue) Write(bufs [][]byte, _ tap.Offload) error {
	if !q.keep {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	frame := bytes.Join(bufs, nil)
	q.sent = append(q.sent, header.TCP(frame[header.EthernetMinimumSize+header.IPv4MinimumSize:]))
	return nil
}

// segment is one that the stack sends: on a flow of its port, with so many
// bytes of options and payload.
type segment struct {
	port             uint16
	ack              uint32
	flags            header.TCPFlags
	options, payload int
}

func (s segment) packet() *netstack.PacketBuffer {
	pkt := netstack.NewPacketBuffer(netstack.PacketBufferOptions{
		ReserveHeaderBytes: header.EthernetMinimumSize + header.IPv4MinimumSize + header.TCPHeaderMaximumSize,
	})
	if s.payload > 0 {
		pkt.DecRef()
		pkt = tcpPacket(s.payload)
		tcp := header.TCP(pkt.TransportHeader().Slice())
		s.encode(tcp)
	} else {
		s.encode(header.TCP(pkt.TransportHeader().Push(header.TCPMinimumSize + s.options)))
		pkt.NetworkHeader().Push(header.IPv4MinimumSize)
		pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	}
	header.IPv4(pkt.NetworkHeader().Slice()).Encode(&header.IPv4Fields{
		SrcAddr: tcpip.AddrFrom4([4]byte{10, 0, 0, 2}), DstAddr: tcpip.AddrFrom4([4]byte{10, 0, 0, 1}),
	})
	pkt.TransportProtocolNumber = header.TCPProtocolNumber
	return pkt
}

func (s segment) encode(tcp header.TCP) {
	tcp.Encode(&header.TCPFields{
		SrcPort: 80, DstPort: s.port, AckNum: s.ack, Flags: s.flags, DataOffset: uint8(len(tcp)),
	})
}

func newHeldLink() (*link, *idlerQueue) {
	q := &idlerQueue{keep: true}
	return newLink(q, testAddr, nil), q
}

func send(t testing.TB, l *link, s segment) {
	pkt := s.packet()
	defer pkt.DecRef()
	l.AddHeader(pkt)
	if err := l.write(pkt); err != nil {
		t.Error(err)
	}
}

const ackFlag = header.TCPFlagAck

// TestAckHoldRefused: a held ACK that the device does not take is counted.
func TestAckHoldRefused(t *testing.T) {
	q := &downQueue{}
	l := newLink(q, testAddr, nil)
	send(t, l, segment{1000, 1, ackFlag | header.TCPFlagSyn, 0, 0})
	l.acks[0].received()
	send(t, l, segment{1000, 100, ackFlag, 12, 0})
	if n := l.drops.tcpOut.Load(); n != 1 {
		t.Errorf("%d refused at once, want the SYN", n)
	}
	q.idle()
	if _, n := l.acksLost(); n != 1 {
		t.Errorf("%d refused when idle, want the ACK", n)
	}
}

// downQueue is of an interface that is down.
type downQueue struct{ idlerQueue }

func (q *downQueue) Queues() []tap.Queue             { return []tap.Queue{q} }
func (*downQueue) Write([][]byte, tap.Offload) error { return tap.ErrDown }

// TestAckHold: what leaves, in order, named by its acknowledgement number.
func TestAckHold(t *testing.T) {
	isn := uint32(0xffff_fff0) // numbers wrap around in between
	synAck := segment{1000, isn, ackFlag | header.TCPFlagSyn, 0, 0}
	ack := func(n uint32) segment { return segment{1000, isn + n, ackFlag, 12, 0} }
	for _, c := range []struct {
		name   string
		sends  []segment
		before []uint32 // sent before the reader is idle
		after  []uint32
		joined uint64
	}{
		{"until idle", []segment{ack(100)}, nil, []uint32{100}, 0},
		{"joined with the answer", []segment{ack(100), {1000, isn + 100, ackFlag | header.TCPFlagPsh, 0, 50}}, []uint32{100}, nil, 1},
		{"joined with a FIN", []segment{ack(100), {1000, isn + 100, ackFlag | header.TCPFlagFin, 12, 0}}, []uint32{100}, nil, 1},
		{"the second goes at once", []segment{ack(100), ack(200)}, []uint32{200}, nil, 1},
		{"the third waits", []segment{ack(100), ack(200), ack(300)}, []uint32{200}, []uint32{300}, 1},
		{"a duplicate does not replace it", []segment{ack(100), ack(100)}, []uint32{100, 100}, nil, 0},
		{"a duplicate does not wait", []segment{ack(0)}, []uint32{0}, nil, 0},
		{"an old one does not replace it", []segment{ack(100), ack(0)}, []uint32{100, 0}, nil, 0},
		{"a whole segment waits", []segment{ack(1460)}, nil, []uint32{1460}, 0},
		{"two do not", []segment{ack(2920)}, []uint32{2920}, nil, 0},
		{"SACK does not", []segment{{1000, isn + 100, ackFlag, 24, 0}}, []uint32{100}, nil, 0},
		{"after a RST without ACK", []segment{ack(100), {1000, isn + 100, header.TCPFlagRst, 0, 0}}, []uint32{100, 100}, nil, 0},
		{"RST with ACK", []segment{ack(100), {1000, isn + 100, ackFlag | header.TCPFlagRst, 0, 0}}, []uint32{100}, nil, 1},
		{"an unknown flow's does not", []segment{{2000, isn + 100, ackFlag, 0, 0}}, []uint32{100}, nil, 0},
		{"another flow's answer", []segment{ack(100), {2000, isn + 7, ackFlag, 0, 50}}, []uint32{7}, []uint32{100}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, q := newHeldLink()
			check := func(when string, want []uint32) {
				t.Helper()
				var got []uint32
				for _, tcp := range q.sent {
					got = append(got, tcp.AckNumber()-isn)
				}
				if q.sent = nil; !slices.Equal(got, want) {
					t.Errorf("%s: sent %v, want %v", when, got, want)
				}
			}
			l.acks[0].received()
			send(t, l, synAck)
			check("SYN", []uint32{0})
			for _, s := range c.sends {
				send(t, l, s)
			}
			check("busy", c.before)
			q.idle()
			check("idle", c.after)
			if n, _ := l.acksLost(); n != c.joined {
				t.Errorf("%d joined, want %d", n, c.joined)
			}
		})
	}
}

// Nothing is held when nobody would let it go, or for long.
func TestAckHoldEnds(t *testing.T) {
	l, q := newHeldLink()
	h := l.acks[0]
	h.received()
	send(t, l, segment{port: 1000, flags: ackFlag | header.TCPFlagSyn})
	q.idle()
	send(t, l, segment{port: 1000, ack: 1, flags: ackFlag})
	if len(q.sent) != 2 {
		t.Fatal("held while the reader is idle")
	}
	h.received()
	send(t, l, segment{port: 1000, ack: 2, flags: ackFlag})
	for range ackFrames - 1 {
		h.received()
	}
	if len(q.sent) != 2 {
		t.Fatal("not held while the reader is busy")
	}
	if h.received(); len(q.sent) != 3 {
		t.Error("held for as long as frames come")
	}
	// Every slot gets another flow sooner or later.
	send(t, l, segment{port: 1000, ack: 3, flags: ackFlag})
	q.sent = nil
	for port := range uint16(20 * ackSlots) {
		send(t, l, segment{port: 2000 + port, ack: 1, flags: ackFlag | header.TCPFlagSyn})
	}
	if n := len(q.sent); n != 20*ackSlots+1 {
		t.Errorf("%d frames, want those of %d flows and the held one", n, 20*ackSlots)
	}
}

// Without an Idler, nothing waits.
func TestNoAckHold(t *testing.T) {
	l := newLink(&sinkDevice{}, testAddr, nil)
	if joined, _ := l.acksLost(); l.acks[0] != nil || joined != 0 {
		t.Error("held with nobody to let it go")
	}
	send(t, l, segment{port: 1000, ack: 1, flags: ackFlag})
}

// Many write while the reader comes and goes: all ACKs but the joined ones
// leave.
func TestAckHoldConcurrent(t *testing.T) {
	l, q := newHeldLink()
	const writers, each = 4, 500
	var wg sync.WaitGroup
	for w := range uint16(writers) {
		wg.Go(func() {
			for n := range uint32(each) {
				send(t, l, segment{port: 1000 + w, ack: n + 1, flags: ackFlag})
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		l.acks[0].received()
		q.idle()
	}
	joined, _ := l.acksLost()
	if n := uint64(len(q.sent)) + joined; n != writers*each {
		t.Errorf("%d ACKs sent and joined, want %d", n, writers*each)
	}
}

func TestAckHoldAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	l, q := newHeldLink()
	q.keep = false
	pkt := segment{port: 1000, flags: ackFlag}.packet()
	defer pkt.DecRef()
	l.AddHeader(pkt)
	tcp := header.TCP(pkt.TransportHeader().Slice())
	ack := uint32(0)
	n := testing.AllocsPerRun(1000, func() {
		ack++
		tcp.SetAckNumber(ack)
		l.acks[0].received()
		if err := l.write(pkt); err != nil {
			t.Fatal(err)
		}
		q.idle()
	})
	if n != 0 {
		t.Errorf("%v allocations for an ACK", n)
	}
}

func BenchmarkAckHold(b *testing.B) {
	q := &idlerQueue{}
	l := newLink(q, testAddr, nil)
	l.acks[0].received()
	pkt := segment{port: 1000, flags: ackFlag}.packet()
	defer pkt.DecRef()
	l.AddHeader(pkt)
	tcp := header.TCP(pkt.TransportHeader().Slice())
	b.ReportAllocs()
	for ack := uint32(0); b.Loop(); ack++ {
		tcp.SetAckNumber(ack)
		if err := l.write(pkt); err != nil {
			b.Fatal(err)
		}
	}
}
