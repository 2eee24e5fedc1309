package socketapi

import (
	"net/netip"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"tapstack/socketapi/internal/engine"
)

// SetLinger decides what Close does with bytes that are not acknowledged
// (SO_LINGER): 0 seconds discards them and resets the connection; more sends
// them in the background, as negative, the default, does. (Linux's Close of a
// blocking socket would wait for them that long: wait with
// [TCPConn.WaitAcked].) Errors: ENOPROTOOPT for UDP and ping sockets.
func (so *Socket) SetLinger(seconds int) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	if so.kind != stream {
		return syscall.ENOPROTOOPT
	}
	set := func(so *Socket) error {
		so.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: seconds >= 0, Timeout: time.Duration(max(seconds, 0)) * time.Second})
		return nil
	}
	so.remember(setting{option: lingerSetting, apply: set})
	return set(so)
}

// Linger is what SetLinger set: seconds, or -1. Errors: ENOPROTOOPT for UDP and
// ping sockets.
func (so *Socket) Linger() (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	if so.kind != stream {
		return 0, syscall.ENOPROTOOPT
	}
	l := so.ep.SocketOptions().GetLinger()
	if !l.Enabled {
		return -1, nil
	}
	return int(l.Timeout / time.Second), nil
}

// SetCongestionControl chooses the algorithm by name, "reno" or "cubic", also
// while connected (TCP_CONGESTION). ENOENT for a name the stack has not.
func (so *Socket) SetCongestionControl(name string) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	if so.kind != stream {
		return syscall.ENOPROTOOPT
	}
	set := func(so *Socket) error {
		so.mu.Lock()
		defer so.mu.Unlock()
		return so.errno(engine.ChooseCongestionControl(so.tcp(), name))
	}
	if err := set(so); err != nil {
		return err
	}
	so.remember(setting{option: congestionSetting, apply: set})
	return nil
}

// CongestionControl is the name of the algorithm in force. Errors: ENOPROTOOPT
// for UDP and ping sockets.
func (so *Socket) CongestionControl() (string, error) {
	if err := so.use(); err != nil {
		return "", err
	}
	defer so.done()
	if so.kind != stream {
		return "", syscall.ENOPROTOOPT
	}
	var cc tcpip.CongestionControlOption
	err := so.errno(so.ep.GetSockOpt(&cc))
	return string(cc), err
}

// BindToDevice restricts the socket to one NIC of the stack, by name; "" lifts
// the restriction (SO_BINDTODEVICE). ENODEV for a NIC there is not.
func (so *Socket) BindToDevice(nic string) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	var id tcpip.NICID
	if nic != "" {
		var ok bool
		if id, ok = nicID(so.stack, nic); !ok {
			return syscall.ENODEV
		}
	}
	return so.errno(so.ep.SocketOptions().SetBindToDevice(int32(id)))
}

// JoinGroup receives what is sent to a multicast group, through one NIC or, for
// "", the one that the routes choose (IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP).
//
// Errors: EINVAL for an address that is no group's, EADDRINUSE for one joined
// already, ENODEV for a NIC there is not, ENOPROTOOPT for streams.
func (so *Socket) JoinGroup(group netip.Addr, nic string) error {
	m, err := so.membership(group, nic)
	if err != nil {
		return err
	}
	defer so.done()
	return so.errno(so.ep.SetSockOpt((*tcpip.AddMembershipOption)(&m)))
}

// LeaveGroup undoes JoinGroup. EADDRNOTAVAIL for a group that was not joined.
func (so *Socket) LeaveGroup(group netip.Addr, nic string) error {
	m, err := so.membership(group, nic)
	if err != nil {
		return err
	}
	defer so.done()
	return so.errno(so.ep.SetSockOpt((*tcpip.RemoveMembershipOption)(&m)))
}

// membership is group at nic for gVisor. On success the caller has a use of so.
func (so *Socket) membership(group netip.Addr, nic string) (m tcpip.MembershipOption, err error) {
	if err := so.use(); err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			so.done()
		}
	}()
	group = group.Unmap()
	switch {
	case so.kind == stream:
		return m, syscall.ENOPROTOOPT
	case !group.IsMulticast() || group.Is6() && !so.v6:
		return m, syscall.EINVAL
	}
	m.MulticastAddr = tcpip.AddrFromSlice(group.AsSlice())
	if nic == "" {
		if only := so.stack.OnlyNIC(); only != nil {
			m.NIC = only.ID() // no route leads to a group, and there is no choice
		}
		return m, nil
	}
	id, ok := nicID(so.stack, nic)
	if !ok {
		return m, syscall.ENODEV
	}
	m.NIC = id
	return m, nil
}

// SetMulticastInterface sends what goes to groups through one NIC; "", the
// default, leaves it to the address that the socket is bound to, whose NIC it
// is, or else to the routes, or if the stack has one NIC alone to that
// (IP_MULTICAST_IF, IPV6_MULTICAST_IF).
//
// Errors: ENODEV for a NIC there is not, ENOPROTOOPT for streams.
func (so *Socket) SetMulticastInterface(nic string) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	if so.kind == stream {
		return syscall.ENOPROTOOPT
	}
	var id tcpip.NICID
	if nic != "" {
		var ok bool
		if id, ok = nicID(so.stack, nic); !ok {
			return syscall.ENODEV
		}
	}
	if so.v6 {
		if err := so.ep.SetSockOptInt(tcpip.IPv6MulticastInterfaceOption, int(id)); err != nil {
			return so.errno(err)
		}
	}
	return so.errno(so.ep.SetSockOpt(&tcpip.MulticastInterfaceOption{NIC: id}))
}

// ifOfGroups is the NIC through which a datagram to a group, or to all on the
// link (255.255.255.255), leaves without a route: 0 for what the routes say.
// gVisor asks them even when there is but one way to go.
func (so *Socket) ifOfGroups(to tcpip.FullAddress) tcpip.NICID {
	if only := so.stack.OnlyNIC(); only != nil {
		return only.ID()
	}
	if so.ep.SocketOptions().GetBindToDevice() != 0 || so.multicastNIC(to) != 0 {
		return 0 // gVisor goes by these
	}
	local, err := so.ep.GetLocalAddress()
	if err != nil || local.Addr.BitLen() != to.Addr.BitLen() {
		return 0
	}
	proto := ipv4
	if to.Addr.BitLen() == 128 {
		proto = ipv6
	}
	return so.stack.Netstack().CheckLocalAddress(0, proto, local.Addr)
}

// multicastNIC is what SetMulticastInterface has chosen for a destination, 0
// for nothing.
func (so *Socket) multicastNIC(to tcpip.FullAddress) tcpip.NICID {
	if to.Addr.BitLen() == 128 {
		n, err := so.ep.GetSockOptInt(tcpip.IPv6MulticastInterfaceOption)
		if err != nil {
			return 0
		}
		return tcpip.NICID(n)
	}
	var opt tcpip.MulticastInterfaceOption
	if so.ep.GetSockOpt(&opt) != nil {
		return 0
	}
	return opt.NIC
}
