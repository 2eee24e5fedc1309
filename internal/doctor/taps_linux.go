package doctor

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// lookAtTAPs lists the TAPs of the caller's namespace. It only reads.
func lookAtTAPs() ([]tapFacts, error) {
	// Not netlink.LinkList: it takes no owner for root.
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	// Interfaces that came or went meanwhile make the list inexact, not wrong.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	var taps []tapFacts
	for _, msg := range msgs {
		l, err := netlink.LinkDeserialize(nil, msg)
		if err != nil {
			return nil, err
		}
		tuntap, ok := l.(*netlink.Tuntap)
		if !ok || tuntap.Mode != netlink.TUNTAP_MODE_TAP {
			continue
		}
		a := l.Attrs()
		t := tapFacts{
			name: a.Name, persistent: !tuntap.NonPersist,
			multiQueue: tuntap.Flags&netlink.TUNTAP_MULTI_QUEUE != 0,
			queues:     tuntap.Queues,
			up:         a.Flags&net.FlagUp != 0,
			inUse:      tuntap.NonPersist || a.RawFlags&unix.IFF_LOWER_UP != 0 || tuntap.Queues > 0,
			mtu:        a.MTU, txQueueLen: a.TxQLen,
		}
		if t.owner, t.group, err = owners(msg); err != nil {
			return nil, err
		}
		if s := a.Statistics; s != nil {
			t.rxDrops, t.txDrops = s.RxDropped, s.TxDropped
		}
		taps = append(taps, t)
	}
	return taps, nil
}

// owners finds the user and the group that a TAP belongs to; nobody where the
// kernel says nothing.
func owners(msg []byte) (user, group int, err error) {
	user, group = nobody, nobody
	attrs, err := nl.ParseRouteAttr(msg[unix.SizeofIfInfomsg:])
	for _, nested := range []uint16{unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA} {
		if err != nil {
			return user, group, err
		}
		var inner []syscall.NetlinkRouteAttr
		for _, a := range attrs {
			if a.Attr.Type == nested {
				inner, err = nl.ParseRouteAttr(a.Value)
			}
		}
		attrs = inner
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case nl.IFLA_TUN_OWNER:
			user = int(binary.NativeEndian.Uint32(a.Value))
		case nl.IFLA_TUN_GROUP:
			group = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return user, group, err
}
