package daemon

import (
	"reflect"
	"slices"

	"tapstack/internal/daemon/names"
)

// planServices moves what listens elsewhere. Those that change places are all
// silenced before any of them listens again; forwards and proxies are among
// them.
func (h *instance) planServices(p *plan, next *Config) {
	before, after := h.cfg.Services.each(), next.Services.each()
	sizesWere, sizesAre := h.cfg.Services.Buffers, next.Services.Buffers
	moves := func(i int) bool { return *before[i].addr != *after[i].addr || sizesWere != sizesAre }
	for i := range after {
		if name, from := after[i].name, *before[i].addr; moves(i) && from != "" {
			p.add("", func() error { return h.services.Move(name, "") }, func() error { return h.services.Move(name, from) })
		}
	}
	h.planRetirements(p, next)
	if sizesWere != sizesAre {
		p.add("services.rcvbuf, sndbuf",
			func() error { h.services.SetBuffers(sizesAre); return nil },
			func() error { h.services.SetBuffers(sizesWere); return nil })
	}
	for i := range after {
		name, from, to := after[i].name, *before[i].addr, *after[i].addr
		if !moves(i) {
			continue
		}
		what := "services." + name
		if from == to {
			what = "" // the sizes are what has changed
		}
		p.add(what, func() error { return h.services.Move(name, to) }, func() error { return h.services.Move(name, "") })
	}
	h.planStarts(p, next)
	if was, is := &h.cfg.Services, &next.Services; was.Root != is.Root || was.List != is.List {
		what := "services.http-root"
		if was.Root == is.Root {
			what = "services.http-list"
		}
		set := func(c *ServicesConfig) func() error {
			return func() error { return h.services.SetRoot(c.Root, c.List) }
		}
		p.add(what, set(is), set(was))
	}
	if was, is := h.cfg.Services.Accounting, next.Services.Accounting; was != is {
		p.add("services.accounting",
			func() error { h.setAccounting(is); return nil },
			func() error { h.setAccounting(was); return nil })
	}
}

// differs reports whether list has no section like one with the same settings,
// and whether it has the section at all.
func differs(one proxySetting, list []proxySetting) (changed, there bool) {
	i := slices.IndexFunc(list, func(o proxySetting) bool { return o.section == one.section })
	if i < 0 {
		return true, false
	}
	return !reflect.DeepEqual(one.config, list[i].config), true
}

// planRetirements ends the listening of forwards and proxies that are gone or
// have changed.
func (h *instance) planRetirements(p *plan, next *Config) {
	after := next.proxies()
	for _, one := range h.cfg.proxies() {
		changed, there := differs(one, after)
		if !changed {
			continue
		}
		what := ""
		if !there {
			what = one.section + " (removed)"
		}
		p.add(what, func() error { h.proxies.retire(one.section); return nil }, func() error { return h.proxies.start(one) })
	}
}

// planStarts starts those that are new or have changed.
func (h *instance) planStarts(p *plan, next *Config) {
	before := h.cfg.proxies()
	for _, one := range next.proxies() {
		changed, there := differs(one, before)
		if !changed {
			continue
		}
		what := one.section
		if !there {
			what += " (added)"
		}
		p.add(what, func() error { return h.proxies.start(one) }, func() error { h.proxies.retire(one.section); return nil })
	}
}

// planNames changes how names are looked up: before anything that may need it
// starts.
func (h *instance) planNames(p *plan, next *Config) {
	was, is := h.cfg.Names, next.Names
	set := func(c names.Config) func() error { return func() error { h.names.Set(c); return nil } }
	servers, hosts := !slices.Equal(was.Servers, is.Servers), !reflect.DeepEqual(was.Hosts, is.Hosts)
	if servers {
		p.add("dns.servers", set(is), set(was))
	}
	if hosts {
		p.add("hosts", set(is), set(was))
	}
}
