package stack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/tap"
)

// Config is what a whole stack is made with. The zero value is a good stack.
type Config struct {
	// TCP are the defaults of every TCP socket.
	TCP TCPConfig

	// Clock runs every timer and timestamp of the stack; nil is the machine's
	// monotonic clock, on which protocol timers run for 20 ms at least, like
	// Linux's. A virtual clock must start above zero.
	Clock tcpip.Clock

	// Rand seeds initial sequence numbers, ephemeral ports, hashes and
	// hardware addresses. nil is crypto/rand, which is what anything that can
	// be attacked must use. It is read concurrently.
	Rand io.Reader
}

// TCPConfig are the TCP settings of a stack. A zero field takes the default
// given with it; [Stack.TCP] reads back what is in force.
type TCPConfig struct {
	// CongestionControl is "cubic" (the default, RFC 9438) or "reno".
	CongestionControl string

	// SendBuffer and ReceiveBuffer bound and preset every socket's buffers.
	SendBuffer, ReceiveBuffer BufferRange

	// NoAutotune keeps receive buffers at their set size instead of letting
	// them grow up to ReceiveBuffer.Max with the connection's rate.
	NoAutotune bool

	// NoSendAutotune keeps send buffers at their set size instead of letting
	// them grow up to SendBuffer.Max with the congestion window. It holds for
	// the sockets of package socketapi: gVisor has no such setting.
	NoSendAutotune bool

	// NoSACK turns selective acknowledgement (RFC 2018) off, NoRACK the
	// time-based loss detection built on it (RFC 8985).
	//
	// While a NIC has an MTU of less than 80, new connections have no SACK
	// either, because acknowledgements with three blocks would not fit; that of
	// older ones is not taken back, and on a device with offloads those may
	// hang after a loss until the MTU is larger again.
	NoSACK, NoRACK bool

	// TimeWait is how long a closed connection stays in TIME-WAIT, 60 s by
	// default, with most of the memory it had open, some 6 KiB; FinWait2 how long
	// an orphan waits in FIN-WAIT-2, 60 s.
	TimeWait, FinWait2 time.Duration

	// MinRTO and MaxRTO bound the retransmission timeout: 200 ms and 120 s.
	MinRTO, MaxRTO time.Duration

	// InvalidRateLimit is the shortest time between two ACKs that answer
	// unacceptable segments of one connection, 500 ms by default; less than 0
	// answers all (net.ipv4.tcp_invalid_ratelimit).
	InvalidRateLimit time.Duration
}

// BufferRange is a buffer's smallest, preset and largest size in payload bytes:
// of a receive buffer, what a peer may have sent and we not read.
type BufferRange struct {
	Min, Default, Max int
}

// NICConfig is how one device joins the stack.
type NICConfig struct {
	// Addresses are ours on this network, with the prefix that is on-link.
	Addresses []netip.Prefix

	// Routes beyond the on-link prefixes.
	Routes []Route

	// HardwareAddr is the stack's own MAC, which must differ from that of the
	// TAP (the kernel's end). nil chooses a random locally administered one.
	HardwareAddr net.HardwareAddr

	// DADProbes is the number of neighbour solicitations by which an IPv6
	// address is checked to be unused (RFC 4862, 5.4) before it may be used, a
	// second each. 0 checks nothing: a link with two ends that were both
	// configured by hand has nobody else to ask.
	DADProbes uint8

	// AcceptRA configures addresses and routes from IPv6 router
	// advertisements.
	AcceptRA bool
}

// Route sends what matches Dst to the neighbour Via.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}

// Default sizes. gVisor's own, set all the same: a default that moves with an
// upgrade would move every measurement with it.
const (
	minSend, defaultSend, maxSend          = 4 << 10, 1 << 20, 4 << 20
	minReceive, defaultReceive, maxReceive = 2 << 10, 512 << 10, 2 << 20
)

// receiveMemory is how much memory gVisor wants for a payload byte of receive
// buffer: it counts its own bookkeeping in, and never grants a peer more than
// half of what it has (tcp.rcvAdvWndScale).
const receiveMemory = 2

func (c TCPConfig) withDefaults() (TCPConfig, error) {
	if c.CongestionControl == "" {
		c.CongestionControl = "cubic"
	}
	if c.CongestionControl != "cubic" && c.CongestionControl != "reno" {
		return c, fmt.Errorf("congestion control %q: this stack has cubic and reno", c.CongestionControl)
	}
	var err error
	if c.SendBuffer, err = c.SendBuffer.withDefaults("send", minSend, defaultSend, maxSend); err != nil {
		return c, err
	}
	if c.ReceiveBuffer, err = c.ReceiveBuffer.withDefaults("receive", minReceive, defaultReceive, maxReceive); err != nil {
		return c, err
	}
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"TIME-WAIT", &c.TimeWait, 60 * time.Second},
		{"FIN-WAIT-2", &c.FinWait2, 60 * time.Second},
		{"smallest RTO", &c.MinRTO, 200 * time.Millisecond},
		{"largest RTO", &c.MaxRTO, 120 * time.Second},
	} {
		if *d.v < 0 {
			return c, fmt.Errorf("%s of %v: must not be negative", d.name, *d.v)
		}
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if c.InvalidRateLimit == 0 {
		c.InvalidRateLimit = 500 * time.Millisecond
	}
	if c.MinRTO > c.MaxRTO {
		return c, fmt.Errorf("smallest RTO %v is above the largest, %v", c.MinRTO, c.MaxRTO)
	}
	return c, nil
}

func (r BufferRange) withDefaults(name string, smallest, preset, largest int) (BufferRange, error) {
	if r.Max == 0 {
		r.Max = max(largest, r.Default, r.Min)
	}
	if r.Min == 0 {
		r.Min = min(smallest, r.Max)
	}
	if r.Default == 0 {
		r.Default = max(r.Min, min(preset, r.Max))
	}
	if r.Min <= 0 || r.Default < r.Min || r.Max < r.Default || r.Max > maxBuffer {
		return r, fmt.Errorf("%s buffer sizes %d, %d, %d: want 0 < smallest <= default <= largest <= %d", name, r.Min, r.Default, r.Max, maxBuffer)
	}
	return r, nil
}

// maxBuffer is the largest window that TCP can express (RFC 7323, 2.3).
const maxBuffer = 1 << 30

// check refuses what the stack could take but nobody can have meant.
func (c *NICConfig) check(mtu int) error {
	seen := make(map[netip.Addr]bool, len(c.Addresses))
	for _, p := range c.Addresses {
		if err := checkAddress(p, mtu); err != nil {
			return err
		}
		if seen[p.Addr()] {
			return fmt.Errorf("address %v is given twice", p.Addr())
		}
		seen[p.Addr()] = true
	}
	for _, r := range c.Routes {
		if !r.Dst.IsValid() || !r.Via.IsValid() || r.Dst.Addr().Is4() != r.Via.Is4() {
			return fmt.Errorf("route to %v via %v: want a prefix and a neighbour of one family", r.Dst, r.Via)
		}
	}
	if n := len(c.HardwareAddr); n != 0 && (n != 6 || c.HardwareAddr[0]&1 != 0) {
		return fmt.Errorf("hardware address %v: want six bytes, not a group address", c.HardwareAddr)
	}
	return nil
}

func checkAddress(p netip.Prefix, mtu int) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("address: invalid prefix")
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || a.Zone() != "":
		return fmt.Errorf("address %v: want a unicast address without zone", p)
	case a.Is6() && mtu < tap.MinMTU6:
		return fmt.Errorf("address %v: IPv6 needs an MTU of at least %d, the device has %d", p, tap.MinMTU6, mtu)
	}
	return nil
}
