package stack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// What gVisor asks a link endpoint for besides its frames (link.go).

var (
	_ netstack.LinkEndpoint = (*link)(nil)
	_ netstack.GSOEndpoint  = (*link)(nil)
)

// SupportedGSO implements netstack.GSOEndpoint.
func (l *link) SupportedGSO() netstack.SupportedGSO {
	if l.tso {
		return netstack.HostGSOSupported
	}
	return netstack.GSONotSupported
}

// AddHeader implements netstack.NetworkLinkEndpoint. gVisor calls it before
// WritePackets.
func (*link) AddHeader(pkt *netstack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: pkt.EgressRoute.LocalLinkAddress,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

// ParseHeader implements netstack.NetworkLinkEndpoint.
func (*link) ParseHeader(pkt *netstack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// Attach implements netstack.NetworkLinkEndpoint.
func (l *link) Attach(d netstack.NetworkDispatcher) {
	if d == nil {
		l.dispatcher.Store(nil)
		return
	}
	l.dispatcher.Store(&d)
}

// IsAttached implements netstack.NetworkLinkEndpoint.
func (l *link) IsAttached() bool {
	return l.dispatcher.Load() != nil
}

// MTU implements netstack.NetworkLinkEndpoint: the IP MTU.
func (l *link) MTU() uint32 { return l.mtu.Load() }

// SetMTU implements netstack.NetworkLinkEndpoint.
func (l *link) SetMTU(mtu uint32) { l.mtu.Store(mtu) }

// MaxHeaderLength implements netstack.NetworkLinkEndpoint.
func (*link) MaxHeaderLength() uint16 { return header.EthernetMinimumSize }

// LinkAddress implements netstack.NetworkLinkEndpoint.
func (l *link) LinkAddress() tcpip.LinkAddress { return *l.addr.Load() }

// SetLinkAddress implements netstack.NetworkLinkEndpoint.
func (l *link) SetLinkAddress(a tcpip.LinkAddress) { l.addr.Store(&a) }

// Capabilities implements netstack.NetworkLinkEndpoint.
func (l *link) Capabilities() netstack.LinkEndpointCapabilities {
	c := netstack.CapabilityResolutionRequired
	if l.csum && !l.verify.Load() {
		c |= netstack.CapabilityRXChecksumOffload
	}
	return c
}

// ARPHardwareType implements netstack.NetworkLinkEndpoint.
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// Wait implements netstack.NetworkLinkEndpoint. Stack.Close has stopped the
// readers before gVisor calls this with its own lock held.
func (l *link) Wait() { l.readers.Wait() }

// Close implements netstack.NetworkLinkEndpoint: gVisor calls it when the NIC
// is removed.
func (l *link) Close() { l.stop() }

// SetOnCloseAction implements netstack.NetworkLinkEndpoint. Nothing outlives
// the device here, so there is nothing to do later.
func (*link) SetOnCloseAction(func()) {}
