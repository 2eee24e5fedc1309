package node

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap/capture"
)

// Node is a stack, and the devices of it that can be captured. Its methods are
// safe for concurrent use.
type Node struct {
	s        *stack.Stack
	resolver socketapi.Resolver // nil: no names

	mu      sync.Mutex
	devices []*capture.Device
}

// New makes a node of s, which stays the caller's.
func New(s *stack.Stack) *Node { return &Node{s: s} }

// SetResolver has names looked up by r. It must be called before the node is
// used.
func (n *Node) SetResolver(r socketapi.Resolver) { n.resolver = r }

// AddDevice makes a device of the stack one that can be captured.
func (n *Node) AddDevice(d *capture.Device) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.devices = append(n.devices, d)
}

// Devices are those that were added.
func (n *Node) Devices() []*capture.Device {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.devices)
}

// nic finds a NIC; "" is the only one.
func (n *Node) nic(name string) (*stack.NIC, error) {
	if nics := n.s.NICs(); name == "" && len(nics) == 1 {
		return nics[0], nil
	}
	if name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "which link? there is more than one")
	}
	if nic, ok := n.s.NIC(name); ok {
		return nic, nil
	}
	return nil, fmt.Errorf("link %q: %w", name, syscall.ENODEV)
}

// Links are the stack's NICs.
func (n *Node) Links() []api.Link {
	counts := make(map[string]stack.NICStats)
	for _, st := range n.s.Stats().NICs {
		counts[st.Name] = st
	}
	out := []api.Link{}
	for _, nic := range n.s.NICs() {
		d := counts[nic.Name()].Device
		out = append(out, api.Link{
			Name: nic.Name(), MTU: nic.MTU(), Address: nic.HardwareAddr().String(),
			Enabled: nic.Enabled(), Up: nic.Up(),
			Rx: api.LinkCounts{Frames: d.RxFrames, Bytes: d.RxBytes, Drops: d.RxDrops.Total()},
			Tx: api.LinkCounts{Frames: d.TxFrames, Bytes: d.TxBytes, Drops: d.TxDrops.Total()},
		})
	}
	return out
}

// ChangeLink sets a link up or down, or its MTU.
func (n *Node) ChangeLink(c *api.LinkChange) error {
	nic, err := n.nic(c.Link)
	if err != nil {
		return err
	}
	if c.MTU == nil && c.Enabled == nil {
		return api.Errorf(http.StatusBadRequest, "nothing to change: give \"enabled\" or \"mtu\"")
	}
	if c.MTU != nil {
		if err := nic.SetMTU(*c.MTU); err != nil {
			return err
		}
	}
	if c.Enabled != nil {
		return nic.SetEnabled(*c.Enabled)
	}
	return nil
}

// Addresses are those of all links.
func (n *Node) Addresses() []api.Address {
	out := []api.Address{}
	for _, nic := range n.s.NICs() {
		for _, p := range nic.Addresses() {
			out = append(out, api.Address{Link: nic.Name(), Address: p.String()})
		}
	}
	return out
}

// AddAddress gives a link an address.
func (n *Node) AddAddress(a *api.Address) error {
	return n.withAddress(a, (*stack.NIC).AddAddress)
}

// RemoveAddress takes an address away.
func (n *Node) RemoveAddress(a *api.Address) error {
	return n.withAddress(a, (*stack.NIC).RemoveAddress)
}

func (n *Node) withAddress(a *api.Address, do func(*stack.NIC, netip.Prefix) error) error {
	nic, err := n.nic(a.Link)
	if err != nil {
		return err
	}
	p, err := netip.ParsePrefix(a.Address)
	if err != nil {
		return api.Errorf(http.StatusBadRequest, "%q is no address with a prefix length, such as 192.168.77.2/24", a.Address)
	}
	return badRequest(do(nic, p))
}

// Routes are the stack's.
func (n *Node) Routes() []api.Route {
	out := []api.Route{}
	for _, r := range n.s.Routes() {
		one := api.Route{Destination: r.Dst.String(), Link: r.NIC}
		if r.Via.IsValid() {
			one.Via = r.Via.String()
		}
		out = append(out, one)
	}
	return out
}

// AddRoute adds a route by way of a neighbour.
func (n *Node) AddRoute(r *api.Route) error {
	nic, route, err := n.route(r)
	if err != nil {
		return err
	}
	for _, have := range n.s.Routes() {
		if have.NIC == nic.Name() && have.Dst == route.Dst && have.Via == route.Via {
			return fmt.Errorf("route to %v: %w", route.Dst, syscall.EEXIST)
		}
	}
	return badRequest(nic.AddRoute(route))
}

// RemoveRoute takes a route away: without a neighbour the first one to that
// destination, as ip(8) does.
func (n *Node) RemoveRoute(r *api.Route) error {
	nic, route, err := n.route(r)
	if err != nil {
		return err
	}
	if r.Via == "" {
		for _, have := range n.s.Routes() {
			if have.NIC == nic.Name() && have.Dst == route.Dst {
				route.Via = have.Via
				break
			}
		}
	}
	return badRequest(nic.RemoveRoute(route))
}

// route reads a route. Its link may be left out where the neighbour's address
// says which one it is.
func (n *Node) route(r *api.Route) (*stack.NIC, stack.Route, error) {
	var out stack.Route
	var err error
	if out.Dst, err = netip.ParsePrefix(r.Destination); err != nil {
		return nil, out, api.Errorf(http.StatusBadRequest, "%q is no prefix such as 10.0.0.0/8", r.Destination)
	}
	out.Dst = out.Dst.Masked()
	if r.Via != "" {
		if out.Via, err = netip.ParseAddr(r.Via); err != nil {
			return nil, out, api.Errorf(http.StatusBadRequest, "%q is no address of a neighbour", r.Via)
		}
	}
	if r.Link == "" && out.Via.IsValid() {
		for _, nic := range n.s.NICs() {
			for _, p := range nic.Addresses() {
				if p.Contains(out.Via) {
					return nic, out, nil
				}
			}
		}
	}
	nic, err := n.nic(r.Link)
	return nic, out, err
}

// Neighbours are those of all links.
func (n *Node) Neighbours() []api.Neighbour {
	out := []api.Neighbour{}
	for _, nic := range n.s.NICs() {
		for _, e := range nic.Neighbours() {
			one := api.Neighbour{Link: nic.Name(), Address: e.Addr.String(), State: e.State}
			if len(e.HardwareAddr) > 0 {
				one.MAC = e.HardwareAddr.String()
			}
			out = append(out, one)
		}
	}
	return out
}

// AddNeighbour makes an entry that stays.
func (n *Node) AddNeighbour(e *api.Neighbour) error {
	nic, a, err := n.neighbour(e)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return api.Errorf(http.StatusBadRequest, "%q is no hardware address such as 02:00:00:00:00:01", e.MAC)
	}
	return badRequest(nic.AddNeighbour(a, mac))
}

// RemoveNeighbour forgets an entry.
func (n *Node) RemoveNeighbour(e *api.Neighbour) error {
	nic, a, err := n.neighbour(e)
	if err != nil {
		return err
	}
	return badRequest(nic.RemoveNeighbour(a))
}

func (n *Node) neighbour(e *api.Neighbour) (*stack.NIC, netip.Addr, error) {
	a, err := netip.ParseAddr(e.Address)
	if err != nil {
		return nil, a, api.Errorf(http.StatusBadRequest, "%q is no address", e.Address)
	}
	nic, err := n.nic(e.Link)
	return nic, a, err
}

// badRequest is err, as the asker's mistake unless an errno says otherwise.
func badRequest(err error) error {
	if err == nil || hasErrno(err) {
		return err
	}
	return api.Errorf(http.StatusBadRequest, "%v", err)
}
