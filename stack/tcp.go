package stack

import (
	"errors"
	"fmt"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// setTCP puts every field of c in force. c has its defaults.
func (s *Stack) setTCP(c TCPConfig) error {
	var (
		cc       = tcpip.CongestionControlOption(c.CongestionControl)
		snd      = tcpip.TCPSendBufferSizeRangeOption(c.SendBuffer)
		rcv      = tcpip.TCPReceiveBufferSizeRangeOption(c.ReceiveBuffer.times(receiveMemory, 1))
		moderate = tcpip.TCPModerateReceiveBufferOption(!c.NoAutotune)
		recovery = tcpip.TCPRACKLossDetection
		timeWait = tcpip.TCPTimeWaitTimeoutOption(c.TimeWait)
		finWait2 = tcpip.TCPLingerTimeoutOption(c.FinWait2)
		minRTO   = tcpip.TCPMinRTOOption(c.MinRTO)
		maxRTO   = tcpip.TCPMaxRTOOption(c.MaxRTO)
	)
	if c.NoRACK {
		recovery = 0
	}
	var errs []error
	for _, o := range []struct {
		name string
		opt  tcpip.SettableTransportProtocolOption
	}{
		{"congestion control", &cc},
		{"send buffer", &snd},
		{"receive buffer", &rcv},
		{"autotuning", &moderate},
		{"RACK", &recovery},
		{"TIME-WAIT", &timeWait},
		{"FIN-WAIT-2", &finWait2},
		// The smallest RTO must not exceed the largest in between.
		{"largest RTO", &maxRTO},
		{"smallest RTO", &minRTO},
	} {
		if err := s.ns.SetTransportProtocolOption(tcp.ProtocolNumber, o.opt); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.name, Errno(err)))
		}
	}
	if err := s.ns.SetOption(netstack.TCPInvalidRateLimitOption(max(c.InvalidRateLimit, 0))); err != nil {
		errs = append(errs, fmt.Errorf("answers to unacceptable segments: %w", Errno(err)))
	}
	s.fixedSend.Store(c.NoSendAutotune)
	s.fixedReceive.Store(c.NoAutotune)
	s.largestSend.Store(int64(c.SendBuffer.Max))
	s.largestReceive.Store(int64(c.ReceiveBuffer.Max))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noSACK = c.NoSACK
	s.fitSACK()
	return errors.Join(errs...)
}

// LargestBuffers are the upper limits of TCPConfig.SendBuffer and ReceiveBuffer,
// in payload bytes. It takes no lock and allocates nothing, unlike TCP.
func (s *Stack) LargestBuffers() (send, receive int) {
	return int(s.largestSend.Load()), int(s.largestReceive.Load())
}

// Autotunes reports whether the buffers of new TCP sockets grow: see
// TCPConfig.NoSendAutotune and NoAutotune. It takes no lock.
func (s *Stack) Autotunes() (send, receive bool) {
	return !s.fixedSend.Load(), !s.fixedReceive.Load()
}

// minSACKMTU is the smallest MTU that carries any acknowledgement: an IPv4
// header without options, and the largest of TCP, which gVisor fills with
// timestamps and three SACK blocks, or with four blocks but for four bytes.
// Below it gVisor makes packets that no device takes, again and again (it cuts
// into fragments only what is not offloaded), and no payload fits beside them.
const minSACKMTU = header.IPv4MinimumSize + header.TCPHeaderMaximumSize

// mtuChanged is fitSACK for whoever does not hold mu.
func (s *Stack) mtuChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fitSACK()
}

// fitSACK switches SACK off for new connections while there is a NIC that is too
// small for it. gVisor has it for a stack, not for a NIC. mu is held.
func (s *Stack) fitSACK() {
	sack := tcpip.TCPSACKEnabled(!s.noSACK)
	for _, n := range s.nics {
		if n.MTU() < minSACKMTU {
			sack = false
		}
	}
	// Fails only for an option that TCP does not have.
	_ = s.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
}

func (r BufferRange) times(n, d int) BufferRange {
	return BufferRange{r.Min * n / d, r.Default * n / d, r.Max * n / d}
}

// TCP reads back the TCP settings that are in force, NoSACK as it was set: what
// the MTUs make of it is not there.
func (s *Stack) TCP() TCPConfig {
	var (
		cc       tcpip.CongestionControlOption
		snd      tcpip.TCPSendBufferSizeRangeOption
		rcv      tcpip.TCPReceiveBufferSizeRangeOption
		moderate tcpip.TCPModerateReceiveBufferOption
		recovery tcpip.TCPRecovery
		timeWait tcpip.TCPTimeWaitTimeoutOption
		finWait2 tcpip.TCPLingerTimeoutOption
		minRTO   tcpip.TCPMinRTOOption
		maxRTO   tcpip.TCPMaxRTOOption
	)
	for _, opt := range []tcpip.GettableTransportProtocolOption{
		&cc, &snd, &rcv, &moderate, &recovery, &timeWait, &finWait2, &minRTO, &maxRTO,
	} {
		// Fails only for an option that TCP does not have, and New has set
		// each of these.
		_ = s.ns.TransportProtocolOption(tcp.ProtocolNumber, opt)
	}
	s.mu.Lock()
	noSACK := s.noSACK
	s.mu.Unlock()
	var invalid netstack.TCPInvalidRateLimitOption
	_ = s.ns.Option(&invalid)
	if invalid == 0 {
		invalid = -1 // as Config has it
	}
	return TCPConfig{
		InvalidRateLimit:  time.Duration(invalid),
		CongestionControl: string(cc),
		SendBuffer:        BufferRange(snd),
		ReceiveBuffer:     BufferRange(rcv).times(1, receiveMemory),
		NoAutotune:        !bool(moderate),
		NoSendAutotune:    s.fixedSend.Load(),
		NoSACK:            noSACK,
		NoRACK:            recovery&tcpip.TCPRACKLossDetection == 0,
		TimeWait:          time.Duration(timeWait),
		FinWait2:          time.Duration(finWait2),
		MinRTO:            time.Duration(minRTO),
		MaxRTO:            time.Duration(maxRTO),
	}
}
