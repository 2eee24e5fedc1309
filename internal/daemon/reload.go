package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"

	"tapstack/internal/daemon/api"
	"tapstack/stack"
)

// Reload reads the configuration again and makes what can change like it: the
// addresses and routes of NICs, services, forwards and proxies, names, TCP
// settings, accounting, the log's level, who may look. Connections go on, those
// of a forward that was taken out among them, but for those of an address that
// was; flows of UDP end with their forward.
// What takes a restart is named, and stays as it is. With an error, which is
// logged too, everything is as it was.
func (h *instance) Reload() (api.Reloaded, error) {
	if err := h.manager.Reloading(); err != nil {
		h.log.Warn("the service manager can not be told", "err", err)
	}
	defer h.settled()
	h.mu.Lock()
	defer h.mu.Unlock()
	done, err := h.reload()
	if err != nil {
		h.log.Error("not reloaded: everything is as it was", "err", err)
		return api.Reloaded{}, err
	}
	h.log.Info("reloaded", "changed", done.Changed, "restart", done.Restart)
	return done, nil
}

func (h *instance) reload() (api.Reloaded, error) {
	none := api.Reloaded{}
	if h.cfg.File == "" {
		return none, api.Errorf(http.StatusConflict, "the daemon was started with flags: there is no file to read again")
	}
	next, err := loadAgain(h.cfg.File)
	if err == nil {
		next, err = next.overridden(h.cfg)
	}
	if err != nil {
		return none, api.Errorf(http.StatusUnprocessableEntity, "%v", explainRead(err))
	}
	p := h.plan(next)
	err = p.carryOut()
	h.proxies.sweep()
	if err != nil {
		return none, api.Errorf(http.StatusConflict, "%v", err)
	}
	h.cfg = p.result
	h.warnOfPasswords(next)
	done := api.Reloaded{Changed: []string{}, Restart: append([]string{}, p.restart...)}
	for _, s := range p.steps {
		if s.what != "" {
			done.Changed = append(done.Changed, s.what)
		}
	}
	return done, nil
}

// plan is how to get from one configuration to another.
type plan struct {
	steps   []step
	restart []string
	result  *Config // in force when all steps are done
}

// step is one change, and how to take it back.
type step struct {
	what     string
	do, undo func() error
}

func (p *plan) add(what string, do, undo func() error) {
	p.steps = append(p.steps, step{what, do, undo})
}

// carryOut does all steps; with an error, those done are undone.
func (p *plan) carryOut() error {
	for i := range p.steps {
		err := p.steps[i].do()
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", p.steps[i].what, err)
		for _, s := range slices.Backward(p.steps[:i]) {
			if e := s.undo(); e != nil {
				err = errors.Join(err, fmt.Errorf("and could not go back: %s: %w", s.what, e))
			}
		}
		return err
	}
	return nil
}

// plan compares. What is new comes first and what goes last, so that a service
// finds the address that it moves to, and leaves the one that goes.
func (h *instance) plan(next *Config) *plan {
	old := h.cfg
	result := *next
	p := &plan{result: &result}
	result.NICs = nil
	for i := range old.NICs {
		n := old.NICs[i]
		j := slices.IndexFunc(next.NICs, func(m NICConfig) bool { return m.Name == n.Name })
		if j < 0 {
			p.restart = append(p.restart, "nic."+n.Name+" (removed)")
		} else {
			h.planNIC(p, &n, &next.NICs[j])
		}
		result.NICs = append(result.NICs, n)
	}
	for _, n := range next.NICs {
		if !slices.ContainsFunc(old.NICs, func(m NICConfig) bool { return m.Name == n.Name }) {
			p.restart = append(p.restart, needsRestart("nic."+n.Name+" (added)", "make TAP "+n.Name, "CAP_NET_ADMIN"))
		}
	}
	if before, after := h.stack.TCP(), next.TCP; old.TCP != after {
		p.add("tcp", func() error { return h.stack.SetTCP(after) }, func() error { return h.stack.SetTCP(before) })
	}
	h.planNames(p, next)
	h.planServices(p, next)
	p.planRemovals(h, next)
	h.planControl(p, next)
	h.planSurroundings(p, next)
	return p
}

// planNIC compares one NIC; n becomes what is in force then.
func (h *instance) planNIC(p *plan, n, next *NICConfig) {
	name := "nic." + n.Name
	if n.MTU != next.MTU {
		p.restart = append(p.restart, needsRestart(name+".mtu", "change the MTU of TAP "+n.Name, "CAP_NET_ADMIN"))
	}
	if !slices.Equal(n.Host, next.Host) {
		p.restart = append(p.restart, needsRestart(name+".host", "change the kernel's end of TAP "+n.Name, "CAP_NET_ADMIN"))
	}
	nic, ok := h.stack.NIC(n.Name)
	if !ok {
		return
	}
	for _, a := range missing(next.Address, n.Address) {
		p.add(fmt.Sprintf("%s.address + %v", name, a), ignoring(syscall.EEXIST, nic, a, (*stack.NIC).AddAddress), ignoring(syscall.EADDRNOTAVAIL, nic, a, (*stack.NIC).RemoveAddress))
	}
	for _, r := range missing(n.Routes, next.Routes) {
		p.add(fmt.Sprintf("%s.routes - %v via %v", name, r.Dst, r.Via), ignoring(syscall.ESRCH, nic, r, (*stack.NIC).RemoveRoute), func() error { return nic.AddRoute(r) })
	}
	for _, r := range missing(next.Routes, n.Routes) {
		p.add(fmt.Sprintf("%s.routes + %v via %v", name, r.Dst, r.Via), func() error { return nic.AddRoute(r) }, ignoring(syscall.ESRCH, nic, r, (*stack.NIC).RemoveRoute))
	}
	n.Address, n.Routes = next.Address, next.Routes
}

// ignoring is a change that is done already if it fails with an errno:
// somebody has changed the stack by command in the meantime.
func ignoring[T any](errno syscall.Errno, nic *stack.NIC, v T, do func(*stack.NIC, T) error) func() error {
	return func() error {
		if err := do(nic, v); err != nil && !errors.Is(err, errno) {
			return err
		}
		return nil
	}
}

// planRemovals takes away the addresses that are not there any more.
func (p *plan) planRemovals(h *instance, next *Config) {
	for _, n := range h.cfg.NICs {
		nic, ok := h.stack.NIC(n.Name)
		j := slices.IndexFunc(next.NICs, func(m NICConfig) bool { return m.Name == n.Name })
		if !ok || j < 0 {
			continue
		}
		for _, a := range missing(n.Address, next.NICs[j].Address) {
			p.add(fmt.Sprintf("nic.%s.address - %v", n.Name, a), ignoring(syscall.EADDRNOTAVAIL, nic, a, (*stack.NIC).RemoveAddress), ignoring(syscall.EEXIST, nic, a, (*stack.NIC).AddAddress))
		}
	}
}

// missing are those of a that b has not.
func missing[T comparable](a, b []T) []T {
	var out []T
	for _, v := range a {
		if !slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

// planControl: the socket is made while the daemon has the privilege to; who
// may look is checked for each connection.
func (h *instance) planControl(p *plan, next *Config) {
	was, is := h.cfg.Control, &p.result.Control
	for _, c := range []struct {
		key     string
		differs bool
	}{{"path", was.Path != is.Path}, {"mode", was.Mode != is.Mode}, {"group", was.GID != is.GID}} {
		if c.differs {
			p.restart = append(p.restart, "control."+c.key)
		}
	}
	is.Path, is.Mode, is.GID = was.Path, was.Mode, was.GID
	if h.control != nil && was.Others != next.Control.Others {
		p.add("control.readonly-for-others",
			func() error { h.control.SetAccess(h.access(is)); return nil },
			func() error { h.control.SetAccess(h.access(&was)); return nil })
	}
}
