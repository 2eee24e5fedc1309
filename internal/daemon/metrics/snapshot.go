package metrics

import (
	"maps"
	"slices"

	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/stack"
	"tapstack/tap"
)

// snapshot is all that a scrape shows, in numbers.
type snapshot struct {
	stats    stack.Stats
	nics     []nic
	kernel   []kernel
	sockets  sockets
	services []Service
}

// nic is an interface's state, where stats has its counters.
type nic struct {
	name string
	up   bool
	mtu  int
}

// kernel is the operating system's end of a device.
type kernel struct {
	name string
	tap.Interface
}

// sockets are sums over all sockets of the stack.
type sockets struct {
	tcp [socketapi.TimeWait + 1]int // by state
	udp int

	sendSize, sendQueued, unsent, receiveSize, receiveQueued int // bytes

	heldUp [holdup.SlowOther + 1]int // connections that keep an account, by who is slow
}

// take looks at everything once.
func take(cfg Config) (s snapshot) {
	s.stats = cfg.Stack.Stats()
	for _, n := range cfg.Stack.NICs() {
		s.nics = append(s.nics, nic{n.Name(), n.Up(), n.MTU()})
	}
	if cfg.Devices != nil {
		for _, d := range cfg.Devices() {
			// A pipe has none, and of one that is being closed nothing can be
			// said any more.
			if i, err := tap.InterfaceOf(d); err == nil {
				s.kernel = append(s.kernel, kernel{d.Name(), i})
			}
		}
	}
	s.sockets.add(socketapi.TCPSockets(cfg.Stack))
	s.sockets.udp = len(socketapi.UDPSockets(cfg.Stack))
	if cfg.Services != nil {
		s.services = merge(cfg.Services())
	}
	return s
}

func (s *sockets) add(all []socketapi.SocketInfo) {
	for i := range all {
		k := &all[i]
		s.tcp[k.State]++
		s.sendSize += k.Send.Size
		s.sendQueued += k.Send.Queued
		s.unsent += k.Send.Unsent
		s.receiveSize += k.Receive.Size
		s.receiveQueued += k.Receive.Queued
		if k.Holdup != nil {
			s.heldUp[k.Holdup.Slow()]++
		}
	}
}

// merge makes names unique and few: a series that is there twice would cost the
// whole scrape.
func merge(services []Service) []Service {
	byName := make(map[string]*Service)
	for _, s := range services {
		name := valid(s.Name)
		if byName[name] == nil && len(byName) >= maxServices {
			name = other
		}
		into := byName[name]
		if into == nil {
			into = &Service{Name: name, Refused: make(map[string]uint64)}
			byName[name] = into
		}
		into.Opened += s.Opened
		into.Active += s.Active
		into.Received += s.Received
		into.Sent += s.Sent
		for _, cause := range slices.Sorted(maps.Keys(s.Refused)) {
			label := valid(cause)
			if _, there := into.Refused[label]; !there && len(into.Refused) >= maxCauses {
				label = other
			}
			into.Refused[label] += s.Refused[cause]
		}
	}
	var out []Service
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out
}
