package doctor

import (
	"errors"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lookAtTAPs lists the TAPs of the caller's namespace. It only reads.
func lookAtTAPs() ([]tapFacts, error) {
	links, err := netlink.LinkList()
	// Interfaces that came or went meanwhile make the list inexact, not wrong.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	var taps []tapFacts
	for _, l := range links {
		tuntap, ok := l.(*netlink.Tuntap)
		if !ok || tuntap.Mode != netlink.TUNTAP_MODE_TAP {
			continue
		}
		a := l.Attrs()
		t := tapFacts{
			name: a.Name, owner: tuntap.Owner, persistent: !tuntap.NonPersist,
			up:    a.Flags&net.FlagUp != 0,
			inUse: tuntap.NonPersist || a.RawFlags&unix.IFF_LOWER_UP != 0,
			mtu:   a.MTU, txQueueLen: a.TxQLen,
		}
		if s := a.Statistics; s != nil {
			t.rxDrops, t.txDrops = s.RxDropped, s.TxDropped
		}
		taps = append(taps, t)
	}
	return taps, nil
}
