package script

import "slices"

// check fails where a script uses a name that it does not declare, or declares
// one twice.
func (p *parser) check(s *Script) {
	c := checker{p: p, hosts: make(map[string]bool), conns: make(map[string]bool)}
	var params []string
	for _, pa := range s.Params {
		if slices.Contains(params, pa.Name) {
			p.fail(pa.Pos, "parameter %s is declared twice", clip(pa.Name))
		}
		params = append(params, pa.Name)
	}
	for _, h := range s.Hosts {
		c.declare(c.hosts, h, "host", h.Name)
	}
	for _, n := range s.Conns {
		c.declare(c.conns, n, "connection", n.Name)
	}
	for _, l := range s.Links {
		for _, name := range []string{l.A, l.B} {
			if !c.hosts[name] {
				p.fail(l.Pos, "no host is called %s", clip(name))
			}
		}
		if l.A == l.B {
			p.fail(l.Pos, "this link joins %s with itself", clip(l.A))
		}
	}
	c.events(s.Events)
}

type checker struct {
	p            *parser
	hosts, conns map[string]bool
}

func (c *checker) declare(names map[string]bool, n Node, what, name string) {
	if names[name] {
		c.p.fail(n.At(), "%s %s is declared twice", what, clip(name))
	}
	names[name] = true
}

func (c *checker) events(events []*Event) {
	for _, e := range events {
		if e.Host != "" && !c.hosts[e.Host] {
			c.p.fail(e.Pos, "no host is called %s: expected a line \"host %s ...\" before the events", clip(e.Host), clip(e.Host))
		}
		switch a := e.Action.(type) {
		case *Packet:
			if a.Conn != "" && !c.conns[a.Conn] {
				c.p.fail(a.Pos, "no connection is called %s: expected a line \"conn %s ...\" before the events", clip(a.Conn), clip(a.Conn))
			}
		case *For:
			c.events(a.Body)
		}
	}
}
