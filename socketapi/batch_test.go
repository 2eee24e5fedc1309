package socketapi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// uso is a pipe between devices that cut datagrams.
var uso = &tap.PipeConfig{Offloads: tap.Offloads{Csum: true, USO: true}}

// noise is a message for each size, of bytes that only one seed gives.
func noise(seed byte, sizes ...int) []socketapi.Message {
	rnd := rand.NewChaCha8([32]byte{seed})
	msgs := make([]socketapi.Message, len(sizes))
	for i, size := range sizes {
		b := make([]byte, size)
		_, _ = rnd.Read(b)
		msgs[i].Buffers = [][]byte{b[:size/3], b[size/3:]}
	}
	return msgs
}

// shapes are batches that a device may join, or must not.
var shapes = map[string][]int{
	"1 byte":         slices.Repeat([]int{1}, 70),
	"64 bytes":       slices.Repeat([]int{64}, 70),
	"1472 bytes":     slices.Repeat([]int{1472}, 70),
	"a shorter end":  append(slices.Repeat([]int{1000}, 9), 7),
	"unequal":        {64, 64, 10, 64, 64, 64, 100, 100, 1, 1, 1, 0, 0, 5, 5, 1400, 1400},
	"empty":          {0, 0, 0},
	"with fragments": {100, 100, 3000, 100, 3000, 3000, 100, 100},
	"one":            {512},
}

// udpPair is a socket of a that is connected to one of b, both bounded in time,
// after a first datagram: it waited for the neighbour's address.
func udpPair(t *testing.T, a, b *stack.Stack, addr netip.Addr) (out, in *socketapi.UDPConn) {
	t.Helper()
	in, err := socketapi.ListenUDP(b, "udp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	c, err := (&socketapi.Dialer{Stack: a}).Dial("udp", in.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	bounded(t, c, in)
	if _, err := c.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	return c.(*socketapi.UDPConn), in
}

// bounded sets deadlines that only a hang reaches.
func bounded(t *testing.T, conns ...interface{ SetDeadline(time.Time) error }) {
	t.Helper()
	for _, c := range conns {
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

// expect receives as many datagrams as there are messages and compares.
func expect(t *testing.T, read func([]byte) (int, error), want []socketapi.Message) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for i := range want {
		n, err := read(buf)
		if err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		if b := bytes.Join(want[i].Buffers, nil); !bytes.Equal(buf[:n], b) {
			t.Fatalf("datagram %d has %d bytes that are not its %d", i, n, len(b))
		}
	}
}

// TestBatch: datagrams of a batch arrive as they were sent, in order, whether
// the device joins them or not.
func TestBatch(t *testing.T) {
	for device, cfg := range map[string]*tap.PipeConfig{"with USO": uso, "without": nil} {
		da, db := tap.Pipe(cfg)
		a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
		for family, addr := range map[string]netip.Addr{"IPv4": b4.Addr(), "IPv6": b6.Addr()} {
			for name, sizes := range shapes {
				t.Run(fmt.Sprint(device, ", ", family, ", ", name), func(t *testing.T) {
					out, in := udpPair(t, a, b, addr)
					msgs := noise(1, sizes...)
					if n, err := out.WriteBatch(msgs); n != len(msgs) || err != nil {
						t.Fatal(n, err)
					}
					expect(t, in.Read, msgs)
				})
			}
		}
		if st := a.Stats().NICs[0]; (st.Merged > 0) != (cfg == uso) || st.DropMerged != 0 {
			t.Errorf("%s: %d merged, %d of them lost", device, st.Merged, st.DropMerged)
		}
	}
}

// TestBatchFrames: 64 equal datagrams are one frame.
func TestBatchFrames(t *testing.T) {
	da, db := tap.Pipe(uso)
	a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
	out, in := udpPair(t, a, b, b4.Addr())
	msgs := noise(1, slices.Repeat([]int{64}, 64)...)
	before := a.Stats().NICs[0]
	if n, err := out.WriteBatch(msgs); n != len(msgs) || err != nil {
		t.Fatal(n, err)
	}
	expect(t, in.Read, msgs)
	// And perhaps an ARP or NDP packet.
	after := a.Stats().NICs[0]
	if frames, merged := after.Device.TxFrames-before.Device.TxFrames, after.Merged-before.Merged; frames > 4 || merged != 64 {
		t.Errorf("%d datagrams in %d frames", merged, frames)
	}
}

// TestBatchReplies: a batch received is a batch to be sent back, to whom it
// came from.
func TestBatchReplies(t *testing.T) {
	da, db := tap.Pipe(uso)
	a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
	out, in := udpPair(t, a, b, b4.Addr())
	sent := noise(1, 100, 100, 100, 7, 2000)
	if n, err := out.WriteBatch(sent); n != len(sent) || err != nil {
		t.Fatal(n, err)
	}
	got := make([]socketapi.Message, 0, len(sent))
	for len(got) < len(sent) {
		msgs := make([]socketapi.Message, 10)
		for i := range msgs {
			msgs[i].Buffers = [][]byte{make([]byte, 50), make([]byte, 1000)}
		}
		n, err := in.ReadBatch(msgs)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		got = append(got, msgs[:n]...)
	}
	for i := range got {
		m, b := &got[i], bytes.Join(sent[i].Buffers, nil)
		want, flags := b[:min(len(b), 1050)], socketapi.MsgFlags(0)
		if len(b) > len(want) {
			flags = socketapi.MsgTrunc
		}
		if joined := bytes.Join(m.Buffers, nil); m.N != len(want) || !bytes.Equal(joined[:m.N], want) ||
			m.Flags != flags || m.Addr.String() != out.LocalAddr().String() {
			t.Errorf("datagram %d: %d bytes from %v, flags %#x", i, m.N, m.Addr, m.Flags)
		}
		m.Buffers = [][]byte{want}
	}
	if n, err := in.WriteBatch(got); n != len(got) || err != nil {
		t.Fatal(n, err)
	}
	expect(t, out.Read, got)
	if _, err := in.Socket().RecvBatch(got, 0); !errors.Is(err, syscall.EAGAIN) {
		t.Error(err)
	}
}

// TestBatchInterleaved: datagrams to several destinations, in turns.
func TestBatchInterleaved(t *testing.T) {
	da, db := tap.Pipe(uso)
	a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
	from, err := socketapi.ListenUDP(a, "udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	bounded(t, from)
	var to []*socketapi.UDPConn
	for _, addr := range []netip.Addr{b4.Addr(), b6.Addr(), b4.Addr()} {
		_, in := udpPair(t, a, b, addr)
		to = append(to, in)
	}
	msgs := noise(1, slices.Repeat([]int{200}, 120)...)
	each := make([][]socketapi.Message, len(to))
	for i := range msgs {
		k := i / 4 % len(to) // runs of four
		msgs[i].Addr = to[k].LocalAddr().(*net.UDPAddr).AddrPort()
		each[k] = append(each[k], msgs[i])
	}
	if n, err := from.WriteBatch(msgs); n != len(msgs) || err != nil {
		t.Fatal(n, err)
	}
	for k := range to {
		expect(t, to[k].Read, each[k])
	}
	if n := a.Stats().NICs[0].Merged; n != 120 {
		t.Errorf("%d merged", n)
	}
}

// TestBatchUnresolved: a batch whose neighbour is not known yet waits for its
// address like single datagrams, and arrives.
func TestBatchUnresolved(t *testing.T) {
	da, db := tap.Pipe(uso)
	a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
	for _, addr := range []netip.Addr{b4.Addr(), b6.Addr()} {
		in, err := socketapi.ListenUDP(b, "udp", netip.AddrPortFrom(addr, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := socketapi.ListenUDP(a, "udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		bounded(t, in, out)
		msgs := noise(1, slices.Repeat([]int{100}, 100)...)
		missing := make(map[string]bool)
		for i := range msgs {
			msgs[i].Addr = in.LocalAddr().(*net.UDPAddr).AddrPort()
			missing[string(bytes.Join(msgs[i].Buffers, nil))] = true
		}
		if n, err := out.WriteBatch(msgs); n != len(msgs) || err != nil {
			t.Fatal(n, err)
		}
		buf := make([]byte, 200)
		for len(missing) > 0 { // what comes later may overtake what waits
			n, err := in.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			delete(missing, string(buf[:n]))
		}
	}
}

// TestBatchSmallSendBuffer: what waits in a batch leaves when the send buffer
// is full of it.
func TestBatchSmallSendBuffer(t *testing.T) {
	da, db := tap.Pipe(uso)
	a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
	out, in := udpPair(t, a, b, b4.Addr())
	if err := out.SetWriteBuffer(1); err != nil { // the stack's smallest
		t.Fatal(err)
	}
	msgs := noise(1, slices.Repeat([]int{1400}, 50)...)
	if n, err := out.Socket().SendBatch(msgs, 0); n != len(msgs) || err != nil {
		t.Fatal(n, err)
	}
	expect(t, in.Read, msgs)
}

func TestBatchErrors(t *testing.T) {
	a, b := pair(t, nil)
	out, in := udpPair(t, a, b, b4.Addr())
	msgs := noise(1, 10, 10, 70_000, 10)

	n, err := out.WriteBatch(msgs)
	if nested(t, err, "write", syscall.EMSGSIZE); n != 2 {
		t.Errorf("%d sent", n)
	}
	if n, err := out.Socket().SendBatch(msgs, 0); n != 2 || err != nil {
		t.Error(n, err)
	}
	if n, err := out.Socket().SendBatch(msgs[2:], 0); n != 0 || !errors.Is(err, syscall.EMSGSIZE) {
		t.Error(n, err)
	}
	expect(t, in.Read, []socketapi.Message{msgs[0], msgs[1], msgs[0], msgs[1]})

	msgs[1].Addr = in.LocalAddr().(*net.UDPAddr).AddrPort()
	n, err = out.WriteBatch(msgs)
	if nested(t, err, "write", net.ErrWriteToConnected); n != 1 {
		t.Errorf("%d sent", n)
	}
	_, err = in.WriteBatch(msgs)
	nested(t, err, "write", syscall.EDESTADDRREQ)
	if n, err := out.WriteBatch(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if _, err := out.Socket().SendBatch(msgs, socketapi.MsgOOB); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}
	many := make([]socketapi.Message, 1100)
	if n, err := out.Socket().SendBatch(many, 0); n != 1024 || err != nil {
		t.Error(n, err)
	}
	tcp, _ := connect(t, a, b, b4.Addr())
	if _, err := tcp.Socket().SendBatch(msgs, 0); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}
	if _, err := tcp.Socket().RecvBatch(msgs, 0); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}

	_ = out.SetDeadline(time.Unix(1, 0))
	_, err = out.WriteBatch(msgs)
	nested(t, err, "write", os.ErrDeadlineExceeded)
	_, err = out.ReadBatch(msgs)
	nested(t, err, "read", os.ErrDeadlineExceeded)
	_ = out.Close()
	_, err = out.WriteBatch(msgs)
	nested(t, err, "write", net.ErrClosed)
	_, err = out.ReadBatch(msgs)
	nested(t, err, "read", net.ErrClosed)
}

// TestBatchEnds: an error behind the datagrams of a batch is the next one's.
func TestBatchEnds(t *testing.T) {
	a, b := pair(t, nil)
	in, out := udpPair(t, a, b, b4.Addr())
	want := noise(1, 10, 20)
	for i := range want {
		want[i].Addr = in.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	if n, err := out.WriteBatch(want); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	msgs := noise(2, 100, 100, 100)
	eventually(t, "the first is there", func() bool { return in.ReceiveBuffer().Next == 10 })
	if n, err := in.Socket().RecvBatch(msgs, socketapi.MsgPeek); n != 1 || err != nil || msgs[0].N != 10 {
		t.Error(n, err)
	}
	expect(t, in.Read, want[:1])
	eventually(t, "the second is there", func() bool { return in.ReceiveBuffer().Next == 20 })
	if err := in.Socket().Shutdown(socketapi.ShutRD); err != nil {
		t.Fatal(err)
	}
	if n, err := in.ReadBatch(msgs); n != 1 || err != nil || msgs[0].N != 20 {
		t.Error(n, err)
	}
	for range 2 {
		if n, err := in.ReadBatch(msgs); n != 0 || !errors.Is(err, io.EOF) {
			t.Error(n, err)
		}
	}
}

// TestBatchBesideOthers: several goroutines send batches and single datagrams
// through the same sockets, until these close, and the stack after them. Each
// goroutine's datagrams arrive in order and whole.
func TestBatchBesideOthers(t *testing.T) {
	const senders, rounds = 4, 60
	da, db := tap.Pipe(uso)
	a, b := host(t, da, nil, a4, a6), host(t, db, nil, b4, b6)
	var conns []*socketapi.UDPConn
	var senderWG, readerWG sync.WaitGroup
	for _, addr := range []netip.Addr{b4.Addr(), b6.Addr()} {
		out, in := udpPair(t, a, b, addr)
		conns = append(conns, in)
		readerWG.Go(func() { inOrder(t, in) })
		for id := range byte(senders) {
			senderWG.Go(func() {
				if err := sendNumbered(out, id, rounds); err != nil {
					t.Error(err)
				}
			})
		}
		// These go on until their socket, or the stack, is closed.
		other, _ := udpPair(t, a, b, addr)
		for id := range byte(2) {
			readerWG.Go(func() {
				for sendNumbered(other, id, 1) == nil {
				}
			})
		}
		if addr.Is4() {
			senderWG.Go(func() { _ = other.Close() })
		}
	}
	senderWG.Wait()
	_ = a.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	readerWG.Wait()
}

// sendNumbered sends numbered datagrams, some in batches and some not.
func sendNumbered(c *socketapi.UDPConn, id byte, rounds int) error {
	msgs := make([]socketapi.Message, 20)
	number := uint32(0)
	next := func() []byte {
		number++
		b := make([]byte, 100+10*int(id&1))
		binary.BigEndian.PutUint32(b, number)
		b[4] = id
		return b
	}
	for range rounds {
		for i := range msgs {
			msgs[i].Buffers = [][]byte{next()}
		}
		if _, err := c.WriteBatch(msgs); err != nil {
			return err
		}
		if _, err := c.Write(next()); err != nil {
			return err
		}
	}
	return nil
}

// inOrder reads numbered datagrams until the socket is closed. Some may be lost
// on a full receive buffer.
func inOrder(t *testing.T, c *socketapi.UDPConn) {
	last := make(map[byte]uint32)
	buf := make([]byte, 200)
	for {
		n, err := c.Read(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			return
		}
		number, id := binary.BigEndian.Uint32(buf), buf[4]
		if n != 100+10*int(id&1) || number <= last[id] {
			t.Errorf("%d bytes of sender %d, number %d after %d", n, id, number, last[id])
		}
		last[id] = number
	}
}

// TestBatchAllocates no more than the same datagrams one by one, which cost
// what gVisor allocates.
func TestBatchAllocates(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s := host(t, &nowhere{done: make(chan struct{})}, nil, a4)
	if err := s.Netstack().AddStaticNeighbor(1, ipv4.ProtocolNumber, tcpip.AddrFrom4(b4.Addr().As4()), "\x02\x00\x00\x00\x00\x02"); err != nil {
		t.Fatal(err)
	}
	c, err := (&socketapi.Dialer{Stack: s}).Dial("udp", netip.AddrPortFrom(b4.Addr(), 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	msgs := noise(1, slices.Repeat([]int{64}, 64)...)
	one := msgs[0].Buffers[1]
	single := testing.AllocsPerRun(50, func() {
		for range msgs {
			if _, err := c.Write(one); err != nil {
				t.Fatal(err)
			}
		}
	})
	batch := testing.AllocsPerRun(50, func() {
		if _, err := c.(*socketapi.UDPConn).WriteBatch(msgs); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("64 datagrams: %v allocations one by one, %v in a batch", single, batch)
	if batch > single {
		t.Errorf("%v allocations in a batch, %v one by one", batch, single)
	}
}

// nowhere is a device with USO that takes every frame and has none.
type nowhere struct {
	once sync.Once
	done chan struct{}
}

func (*nowhere) Name() string                      { return "nowhere" }
func (*nowhere) MTU() int                          { return 1500 }
func (d *nowhere) Queues() []tap.Queue             { return []tap.Queue{d} }
func (*nowhere) Offloads() tap.Offloads            { return uso.Offloads }
func (*nowhere) Stats() tap.Stats                  { return tap.Stats{} }
func (d *nowhere) Close() error                    { d.once.Do(func() { close(d.done) }); return nil }
func (*nowhere) Write([][]byte, tap.Offload) error { return nil }
func (d *nowhere) Read([][]byte) (int, tap.Offload, error) {
	<-d.done
	return 0, tap.Offload{}, net.ErrClosed
}
