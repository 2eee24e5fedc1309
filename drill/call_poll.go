package drill

import (
	"math"
	"strings"
	"syscall"
	"time"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

// epoll is an epoll descriptor: a Poller, and what each socket was added with.
type epoll struct {
	poller *socketapi.Poller
	data   map[*socketapi.Socket]int64
}

// forget takes a socket that is closed out of every epoll.
func (h *host) forget(f *file) {
	for _, o := range h.files {
		if o.epoll != nil {
			if _, ok := o.epoll.data[f.so]; ok {
				_ = o.epoll.poller.Remove(f.so)
				delete(o.epoll.data, f.so)
			}
		}
	}
}

// due is when a call with a timeout in milliseconds returns; never is true for
// a negative one.
func (c *caller) due(ms int64) (at time.Time, never bool) {
	if ms > math.MaxInt32 {
		fail(c.Pos, "%d is no timeout in milliseconds: it does not fit 32 bits", ms)
	}
	at = c.clock.Now().Add(time.Duration(max(ms, 0)) * time.Millisecond)
	if ms > 0 {
		// Something has to happen then for the call to be tried again.
		c.clock.after(time.Duration(ms)*time.Millisecond, func() {})
	}
	return at, ms < 0
}

// pollEvents are the events of poll(2) that a socket is ready for.
func (c *caller) pollEvents(ev socketapi.Events) int64 {
	k := c.consts
	var out int64
	for _, e := range []struct {
		ev   socketapi.Events
		bits int64
	}{
		{socketapi.EventIn, k["POLLIN"] | k["POLLRDNORM"]}, {socketapi.EventOut, k["POLLOUT"] | k["POLLWRNORM"]},
		{socketapi.EventErr, k["POLLERR"]}, {socketapi.EventHup, k["POLLHUP"]}, {socketapi.EventRdHup, k["POLLRDHUP"]},
	} {
		if ev&e.ev != 0 {
			out |= e.bits
		}
	}
	return out
}

// show is what came, events of poll and epoll by their names.
func (r *run) show(o output) string {
	prefix := map[string]string{"revents": "POLL", "events": "EPOLL"}[o.what]
	n, ok := o.got.(int64)
	if !ok || prefix == "" || n == 0 {
		return script.Show(o.got)
	}
	var names []string
	for _, k := range constantTable {
		bit, known := r.consts[k.name]
		if known && strings.HasPrefix(k.name, prefix) && !strings.HasPrefix(k.name, "EPOLL_") && n&bit == bit {
			names = append(names, k.name)
			n &^= bit
		}
	}
	if n != 0 {
		names = append(names, script.Show(n))
	}
	return strings.Join(names, "|")
}

func (c *caller) poll() try {
	c.want(3, 3)
	list, ok := c.Args[0].(*script.List)
	if !ok {
		fail(c.Args[0].At(), "expected a list of {fd=, events=, revents=}, found %s", script.Format(c.Args[0]))
	}
	type entry struct {
		fd, events int64
		revents    script.Expr
	}
	var entries []entry
	for _, e := range list.Elems {
		st, ok := e.(*script.Struct)
		if !ok || st.Field("fd") == nil || st.Field("events") == nil {
			fail(e.At(), "expected {fd=, events=, revents=}, found %s", script.Format(e))
		}
		fd, err := script.EvalInt(st.Field("fd"), c.lookup)
		c.check(err)
		events, err := script.EvalInt(st.Field("events"), c.lookup)
		c.check(err)
		entries = append(entries, entry{fd, events, st.Field("revents")})
	}
	at, never := c.due(c.int(2))
	return func() result {
		var res result
		for _, e := range entries {
			var got int64
			if f := c.host.files[int(e.fd)]; f == nil || f.so == nil {
				got = c.consts["POLLNVAL"]
			} else {
				always := c.consts["POLLERR"] | c.consts["POLLHUP"]
				got = c.pollEvents(f.so.Ready()) & (e.events | always)
			}
			if got != 0 {
				res.n++
			}
			res.outs = append(res.outs, output{e.revents, got, "revents"})
		}
		if res.n == 0 && (never || c.clock.Now().Before(at)) {
			return result{err: errAgain}
		}
		return res
	}
}

func (c *caller) epollCreate() try {
	c.want(1, 1)
	return func() result {
		e := &epoll{poller: socketapi.NewPoller(), data: make(map[*socketapi.Socket]int64)}
		return result{n: int64(c.host.open(&file{epoll: e}))}
	}
}

// epoll is the epoll of the first argument.
func (c *caller) epollFile() (*epoll, error) {
	f, err := c.file(0)
	if err == nil && f.epoll == nil {
		err = syscall.EINVAL
	}
	if err != nil {
		return nil, err
	}
	return f.epoll, nil
}

// epollEvent reads {events=EPOLLIN, fd=4}.
func (c *caller) epollEvent(x script.Expr) (events, data script.Expr) {
	if list, ok := x.(*script.List); ok && len(list.Elems) == 1 {
		x = list.Elems[0]
	}
	st, ok := x.(*script.Struct)
	if !ok {
		fail(x.At(), "expected {events=, fd=}, found %s", script.Format(x))
	}
	if events = st.Field("events"); events == nil {
		fail(st.Pos, "expected {events=, fd=}, found %s", script.Format(x))
	}
	for _, name := range []string{"fd", "ptr", "u32", "u64", "data"} {
		if data = st.Field(name); data != nil {
			break
		}
	}
	return events, data
}

func (c *caller) epollCtl() try {
	c.want(4, 4)
	e, err := c.epollFile()
	if err != nil {
		return once(0, err)
	}
	f, err := c.file(2)
	if err != nil {
		return once(0, err)
	}
	if f.so == nil {
		unsupported(c.Args[2].At(), "an epoll in an epoll")
	}
	op := c.int(1)
	var want socketapi.Events
	mode := socketapi.LevelTriggered
	var data int64
	if op != c.consts["EPOLL_CTL_DEL"] {
		events, d := c.epollEvent(c.Args[3])
		bits, err := script.EvalInt(events, c.lookup)
		c.check(err)
		if d != nil {
			data, err = script.EvalInt(d, c.lookup)
			c.check(err)
		}
		for _, ev := range []socketapi.Events{socketapi.EventIn, socketapi.EventOut, socketapi.EventErr, socketapi.EventHup, socketapi.EventRdHup} {
			if bits&int64(ev) != 0 {
				want |= ev
			}
		}
		if bits&c.consts["EPOLLET"] != 0 {
			mode = socketapi.EdgeTriggered
		}
		if bits&c.consts["EPOLLONESHOT"] != 0 {
			mode = socketapi.OneShot
		}
	}
	return func() result {
		switch op {
		case c.consts["EPOLL_CTL_ADD"]:
			err = e.poller.Add(f.so, want, mode, f)
		case c.consts["EPOLL_CTL_MOD"]:
			err = e.poller.Modify(f.so, want, mode, f)
		case c.consts["EPOLL_CTL_DEL"]:
			err = e.poller.Remove(f.so)
		default:
			err = syscall.EINVAL
		}
		if err == nil {
			e.data[f.so] = data
		}
		return result{err: err}
	}
}

func (c *caller) epollWait() try {
	c.want(4, 5)
	e, err := c.epollFile()
	if err != nil {
		return once(0, err)
	}
	at, never := c.due(c.int(3))
	most := c.size(2)
	if most == 0 {
		return once(0, syscall.EINVAL)
	}
	const enough = 64
	events := make([]socketapi.Event, min(most, enough))
	return func() result {
		n, err := e.poller.Poll(events)
		if err != nil {
			return result{err: err}
		}
		if n == 0 && (never || c.clock.Now().Before(at)) {
			return result{err: errAgain}
		}
		res := result{n: int64(n)}
		for i, x := range c.expectedEvents(n) {
			bits, data := c.epollEvent(x)
			f := events[i].Data.(*file)
			const mask = socketapi.EventIn | socketapi.EventOut | socketapi.EventErr | socketapi.EventHup | socketapi.EventRdHup
			res.outs = append(res.outs, output{bits, int64(events[i].Events & mask), "events"})
			if data != nil {
				res.outs = append(res.outs, output{data, e.data[f.so], "data"})
			}
		}
		return res
	}
}

// expectedEvents are the events that the script has written for n that came, in
// the order of the poller: all, or of "..." and of none none.
func (c *caller) expectedEvents(n int) []script.Expr {
	x := c.Args[1]
	if _, open := x.(*script.Ellipsis); open || n == 0 {
		return nil
	}
	list, ok := x.(*script.List)
	if !ok {
		list = &script.List{Pos: x.At(), Elems: []script.Expr{x}}
	}
	if len(list.Elems) != n {
		fail(x.At(), "%d events came, and %d are written", n, len(list.Elems))
	}
	return list.Elems
}
