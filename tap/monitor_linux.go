package tap

import (
	"errors"
	"net"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// monitor looks at the kernel's end of a TAP, in whatever namespace that is.
type monitor struct {
	file *os.File        // a queue of the TAP, which knows where that is
	tell func(Interface) // is told every state, in order; must not block
	lost func()          // is told that the interface was deleted

	// mu keeps Close from taking the sockets away under look: netlink would
	// then open others, in whatever namespace the thread happens to be.
	mu   sync.Mutex
	view *view
	err  error // why there is no view any more

	// Of those who watch, one waits for the kernel (reading), on its own
	// goroutine, and the others for that one.
	changed sync.Cond // of what is below, and of err
	reading bool
	states  uint64 // how many there were
	state   Interface
	errors  int // in a row, of the events socket
}

// newMonitor makes a monitor and has tell told the present state. The file
// stays the caller's, and must be closed no later than the monitor.
func newMonitor(file *os.File, tell func(Interface), lost func()) (*monitor, error) {
	v, err := openView(file)
	if err != nil {
		return nil, err
	}
	m := &monitor{file: file, tell: tell, lost: lost, view: v}
	m.changed.L = &m.mu
	if _, err := m.look(); err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(net.ErrClosed)
	m.err = net.ErrClosed // though it was at its end before
	return nil
}

// end closes the view for good. mu is held.
func (m *monitor) end(why error) {
	if m.view != nil {
		m.view.close()
		m.view, m.err = nil, why
		m.changed.Broadcast()
		if errors.Is(why, ErrGone) {
			m.lost()
		}
	}
}

// look asks for the interface's present state.
func (m *monitor) look() (Interface, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view == nil {
		return Interface{}, m.err
	}
	now, err := m.view.look()
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		if err = m.follow(); err == nil {
			now, err = m.view.look()
		}
	}
	if err != nil {
		return Interface{}, err
	}
	m.tell(now)
	return now, nil
}

// follow opens another view: the interface has left the namespace of this one.
// On an error the old one stays. mu is held.
func (m *monitor) follow() error {
	v, err := openView(m.file)
	if err != nil {
		return err
	}
	m.view.close()
	m.view = v
	return nil
}

// watch calls fn with the present state and with every later one, until the
// monitor is closed or the interface can be seen no more. A state that is
// overtaken while fn runs is left out. Any number of goroutines may watch.
func (m *monitor) watch(fn func(Interface)) {
	m.mu.Lock()
	seen := m.states
	m.mu.Unlock()
	state, err := m.look()
	for err == nil {
		fn(state)
		state, seen, err = m.next(seen)
	}
}

// next waits for a state beyond the first seen.
func (m *monitor) next(seen uint64) (Interface, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.view != nil {
		switch {
		case m.states != seen:
			return m.state, m.states, nil
		case m.reading:
			m.changed.Wait()
		default:
			m.read()
		}
	}
	return Interface{}, seen, m.err
}

// read waits for the kernel. mu is held, but not meanwhile.
func (m *monitor) read() {
	v := m.view
	m.reading = true
	m.mu.Unlock()
	msgs, from, err := v.events.Receive()
	m.mu.Lock()
	m.reading = false
	m.changed.Broadcast()
	switch {
	case m.view != v:
		return // closed meanwhile, or another has noticed that it is elsewhere
	case err != nil:
		m.readFailed(err)
		return
	case from.Pid != nl.PidKernel:
		return
	}
	m.errors = 0
	news := false
	for _, msg := range msgs {
		header := unix.NlMsghdr(msg.Header)
		if len(msg.Data) == 0 || msg.Data[0] != unix.AF_UNSPEC {
			continue // a bridge's news of its port
		}
		link, err := netlink.LinkDeserialize(&header, msg.Data)
		if err != nil || link.Attrs().Index != v.index {
			continue
		}
		switch header.Type {
		case unix.RTM_NEWLINK:
			news = true
		case unix.RTM_DELLINK:
			m.lookElsewhere()
			return
		}
	}
	if news {
		m.lookAgain()
	}
}

// lookAgain publishes the present state. What the news itself says may be older
// than what somebody has seen who asked. mu is held.
func (m *monitor) lookAgain() {
	if now, err := m.view.look(); err == nil {
		m.publish(now)
	} // else the next message says why
}

// maxReadErrors is how often in a row the events socket may fail, though it is
// opened anew each time.
const maxReadErrors = 3

// readFailed finds out what was missed. mu is held.
func (m *monitor) readFailed(err error) {
	if errors.Is(err, unix.ENOBUFS) {
		// More news than the socket holds; what was missed is in the state.
		m.view.drain()
		m.lookAgain()
		return
	}
	if m.errors++; m.errors > maxReadErrors {
		m.end(err)
		return
	}
	m.lookElsewhere()
}

// lookElsewhere opens another view and publishes what is seen there. mu is
// held.
func (m *monitor) lookElsewhere() {
	err := m.follow()
	if err == nil {
		var now Interface
		if now, err = m.view.look(); err == nil {
			m.publish(now)
			return
		}
	}
	m.end(err)
}

// publish gives those who watch a new state. mu is held.
func (m *monitor) publish(now Interface) {
	m.tell(now)
	m.state = now
	m.states++
	m.changed.Broadcast()
}

// observe gives the device its monitor, and its MTU. A device that somebody
// has passed on, with its MTU, may do without.
func (d *device) observe(file *os.File) (err error) {
	d.monitor, err = newMonitor(file, d.follow, d.deleted)
	switch {
	case err == nil || !errors.Is(err, errForeign) || d.from != fromSomeone:
		return err
	case d.MTU() == 0:
		return errors.Join(err, errors.New("give its MTU"))
	}
	if d.note != "" {
		d.note += "; "
	}
	d.note += err.Error()
	return nil
}

// follow takes note of the interface's state. The monitor calls it, locked.
func (d *device) follow(i Interface) {
	if i.Name != d.Name() {
		d.name.Store(&i.Name)
	}
	mtu := i.MTU
	if d.maxMTU != 0 {
		mtu = min(mtu, d.maxMTU)
	}
	d.setMTU(mtu)
}

// deleted ends the reads and writes on a macvtap's files, which the kernel lets
// wait for ever. A TAP's files say it themselves.
func (d *device) deleted() {
	if d.from == fromSomeone {
		d.closeFiles()
	}
}

// Interface implements what [InterfaceOf] asks for.
func (d *device) Interface() (Interface, error) {
	if d.monitor == nil {
		return Interface{}, opError(d.Name(), "look", errForeign)
	}
	i, err := d.monitor.look()
	if err != nil {
		return i, opError(d.Name(), "look", err)
	}
	return i, nil
}

// Watch implements what [Watch] asks for.
func (d *device) Watch(fn func(Interface)) {
	if d.monitor != nil {
		d.monitor.watch(fn)
	}
}
