package drill

import (
	"math"
	"strings"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

// levels are the levels that options with a prefix are found at.
var levels = map[string][]string{
	"SO_":   {"SOL_SOCKET"},
	"TCP_":  {"SOL_TCP", "IPPROTO_TCP"},
	"IP_":   {"SOL_IP", "IPPROTO_IP"},
	"IPV6_": {"SOL_IPV6", "IPPROTO_IPV6"},
	"UDP_":  {"SOL_UDP", "IPPROTO_UDP"},
}

// rightLevel reports whether an option is one of the level of the second
// argument. A level that is a number is taken for right.
func (c *caller) rightLevel(option string) bool {
	level, ok := c.Args[1].(*script.Name)
	if !ok {
		return true
	}
	for prefix, names := range levels {
		if strings.HasPrefix(option, prefix) {
			return names[0] == level.Name || names[len(names)-1] == level.Name
		}
	}
	return true
}

// optionValue is the value to set: [n] or n.
func (c *caller) optionValue(i int) int64 {
	x := c.Args[i]
	if list, ok := x.(*script.List); ok && len(list.Elems) == 1 {
		x = list.Elems[0]
	}
	n, err := script.EvalInt(x, c.lookup)
	c.check(err)
	if n < math.MinInt32 || n > math.MaxUint32 {
		fail(x.At(), "%d is no value of an option: it does not fit 32 bits", n)
	}
	return n
}

func (c *caller) setsockopt() try {
	c.want(5, 5)
	name := c.word(2)
	if !c.rightLevel(name) {
		return once(0, errNotOption)
	}
	switch name {
	case "SO_LINGER":
		on, seconds := c.linger(3)
		return c.onSocket(func(so *socketapi.Socket) result {
			if on == 0 {
				seconds = -1
			}
			return result{err: so.SetLinger(int(seconds))}
		})
	case "TCP_CONGESTION":
		s, ok := c.Args[3].(*script.String)
		if !ok {
			fail(c.Args[3].At(), "expected an algorithm's name, found %s", script.Format(c.Args[3]))
		}
		return c.onSocket(func(so *socketapi.Socket) result { return result{err: so.SetCongestionControl(s.Value)} })
	}
	o, ok := socketapi.OptionByName(name)
	if !ok {
		unsupported(c.Args[2].At(), "socket option %s", name)
	}
	v := c.optionValue(3)
	return c.onSocket(func(so *socketapi.Socket) result { return result{err: so.SetOption(o, int(v))} })
}

func (c *caller) getsockopt() try {
	c.want(5, 5)
	name := c.word(2)
	if !c.rightLevel(name) {
		return once(0, errNotOption)
	}
	switch name {
	case "SO_LINGER":
		return c.onSocket(func(so *socketapi.Socket) result {
			n, err := so.Linger()
			if err != nil {
				return result{err: err}
			}
			on, seconds := c.linger(3)
			if on != 0 && int64(n) != seconds || on == 0 && n >= 0 {
				fail(c.Args[3].At(), "linger is %d, want %s", n, script.Format(c.Args[3]))
			}
			return result{}
		})
	case "TCP_CONGESTION":
		return c.onSocket(func(so *socketapi.Socket) result {
			s, err := so.CongestionControl()
			return result{err: err, outs: []output{{c.Args[3], s, name}}}
		})
	case "TCP_INFO":
		return c.onSocket(c.tcpInfo)
	}
	o, ok := socketapi.OptionByName(name)
	if !ok {
		unsupported(c.Args[2].At(), "socket option %s", name)
	}
	return c.onSocket(func(so *socketapi.Socket) result {
		n, err := so.Option(o)
		return result{err: err, outs: []output{{c.Args[3], int64(n), name}}}
	})
}

// tcpInfo compares the fields of tcp_info that are written.
func (c *caller) tcpInfo(so *socketapi.Socket) (res result) {
	info, err := so.Info()
	if err != nil {
		return result{err: err}
	}
	st, ok := c.Args[3].(*script.Struct)
	if !ok {
		return result{}
	}
	for _, f := range st.Fields {
		v, ok := info.Field(f.Name)
		if !ok {
			unsupported(f.Pos, "%s", f.Name)
		}
		res.outs = append(res.outs, output{f.Value, v, f.Name})
	}
	return res
}

// linger reads {onoff=1, linger=5}.
func (c *caller) linger(i int) (on, seconds int64) {
	st, ok := c.Args[i].(*script.Struct)
	if !ok {
		fail(c.Args[i].At(), "expected {onoff=1, linger=5}, found %s", script.Format(c.Args[i]))
	}
	for _, f := range st.Fields {
		n, err := script.EvalInt(f.Value, c.lookup)
		c.check(err)
		switch strings.TrimPrefix(f.Name, "l_") {
		case "onoff":
			on = n
		case "linger":
			seconds = n
		}
	}
	return on, seconds
}
