package drill

import (
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"syscall"
	"time"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

// System calls. Each is a function that reads its arguments and returns a try:
// that is made once, and for a call that blocks again after every step until
// it no longer says EAGAIN.

// file is what a descriptor refers to; several may refer to one.
type file struct {
	so       *socketapi.Socket
	datagram bool
	epoll    *epoll
	nonblock bool
	refs     int
}

// result is what a call returned, and what it put where its arguments point.
type result struct {
	n    int64
	err  error
	outs []output
}

// output is a value that a call has written, and what the script expects.
type output struct {
	want script.Expr
	got  any
	what string
}

// try makes a call, once.
type try func() result

// blocked is a call that has not returned.
type blocked struct {
	host         *host
	call         *script.Call
	try          try
	since, until time.Time
	done         bool
	timed        bool // until is to be compared
}

// again is what a try returns to be made once more.
var errAgain = syscall.EAGAIN

// caller is a call being made: the script's line, and where.
type caller struct {
	*run
	host *host
	*script.Call
	blocks bool // it may wait
}

// otherCalls are system calls that scripts make and sockets of ours have not,
// and that look like one they have.
var otherCalls = []string{"recvmmsg", "sendmmsg", "ppoll", "pread", "preadv", "pwrite", "pwritev", "dup3", "pipe", "open", "splice", "sendfile"}

var calls map[string]func(*caller) try

func init() {
	calls = map[string]func(*caller) try{
		"socket": (*caller).socket, "bind": (*caller).bind, "listen": (*caller).listen,
		"accept": (*caller).accept, "accept4": (*caller).accept, "connect": (*caller).connect,
		"close": (*caller).close, "shutdown": (*caller).shutdown, "fcntl": (*caller).fcntl,
		"dup": (*caller).dup, "dup2": (*caller).dup2,
		"read": (*caller).read, "recv": (*caller).recv, "recvfrom": (*caller).recvfrom,
		"readv": (*caller).readv, "recvmsg": (*caller).recvmsg,
		"write": (*caller).write, "send": (*caller).send, "sendto": (*caller).sendto,
		"writev": (*caller).writev, "sendmsg": (*caller).sendmsg,
		"getsockopt": (*caller).getsockopt, "setsockopt": (*caller).setsockopt,
		"getsockname": (*caller).getsockname, "getpeername": (*caller).getpeername,
		"ioctl": (*caller).ioctl, "poll": (*caller).poll,
		"epoll_create": (*caller).epollCreate, "epoll_create1": (*caller).epollCreate,
		"epoll_ctl": (*caller).epollCtl, "epoll_wait": (*caller).epollWait, "epoll_pwait": (*caller).epollWait,
	}
}

// call makes a call at its time, and waits for it unless the script says that
// it blocks.
func (r *run) call(h *host, e *script.Event, c *script.Call) {
	from, _ := r.times(e, false)
	base := from.Add(-e.Time.From) // what Until counts from
	r.reach(e, from)
	start, ok := calls[c.Name]
	if !ok {
		if known := similar(c.Name, slices.Collect(maps.Keys(calls))); known != "" && !slices.Contains(otherCalls, c.Name) {
			fail(c.Pos, "there is no call %s: is it %s?", c.Name, known)
		}
		unsupported(c.Pos, "%s()", c.Name)
	}
	b := &blocked{host: h, call: c, since: r.clock.Now(), until: base.Add(c.Until), timed: c.Blocks}
	b.try = start(&caller{run: r, host: h, Call: c, blocks: true})
	res := b.try()
	r.settle()
	if res.err != errAgain { //nolint:errorlint // bare by contract
		r.returned(b, res)
		return
	}
	if h.nonblocking(r, c) {
		r.returned(b, res)
		return
	}
	h.blocked = append(h.blocked, b)
	if c.Blocks {
		return
	}
	// Not marked as blocking, and yet it does: time passes until it returns.
	limit := r.clock.Now().Add(patience)
	if c.Name == "close" {
		limit = r.clock.Now().Add(longPatience) // SO_LINGER has its own end
	}
	if h.wire == nil {
		limit = r.clock.Now().Add(hostPatience)
	}
	for !b.done {
		if !r.stepOnce(limit) && !b.done {
			fail(c.Pos, "%s blocks; a call that may has two times: \"0.1...0.2 %s(...)\"", c.Name, c.Name)
		}
	}
}

// retry makes the calls that block once more.
func (r *run) retry() {
	for again := true; again; {
		again = false
		for _, h := range r.hosts {
			for _, b := range slices.Clone(h.blocked) {
				if b.done {
					continue
				}
				res := b.try()
				if res.err == errAgain { //nolint:errorlint // bare by contract
					continue
				}
				b.done, again = true, true
				h.blocked = slices.DeleteFunc(h.blocked, func(o *blocked) bool { return o == b })
				r.returned(b, res)
				r.quiesce()
			}
		}
	}
}

// returned checks what a call returned, and when.
func (r *run) returned(b *blocked, res result) {
	c := b.call
	now := r.clock.Now()
	if b.timed {
		slack := r.tolerance(b.until, b.since)
		if d := now.Sub(b.until); d > slack || d < -slack {
			panic(&stop{
				pos: c.Pos, outcome: Fail, reason: c.Name + " returned at another time",
				want: "at " + seconds(b.until.Sub(r.start)), got: "at " + seconds(now.Sub(r.start)),
			})
		}
	}
	name := errnoOf(res.err)
	if name != "" {
		res.n = -1
	}
	got := script.Show(res.n)
	if name != "" {
		got += " " + name
	}
	want := script.Format(c.Result)
	if c.Errno != "" {
		want += " " + c.Errno
	}
	if !r.matches(c.Result, res.n) || !sameErrno(c.Errno, name) {
		panic(&stop{
			pos: c.Pos, outcome: Fail, reason: c.Name + " returned " + got + ", want " + want,
			want: script.Format(c), got: c.Name + " = " + got, diffs: []string{got},
		})
	}
	if name != "" {
		return
	}
	for _, o := range res.outs {
		if !r.matches(o.want, o.got) {
			got := r.show(o)
			panic(&stop{
				pos: o.want.At(), outcome: Fail, reason: c.Name + ": " + o.what + " is " + got + ", want " + script.Format(o.want),
				want: script.Format(c), got: o.what + " = " + got, diffs: []string{o.what},
			})
		}
	}
}

// errnoOf is the name of an error's errno, "" for none.
func errnoOf(err error) string {
	var e syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return errnoName(e)
	case errors.Is(err, net.ErrClosed):
		return "EBADF"
	default:
		return err.Error()
	}
}

// sameErrno compares names; EWOULDBLOCK is EAGAIN. A result of -1 alone is any
// error.
func sameErrno(want, got string) bool {
	if want == "" {
		return true
	}
	w, wok := errnos[want]
	g, gok := errnos[got]
	return want == got || wok && gok && w == g
}

// matches compares a value with what the script has written in its place.
func (r *run) matches(want script.Expr, got any) bool {
	switch w := want.(type) {
	case nil, *script.Ellipsis, *script.Any:
		return true
	case *script.Range:
		from, err := script.EvalInt(w.From, r.lookup)
		r.check(err)
		to, err := script.EvalInt(w.To, r.lookup)
		r.check(err)
		n, ok := got.(int64)
		return ok && from <= n && n <= to
	case *script.List:
		if list, ok := got.([]any); ok {
			if len(list) != len(w.Elems) {
				return false
			}
			for i, x := range w.Elems {
				if !r.matches(x, list[i]) {
					return false
				}
			}
			return true
		}
		return len(w.Elems) == 1 && r.matches(w.Elems[0], got)
	case *script.String:
		s, ok := got.(string)
		if w.More {
			return ok && len(s) >= len(w.Value) && s[:len(w.Value)] == w.Value
		}
		return ok && s == w.Value
	}
	v, err := script.Eval(want, r.lookup)
	r.check(err)
	if s, ok := v.(string); ok {
		return s == got
	}
	a, aOK := v.(int64)
	b, bOK := got.(int64)
	return aOK && bOK && a == b
}

// nonblocking reports whether a call that would block returns EAGAIN instead.
func (h *host) nonblocking(r *run, c *script.Call) bool {
	if c.Blocks || len(c.Args) == 0 {
		return false
	}
	if c.Name == "poll" || c.Name == "epoll_wait" || c.Name == "epoll_pwait" {
		return false
	}
	fd, err := script.EvalInt(c.Args[0], r.lookup)
	if err != nil {
		return false
	}
	f := h.files[int(fd)]
	if f != nil && f.nonblock {
		return true
	}
	// MSG_DONTWAIT, wherever the call has its flags.
	at := map[string]int{"recv": 3, "recvfrom": 3, "recvmsg": 2, "send": 3, "sendto": 3, "sendmsg": 2}[c.Name]
	if at == 0 || at >= len(c.Args) {
		return false
	}
	flags, err := script.EvalInt(c.Args[at], r.lookup)
	return err == nil && flags&r.consts["MSG_DONTWAIT"] != 0
}

// want fails unless the call has that many arguments.
func (c *caller) want(low, high int) {
	if n := len(c.Args); n < low || n > high {
		fail(c.Pos, "%s has %d arguments, want %d", c.Name, n, low)
	}
}

// int is an argument that is a number.
func (c *caller) int(i int) int64 {
	n, err := script.EvalInt(c.Args[i], c.lookup)
	c.check(err)
	return n
}

// intOr is an argument that is a number or left to us.
func (c *caller) intOr(i int, otherwise int64) int64 {
	if i >= len(c.Args) {
		return otherwise
	}
	if _, ok := c.Args[i].(*script.Ellipsis); ok {
		return otherwise
	}
	return c.int(i)
}

// word is an argument that is a name.
func (c *caller) word(i int) string {
	n, ok := c.Args[i].(*script.Name)
	if !ok {
		unsupported(c.Args[i].At(), "%s with %s for a name", c.Name, script.Format(c.Args[i]))
	}
	return n.Name
}

// file is what a descriptor refers to, EBADF if nothing.
func (c *caller) file(i int) (*file, error) {
	f := c.host.files[int(c.int(i))]
	if f == nil {
		return nil, syscall.EBADF
	}
	return f, nil
}

// sock is the socket of the first argument.
func (c *caller) sock() (*socketapi.Socket, error) {
	f, err := c.file(0)
	switch {
	case err != nil:
		return nil, err
	case f.so == nil:
		return nil, syscall.ENOTSOCK
	}
	return f.so, nil
}

// once is a try with an answer that is already there.
func once(n int64, err error) try { return func() result { return result{n: n, err: err} } }

// onSocket makes a call on the socket of the first argument.
func (c *caller) onSocket(f func(*socketapi.Socket) result) try {
	so, err := c.sock()
	if err != nil {
		return once(0, err)
	}
	return func() result { return f(so) }
}

// open gives a file the lowest free descriptor, from 3.
func (h *host) open(f *file) int {
	fd := 3
	for h.files[fd] != nil {
		fd++
	}
	f.refs++
	h.files[fd] = f
	return fd
}

// isEOF is the end of a stream, where a call returns 0.
func isEOF(err error) bool { return err == io.EOF } //nolint:errorlint // bare by contract
