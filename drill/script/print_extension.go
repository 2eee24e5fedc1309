package script

import (
	"net/netip"
	"strconv"
)

func (w *printer) spans(spans []*Span) {
	for i, s := range spans {
		if i > 0 {
			w.say(", ")
		}
		w.expr(s.From)
		if s.To != nil {
			w.say("..")
			w.expr(s.To)
		}
		if s.Step != nil {
			w.say(" step ")
			w.expr(s.Step)
		}
	}
}

func (w *printer) host(h *Host) {
	w.say("host ", h.Name)
	for _, a := range h.Addrs {
		w.say(" ", a.String())
	}
	w.named("mtu", h.MTU)
}

func (w *printer) link(l *Link) {
	w.say("link ", l.A, " ")
	if l.OneWay {
		w.say("> ")
	}
	w.say(l.B)
	if l.Delay > 0 {
		w.say(" delay ", seconds(l.Delay), "s")
	}
	if l.Rate > 0 {
		w.say(" rate ", strconv.FormatInt(l.Rate, 10), "bit")
	}
	w.named("queue", l.Queue)
	if len(l.Loss) > 0 {
		w.say(" loss ")
		w.spans(l.Loss)
	}
}

func (w *printer) conn(c *Conn) {
	w.say("conn ", c.Name)
	end := func(name string, a netip.AddrPort) {
		switch {
		case a.Port() == 0:
		case a.Addr().IsValid():
			w.say(" ", name, " ", a.String())
		default:
			w.say(" ", name, " :", strconv.Itoa(int(a.Port())))
		}
	}
	end("local", c.Local)
	end("remote", c.Remote)
}
