package drill

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"

	"tapstack/drill/script"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
	"tapstack/tap/capture"
)

// host is one stack with what the script does on it: its wire, its file
// descriptors, its connections.
type host struct {
	name          string
	stack         *stack.Stack
	nic           *stack.NIC
	wire          line    // to the script; nil where hosts are joined by links
	links         []*port // otherwise
	captures      []running
	mac           net.HardwareAddr
	local, remote netip.Addr
	mapped        bool // IPv4 through AF_INET6 sockets

	files     map[int]*file
	lingering []*socketapi.Socket // without a descriptor, and perhaps not closed yet
	blocked   []*blocked
	last      *file // the socket that assertions are about

	sent     []*packet // by the stack, and not yet expected
	reached  []*packet // the same of what came over a link
	flows    []*flow
	current  map[uint8]*flow   // by protocol
	pings    map[uint16]uint16 // identifiers of echo requests: the script's to the wire's
	nextPort uint16
}

// peerMAC is the script's end of every wire.
var peerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}

// ourMAC is the stack's.
var ourMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// Addresses, which are packetdrill's: ours with its network, the other side's
// somewhere else, and the gateway to there.
var (
	local4, remote4 = netip.MustParsePrefix("192.168.0.1/16"), netip.MustParseAddr("192.0.2.1")
	local6, remote6 = netip.MustParsePrefix("fd3d:a0b:17d6::1/48"), netip.MustParseAddr("fd3d:fa7b:d17d::1")
	gateway4        = netip.MustParseAddr("192.168.0.2")
	gateway6        = netip.MustParseAddr("fd3d:a0b:17d6:8888::0")
)

// seeded is randomness from a seed. It may be read concurrently.
type seeded struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newSeeded(seed uint64) *seeded {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &seeded{r: rand.NewChaCha8(key)}
}

// Read implements io.Reader.
func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

// newStack makes a host without any device.
func (r *run) newStack(name string) *host {
	h := &host{
		name: name, nextPort: firstRemotePort,
		files: make(map[int]*file), current: make(map[uint8]*flow), pings: make(map[uint16]uint16),
	}
	seed := r.cfg.Seed + uint64(len(r.hosts))<<32
	cfg := &stack.Config{Rand: newSeeded(seed), TCP: r.opts.tcp}
	if v, ok := r.clock.(virtual); ok {
		cfg.Clock = v.VirtualClock
	}
	s, err := stack.New(cfg)
	r.check(err)
	h.stack = s
	r.hosts = append(r.hosts, h)
	return h
}

// frames reports whether the script has frames of its own, ARP or neighbour
// discovery. Then nobody else resolves addresses.
func (r *run) frames() bool {
	found := false
	r.script.Inspect(func(n script.Node) bool {
		switch n.(type) {
		case *script.ARP, *script.NDP, *script.Raw:
			found = true
		}
		return !found
	})
	return found
}

// newHost makes the only host of a script.
func (r *run) newHost() *host {
	h := r.newStack("")
	h.mac, h.mapped = ourMAC, r.opts.ip == "ipv4-mapped-ipv6"
	dev := r.newLine(h)
	if r.cfg.Capture != nil {
		dev = r.startCapture(h, dev)
	}
	nic := &stack.NICConfig{HardwareAddr: ourMAC}
	gateway := gateway4
	if r.opts.ip == "ipv6" {
		h.local, h.remote, gateway = local6.Addr(), remote6, gateway6
		nic.Addresses = []netip.Prefix{local6}
		nic.Routes = []stack.Route{{Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Via: gateway6}}
	} else {
		h.local, h.remote = local4.Addr(), remote4
		nic.Addresses = []netip.Prefix{local4}
		nic.Routes = []stack.Route{{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: gateway4}}
	}
	var err error
	h.nic, err = h.stack.AddNIC(dev, nic)
	r.check(err)
	if !r.frames() {
		r.check(h.nic.AddNeighbour(gateway, peerMAC))
	}
	h.wire.settle()
	for _, c := range r.script.Conns {
		h.declare(c)
	}
	return h
}

// newLine gives a host its line to the script, and returns the stack's end.
func (r *run) newLine(h *host) tap.Device {
	rt := r.cfg.RealTime
	if rt == nil {
		w := newWire("wire", r.opts.mtu, r.clock)
		h.wire = w
		return w
	}
	open := rt.Open
	if open == nil {
		open = openPipe
	}
	near, far, err := open(r.opts.mtu)
	r.check(err)
	l := newLive(near, far, r.clock)
	h.wire = l
	return l.near
}

// running is a capture that runs, with its file.
type running struct {
	*capture.Capture
	file io.Closer
}

// startCapture puts a capture between the wire and the stack.
func (r *run) startCapture(h *host, w tap.Device) tap.Device {
	name := h.name
	if n := len(h.captures); n > 0 {
		name = fmt.Sprintf("%s%d", name, n+1)
	}
	out, err := r.cfg.Capture(name)
	if err != nil {
		_ = w.Close()
		r.check(err)
	}
	dev := capture.Wrap(w)
	c, err := dev.Start(out, &capture.Config{Now: r.clock.Now})
	if err != nil {
		_ = out.Close()
		_ = w.Close()
		r.check(err)
	}
	h.captures = append(h.captures, running{c, out})
	return dev
}

// declare makes the flow of a "conn" line known. Its protocol is that of the
// first packet with its name.
func (h *host) declare(c *script.Conn) {
	f := &flow{name: c.Name, local: c.Local, remote: c.Remote}
	for _, a := range []netip.Addr{f.local.Addr(), f.remote.Addr()} {
		if a.IsValid() && h.local.IsValid() && a.Is4() != h.local.Is4() {
			fail(c.Pos, "the connection's address %s is not of the IP version that the script runs over", a)
		}
	}
	if !f.local.Addr().IsValid() {
		f.local = netip.AddrPortFrom(h.local, or(f.local.Port(), localPort))
	}
	if !f.remote.Addr().IsValid() {
		port := f.remote.Port()
		if port == 0 {
			port = h.nextPort
			h.nextPort++
		}
		f.remote = netip.AddrPortFrom(h.remote, port)
	}
	f.scriptLocal, f.scriptRemote = f.local.Port(), f.remote.Port()
	h.flows = append(h.flows, f)
}

// close ends the stack and everything on it.
func (h *host) close() {
	for _, c := range h.captures {
		// First: what the end of the stack does to its connections is not the
		// script's.
		_, _ = c.Stop()
		_ = c.file.Close()
	}
	// Then the descriptors, as when a process ends: a socket whose connection
	// is over keeps what nobody has read.
	for _, f := range h.files {
		if f.so != nil {
			_ = f.so.Close()
		} else {
			_ = f.epoll.poller.Close()
		}
	}
	for _, so := range h.lingering {
		_ = so.Close()
	}
	_ = h.stack.Close()
	if h.wire != nil {
		h.wire.end()
	}
}

// listening reports whether the script has a listener on h.
func (h *host) listening() bool {
	for _, f := range h.files {
		if f.so != nil {
			if v, err := f.so.Option(socketapi.SO_ACCEPTCONN); err == nil && v != 0 {
				return true
			}
		}
	}
	return false
}
