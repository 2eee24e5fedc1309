package socketapi

import (
	"net/netip"
	"slices"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/stack"
)

// Control messages between gVisor's form and ours: what goes with one message,
// and what came with it.
//
//	SendMsg -> sendable -> sendOne -> tcpip.Endpoint.Write
//	tcpip.Endpoint.Read -> recvDatagram -> received -> RecvMsg

// extras is what one message is sent with besides its bytes.
type extras struct {
	control tcpip.SendableControlMessages
	nic     tcpip.NICID // of IPv4: through which; 0 for any
	tos     uint8       // if hasTOS
	hasTOS  bool
}

// sendable translates what is to be sent with a message to an address, invalid
// for the one connected to. EINVAL for what can only be received and for values
// out of range, ENODEV for a NIC there is not, ENETUNREACH for an IPv4 source
// that is not ours.
func (so *Socket) sendable(c *Control, to netip.AddrPort) (out extras, err error) {
	if c.Has == 0 {
		return out, nil
	}
	if c.Has&^(ControlTTL|ControlTOS|ControlPacketInfo) != 0 || c.Has&ControlTTL != 0 && c.TTL == 0 && !so.v6 {
		return out, syscall.EINVAL
	}
	if c.Has&ControlTTL != 0 {
		out.control.HasTTL, out.control.TTL = true, c.TTL
		out.control.HasHopLimit, out.control.HopLimit = so.v6, c.TTL
	}
	out.tos, out.hasTOS = c.TOS, c.Has&ControlTOS != 0
	if c.Has&ControlPacketInfo == 0 {
		return out, nil
	}
	nic := tcpip.NICID(c.nicIndex)
	if c.NIC != "" {
		id, ok := nicID(so.stack, c.NIC)
		if !ok {
			return out, syscall.ENODEV
		}
		nic = id
	}
	if so.goesOverIPv4(to) {
		out.nic = nic
		return out, so.sourceIPv4(c.Dst, nic, to)
	}
	out.control.HasIPv6PacketInfo = true
	out.control.IPv6PacketInfo.NIC = nic
	if c.Dst.IsValid() {
		out.control.IPv6PacketInfo.Addr = tcpip.AddrFrom16(c.Dst.As16())
	}
	return out, nil
}

// goesOverIPv4 reports whether a message to an address, invalid for the one
// connected to, is an IPv4 packet.
func (so *Socket) goesOverIPv4(to netip.AddrPort) bool {
	if !so.v6 {
		return true
	}
	if !to.IsValid() {
		remote, err := so.ep.GetRemoteAddress()
		return err == nil && remote.Addr.BitLen() == 32
	}
	return to.Addr().Unmap().Is4()
}

// sourceIPv4 is nil if a message to an address has the source from, invalid for
// any. gVisor has a source for a single message with IPv6 alone: here it has to
// be the one that the socket is bound to, or that the route has. EADDRNOTAVAIL
// for another one of ours, ENETUNREACH, as on Linux, for one that is not.
func (so *Socket) sourceIPv4(from netip.Addr, nic tcpip.NICID, to netip.AddrPort) error {
	from = from.Unmap()
	if !from.IsValid() || from.IsUnspecified() {
		return nil
	}
	if !from.Is4() {
		return syscall.EINVAL
	}
	ns, want := so.stack.Netstack(), tcpip.AddrFrom4(from.As4())
	if ns.CheckLocalAddress(0, ipv4, want) == 0 {
		return syscall.ENETUNREACH
	}
	local, lerr := so.ep.GetLocalAddress()
	if lerr == nil && local.Addr.BitLen() != 0 {
		if local.Addr == want {
			return nil
		}
		return syscall.EADDRNOTAVAIL
	}
	fa, err := so.address(to)
	if err != nil {
		return err
	}
	if fa.NIC == 0 {
		fa.NIC = nic
	}
	if fa.NIC == 0 && needsNoRoute(to.Addr()) {
		fa.NIC = so.ifOfGroups(fa)
	}
	r, rerr := ns.FindRoute(fa.NIC, tcpip.Address{}, fa.Addr, ipv4, false)
	if rerr != nil {
		return so.errno(rerr)
	}
	defer r.Release()
	if r.LocalAddress() != want {
		return syscall.EADDRNOTAVAIL
	}
	return nil
}

// tos has one message leave with a TOS or traffic class of its own, for which
// gVisor has no control message, and returns what undoes that. The caller holds
// snd.mu, and so do [steady] options: nobody sees it.
func (so *Socket) tos(v uint8) (undo func()) {
	options := [...]tcpip.SockOptInt{tcpip.IPv4TOSOption, tcpip.IPv6TrafficClassOption}
	var was [len(options)]int
	for i, o := range options {
		was[i], _ = so.ep.GetSockOptInt(o)
		_ = so.ep.SetSockOptInt(o, int(v))
	}
	return func() {
		for i, o := range options {
			_ = so.ep.SetSockOptInt(o, was[i])
		}
	}
}

// steady makes an option of datagrams wait for the message that is being sent
// with another value (Socket.tos).
func steady(spec optionSpec) optionSpec {
	get, set := spec.get, spec.set
	spec.get = func(so *Socket) (int, error) {
		if so.kind == stream {
			return get(so)
		}
		so.snd.mu.Lock()
		defer so.sendUnlock()
		return get(so)
	}
	spec.set = func(so *Socket, v int) error {
		if so.kind == stream {
			return set(so, v)
		}
		so.snd.mu.Lock()
		defer so.sendUnlock()
		return set(so, v)
	}
	return spec
}

// packetInfoOption is a row for IP_PKTINFO or IPV6_RECVPKTINFO: gVisor keeps two
// options apart by what came, IPv4 or IPv6, and Linux by what was asked for.
func packetInfoOption(name string, has func(*Socket) bool, f flag) optionSpec {
	spec := flagOption(name, has, f)
	set := spec.set
	spec.set = func(so *Socket, v int) error {
		err := set(so, v)
		so.ep.SocketOptions().SetReceivePacketInfo(so.flagged(flagInfo4 | flagInfo6))
		so.ep.SocketOptions().SetIPv6ReceivePacketInfo(so.flagged(flagInfo6))
		return err
	}
	return spec
}

// received translates what gVisor received with a message.
func (so *Socket) received(c *Control, m *tcpip.ReceivableControlMessages) {
	c.from4 = m.HasTTL || m.HasTOS || m.HasIPPacketInfo
	if m.HasTTL {
		c.Has, c.TTL = c.Has|ControlTTL, m.TTL
	}
	if m.HasHopLimit {
		c.Has, c.TTL = c.Has|ControlTTL, m.HopLimit
	}
	if m.HasTOS {
		c.Has, c.TOS = c.Has|ControlTOS, m.TOS
	}
	if m.HasTClass {
		c.Has, c.TOS = c.Has|ControlTOS, uint8(m.TClass)
	}
	if m.HasIPPacketInfo {
		so.infoIPv4(c, &m.PacketInfo)
	}
	if m.HasIPv6PacketInfo {
		c.Has, c.NIC = c.Has|ControlPacketInfo, nicName(so.stack, m.IPv6PacketInfo.NIC)
		c.Dst, _ = netip.AddrFromSlice(m.IPv6PacketInfo.Addr.AsSlice())
		c.nicIndex, c.forms = int32(m.IPv6PacketInfo.NIC), flagInfo6
	}
	// gVisor stamps every datagram, asked or not.
	if m.HasTimestamp && so.flagged(flagTimestamp) {
		c.Has, c.Timestamp = c.Has|ControlTimestamp, m.Timestamp
	}
}

// infoIPv4 is where an IPv4 datagram was sent to, and which address of ours an
// answer would come from (ipi_spec_dst): that is another one where it was sent
// to many.
func (so *Socket) infoIPv4(c *Control, info *tcpip.IPPacketInfo) {
	c.Has, c.NIC = c.Has|ControlPacketInfo, nicName(so.stack, info.NIC)
	c.Dst, _ = netip.AddrFromSlice(info.DestinationAddr.AsSlice())
	c.nicIndex, c.answer = int32(info.NIC), c.Dst
	c.forms = flag(so.flags.Load()) & (flagInfo4 | flagInfo6)
	main, err := so.stack.Netstack().GetMainNICAddress(info.NIC, ipv4)
	if err != nil || main.Address == info.DestinationAddr {
		return
	}
	// gVisor counts a broadcast address as one of ours.
	subnet := main.Subnet()
	if needsNoRoute(c.Dst) || subnet.IsBroadcast(info.DestinationAddr) || !hasAddress(so.stack, c.NIC, c.Dst) {
		c.answer, _ = netip.AddrFromSlice(main.Address.AsSlice())
	}
}

// hasAddress reports whether an address is that of a NIC.
func hasAddress(s *stack.Stack, nic string, a netip.Addr) bool {
	n, ok := s.NIC(nic)
	return ok && slices.ContainsFunc(n.Addresses(), func(p netip.Prefix) bool { return p.Addr() == a })
}
