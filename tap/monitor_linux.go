package tap

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// monitor looks at the kernel's end of a TAP. Its two sockets belong to the
// network namespace the TAP was opened in, so it may be used from any thread.
type monitor struct {
	index  int
	events *nl.NetlinkSocket // is told

	// mu keeps Close from taking the sockets away under look: netlink would
	// then open others, in whatever namespace the thread happens to be.
	mu     sync.Mutex
	handle *netlink.Handle // asks; nil when closed
}

// newMonitor opens the sockets, on the calling thread's namespace.
func newMonitor(name string) (_ *monitor, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("%s: netlink: %w", name, err)
	}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, fmt.Errorf("%s: watch: %w", name, err)
	}
	return &monitor{index: link.Attrs().Index, handle: h, events: events}, nil
}

func (m *monitor) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle != nil {
		m.handle.Close()
		m.handle = nil
		m.events.Close()
	}
	return nil
}

// look asks for the interface's present state.
func (m *monitor) look() (Interface, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle == nil {
		return Interface{}, net.ErrClosed
	}
	link, err := m.handle.LinkByIndex(m.index)
	if err != nil {
		return Interface{}, err
	}
	return interfaceOf(link), nil
}

func interfaceOf(link netlink.Link) Interface {
	a := link.Attrs()
	i := Interface{
		Up:           a.Flags&net.FlagUp != 0,
		MTU:          a.MTU,
		HardwareAddr: a.HardwareAddr,
		TxQueueLen:   a.TxQLen,
	}
	if s := a.Statistics; s != nil {
		i.RxDropped, i.TxDropped = s.RxDropped, s.TxDropped
		i.RxErrors, i.TxErrors = s.RxErrors, s.TxErrors
	}
	return i
}

// watch calls fn with every state the kernel reports, until the monitor is
// closed. The errors of a closed socket are not worth telling apart.
func (m *monitor) watch(fn func(Interface)) {
	for {
		msgs, from, err := m.events.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			// More news than the socket holds: what was missed is in the
			// present state.
			if now, err := m.look(); err == nil {
				fn(now)
			}
			continue
		}
		if err != nil {
			return
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for _, msg := range msgs {
			header := unix.NlMsghdr(msg.Header)
			if header.Type != unix.RTM_NEWLINK {
				continue // a deleted interface ends the reads, which says it better
			}
			link, err := netlink.LinkDeserialize(&header, msg.Data)
			if err == nil && link.Attrs().Index == m.index {
				fn(interfaceOf(link))
			}
		}
	}
}

// Interface implements what [InterfaceOf] asks for.
func (d *device) Interface() (Interface, error) {
	i, err := d.monitor.look()
	if err != nil {
		return i, opError(d.name, "look", err)
	}
	return i, nil
}

// Watch implements what [Watch] asks for.
func (d *device) Watch(fn func(Interface)) {
	d.monitor.watch(func(i Interface) {
		d.mtu.Store(int64(i.MTU))
		fn(i)
	})
}
