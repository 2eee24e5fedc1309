package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// host is the far end of the link: the kernel with its own sockets, or, where
// no TAP can be had, a second userspace stack.
type host interface {
	// name is what the story calls it.
	name() string

	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	listen(network, address string) (net.Listener, error)
	ping(ctx context.Context, to netip.Addr) (time.Duration, error)

	// sendQueue is SIOCOUTQ of a socket of this host: written, not
	// acknowledged. receiveQueue is SIOCINQ: acknowledged, not read. writable
	// is what poll(2) says of it.
	sendQueue(c net.Conn) (int, error)
	receiveQueue(c net.Conn) (int, error)
	writable(c net.Conn) (bool, error)

	// neighbours are the hardware addresses it has learnt.
	neighbours() (map[netip.Addr]string, error)
	// counters are the segments it sent again, and the frames lost on its
	// side of the link or above.
	counters() (hostCounters, error)

	close()
}

type hostCounters struct {
	Retransmits uint64 `json:"retransmits"`
	Drops       uint64 `json:"drops"`
}

// stackHost is a host that is one of our stacks.
type stackHost struct{ s *stack.Stack }

func (h stackHost) name() string { return "second stack" }

func (h stackHost) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&socketapi.Dialer{Stack: h.s}).DialContext(ctx, network, address)
}

func (h stackHost) listen(network, address string) (net.Listener, error) {
	return socketapi.Listen(h.s, network, address)
}

func (h stackHost) ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	return stackPing(ctx, h.s, to)
}

func (h stackHost) sendQueue(c net.Conn) (int, error) {
	return c.(*socketapi.TCPConn).SendBuffer().Queued, nil
}

func (h stackHost) receiveQueue(c net.Conn) (int, error) {
	return c.(*socketapi.TCPConn).ReceiveBuffer().Queued, nil
}

// writable is gVisor's rule for a Write that waits: it goes on when half the
// buffer is free.
func (h stackHost) writable(c net.Conn) (bool, error) {
	b := c.(*socketapi.TCPConn).SendBuffer()
	return b.Free > b.Size/2, nil
}

func (h stackHost) neighbours() (map[netip.Addr]string, error) {
	out := make(map[netip.Addr]string)
	for _, nic := range h.s.NICs() {
		for _, n := range nic.Neighbours() {
			if n.HardwareAddr != nil {
				out[n.Addr] = n.HardwareAddr.String()
			}
		}
	}
	return out, nil
}

func (h stackHost) counters() (hostCounters, error) {
	st := h.s.Stats()
	c := hostCounters{Retransmits: st.TCP.Retransmits}
	for _, n := range st.NICs {
		c.Drops += n.Device.RxDrops.Total() + n.Device.TxDrops.Total()
	}
	return c, nil
}

func (h stackHost) close() { _ = h.s.Close() }

// stackPing sends one echo request from s and waits for its reply.
func stackPing(ctx context.Context, s *stack.Stack, to netip.Addr) (time.Duration, error) {
	network := "ping4"
	if to.Is6() {
		network = "ping6"
	}
	c, err := socketapi.ListenPing(s, network, "")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	start := time.Now()
	if _, err := c.WriteTo(socketapi.Echo(to.Is6(), 1, []byte("tapstack")), &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, err
	}
	b := make([]byte, 1500)
	n, from, err := c.ReadFrom(b)
	if err != nil {
		return 0, err
	}
	if got := from.String(); got != to.String() || n != 8+len("tapstack") {
		return 0, fmt.Errorf("a reply of %d bytes from %s", n, got)
	}
	return time.Since(start), nil
}
