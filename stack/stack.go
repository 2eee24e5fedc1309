package stack

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"tapstack/tap"
)

// Stack is one network stack. Its methods are safe for concurrent use.
type Stack struct {
	ns    *netstack.Stack
	clock tcpip.Clock

	mu      sync.Mutex // guards what follows
	nics    []*NIC
	nextNIC tcpip.NICID
	noSACK  bool  // TCPConfig.NoSACK
	err     error // why done was closed

	fixedSend, fixedReceive     atomic.Bool  // TCPConfig.NoSendAutotune, NoAutotune
	largestSend, largestReceive atomic.Int64 // TCPConfig.SendBuffer.Max, ReceiveBuffer.Max

	quiesce sync.Mutex // held by Quiesce, and while gVisor's stack is closed

	ending  sync.Once     // the teardown, whoever starts it
	done    chan struct{} // closed when the stack begins to end
	drained chan struct{} // closed when the teardown is complete
}

// New makes a stack without any NIC; nil is the zero Config. Close it.
func New(cfg *Config) (*Stack, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	tcpCfg, err := cfg.TCP.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("TCP settings: %w", err)
	}
	clock, timers := cfg.Clock, cfg.Clock
	if clock == nil {
		clock = tcpip.NewStdClock()
		timers = coarseClock{clock}
	}
	s := &Stack{
		clock: clock,
		ns: netstack.New(netstack.Options{
			Clock:     timers,
			SecureRNG: cfg.Rand,
			// A stack may talk to itself: a proxy inside it reaches its own
			// services.
			HandleLocal: true,
			NetworkProtocols: []netstack.NetworkProtocolFactory{
				ipv4.NewProtocol,
				ipv6.NewProtocolWithOptions(ipv6.Options{AutoGenLinkLocal: true}),
				arp.NewProtocol,
			},
			TransportProtocols: []netstack.TransportProtocolFactory{
				tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
			},
		}),
		nextNIC: 1,
		done:    make(chan struct{}),
		drained: make(chan struct{}),
	}
	if err := s.setTCP(tcpCfg); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("TCP settings: %w", err)
	}
	return s, nil
}

// AddNIC attaches dev, gives it the addresses and routes of cfg (nil: none)
// and begins to read from it. The stack owns dev from here on, also when
// AddNIC fails: the device is then closed.
//
// Errors: a wrong setting by its name; EEXIST for an address the stack has
// already; net.ErrClosed after Close.
func (s *Stack) AddNIC(dev tap.Device, cfg *NICConfig) (*NIC, error) {
	if cfg == nil {
		cfg = &NICConfig{}
	}
	if dev == nil {
		return nil, errors.New("nic: no device: it is nil")
	}
	n, err := s.addNIC(dev, cfg)
	if err != nil {
		_ = dev.Close()
		return nil, fmt.Errorf("nic %s: %w", dev.Name(), err)
	}
	return n, nil
}

func (s *Stack) addNIC(dev tap.Device, cfg *NICConfig) (*NIC, error) {
	if err := cfg.check(dev.MTU()); err != nil {
		return nil, err
	}
	// The lock is held to the end so that a Close meanwhile finds the NIC
	// either not there or complete.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, net.ErrClosed
	}
	n, err := newNIC(s, s.nextNIC, dev, cfg)
	if err != nil {
		return nil, err
	}
	s.nextNIC++
	s.nics = append(s.nics, n)
	s.fitSACK()
	n.link.start()
	return n, nil
}

// NICs are the stack's interfaces, in the order in which they were added.
func (s *Stack) NICs() []*NIC {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*NIC(nil), s.nics...)
}

// OnlyNIC is the stack's interface if it has exactly one, nil otherwise. It
// allocates nothing.
func (s *Stack) OnlyNIC() *NIC {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.nics) != 1 {
		return nil
	}
	return s.nics[0]
}

// Done is closed when the stack ends: by Close, or because a device failed.
func (s *Stack) Done() <-chan struct{} { return s.done }

// Err is nil while the stack runs; then it says why it ended: net.ErrClosed
// after Close, otherwise the device's error (see tap.ErrGone).
func (s *Stack) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Clock is what the deadlines of the stack's sockets run on, and its timers
// too.
func (s *Stack) Clock() tcpip.Clock { return s.clock }

// Netstack is the gVisor stack inside, for socketapi and for what this package
// does not offer. It is valid until Close.
func (s *Stack) Netstack() *netstack.Stack { return s.ns }

// Quiesce returns when all TCP segments that have been delivered so far are
// processed. Everything else that a frame, a timer or a call sets off happens
// on the goroutine that brings it. So whoever delivers one frame at a time,
// and lets time pass by a [VirtualClock], knows after each Quiesce that nothing
// is in flight inside: what the stack does next depends on nothing but what it
// is given next.
//
// One frame at a time, because how many ACKs leave depends on how segments were
// batched. Not covered are connections of the stack with itself, which may pass
// segments to and fro for ever, and more than 64 neighbours whose addresses are
// being resolved: what waits for the first of them is given up in a goroutine of
// gVisor's (packetsPendingLinkResolution.enqueue). After Close it does nothing.
func (s *Stack) Quiesce() {
	s.quiesce.Lock()
	defer s.quiesce.Unlock()
	select {
	case <-s.done:
		// gVisor's processors may be gone, and Pause would wait for ever.
	default:
		for range handovers + 1 {
			s.ns.Pause()
			s.ns.Resume()
		}
	}
}

// handovers is how often a segment may be passed from one of gVisor's
// processors to another, which may have paused already: from an endpoint that
// is closed, or in TIME-WAIT, to the listener, and from there to a connection
// that came about meanwhile.
const handovers = 3

// Close resets every connection, closes every device and waits until no
// goroutine of the stack is left. It may be called more than once and by
// anyone; every call returns when the stack is gone. It does not wait for sent
// data to be acknowledged: close the connections first for that.
func (s *Stack) Close() error {
	s.end(net.ErrClosed)
	<-s.drained
	return nil
}

// end begins the teardown, once. The first reason is the one Err reports.
func (s *Stack) end(reason error) {
	s.ending.Do(func() {
		s.mu.Lock()
		s.err = reason
		nics := s.nics
		s.mu.Unlock()
		close(s.done)
		// Not inline: a failing reader calls this, and teardown waits for
		// the readers.
		go s.teardown(nics)
	})
}

// teardown ends everything in the one order that does not hang: gVisor's Wait
// blocks on endpoints that were not aborted (60 s in TIME-WAIT), and waits for
// the link's readers while holding the stack's lock.
func (s *Stack) teardown(nics []*NIC) {
	defer close(s.drained)
	s.quiesce.Lock() // Quiesce sees done closed after this
	s.ns.Close()
	s.quiesce.Unlock()
	for _, ep := range s.ns.CleanupEndpoints() {
		ep.Abort()
	}
	for _, n := range nics {
		n.link.stop()
	}
	s.ns.Wait()
}

// deviceFailed ends the stack because dev can no longer be read.
func (s *Stack) deviceFailed(dev tap.Device, err error) {
	if !errors.Is(err, net.ErrClosed) {
		if strings.HasPrefix(err.Error(), dev.Name()+": ") {
			err = fmt.Errorf("nic %w", err)
		} else { // not one of ours, or renamed this moment
			err = fmt.Errorf("nic %s: %w", dev.Name(), err)
		}
		s.end(err)
		return
	}
	// Somebody closed the device that the stack owns.
	s.end(fmt.Errorf("nic %s: device closed under the stack: %w", dev.Name(), err))
}
