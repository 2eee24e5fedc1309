package drill

import (
	"math"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

func (c *caller) socket() try {
	c.want(3, 3)
	k := c.consts
	domain := c.intOr(0, -1)
	typ := c.int(1)
	proto := c.intOr(2, 0)
	network := ""
	switch base := typ &^ (k["SOCK_NONBLOCK"] | k["SOCK_CLOEXEC"]); {
	case base == k["SOCK_STREAM"] && (proto == 0 || proto == protoTCP):
		network = "tcp"
	case base == k["SOCK_DGRAM"] && (proto == 0 || proto == protoUDP):
		network = "udp"
	case base == k["SOCK_DGRAM"] && (proto == protoICMP || proto == protoICMPv6):
		network = "ping"
	default:
		unsupported(c.Pos, "sockets of %s, %s", script.Format(c.Args[1]), script.Format(c.Args[2]))
	}
	v6 := domain == k["AF_INET6"]
	if domain == -1 {
		v6 = c.host.local.Is6() || c.host.mapped
	}
	switch {
	case !v6:
		network += "4"
	case network == "ping":
		network += "6"
	}
	return func() result {
		so, err := socketapi.NewSocket(c.host.stack, network)
		if err != nil {
			return result{err: err}
		}
		c.clock.watch(so)
		f := &file{so: so, datagram: !strings.HasPrefix(network, "tcp"), nonblock: typ&k["SOCK_NONBLOCK"] != 0}
		return result{n: int64(c.host.open(f))}
	}
}

// addr reads an address: "...", which is the one given, or a struct.
func (c *caller) addr(i int, otherwise netip.AddrPort) netip.AddrPort {
	return c.addrOf(c.Args[i], otherwise)
}

func (c *caller) addrOf(x script.Expr, otherwise netip.AddrPort) netip.AddrPort {
	st, ok := x.(*script.Struct)
	if !ok {
		if _, open := x.(*script.Ellipsis); !open {
			if n, err := script.EvalInt(x, c.lookup); err == nil && n == 0 {
				return netip.AddrPort{} // NULL
			}
			fail(x.At(), "expected an address, found %s", script.Format(x))
		}
		return otherwise
	}
	a, port := otherwise.Addr(), otherwise.Port()
	for _, f := range st.Fields {
		if _, open := f.Value.(*script.Ellipsis); open {
			continue
		}
		v, err := script.Eval(f.Value, c.lookup)
		c.check(err)
		switch name := f.Name; {
		case strings.HasSuffix(name, "family"):
			if n, ok := v.(int64); ok && n == c.consts["AF_UNSPEC"] {
				return netip.AddrPort{}
			}
		case strings.HasSuffix(name, "_port"):
			n, ok := v.(int64)
			if !ok || n < 0 || n > 65535 {
				fail(f.Pos, "%s is no port", script.Show(v))
			}
			port = uint16(n)
		case strings.HasSuffix(name, "_addr"):
			switch v := v.(type) {
			case string:
				if a, err = netip.ParseAddr(v); err != nil {
					fail(f.Pos, "%q is no address", v)
				}
			case int64:
				if v < 0 || v > math.MaxUint32 {
					fail(f.Pos, "%d is no address", v)
				}
				if a = addr4(uint32(v)); v == 0 && c.host.local.Is6() {
					a = netip.IPv6Unspecified()
				}
			}
		}
	}
	return netip.AddrPortFrom(a, port)
}

func (c *caller) bind() try {
	c.want(2, 3)
	local := c.addr(1, netip.AddrPortFrom(c.host.local, localPort))
	return c.onSocket(func(so *socketapi.Socket) result { return result{err: so.Bind(local)} })
}

func (c *caller) listen() try {
	c.want(2, 2)
	n := int(c.int(1))
	return c.onSocket(func(so *socketapi.Socket) result { return result{err: so.Listen(n)} })
}

func (c *caller) accept() try {
	c.want(1, 4)
	flags := int64(0)
	if c.Name == "accept4" {
		c.want(4, 4)
		flags = c.int(3)
	}
	return c.onSocket(func(so *socketapi.Socket) result {
		child, remote, err := so.Accept()
		if err != nil {
			return result{err: err}
		}
		c.clock.watch(child)
		if len(c.Args) > 1 {
			if st, ok := c.Args[1].(*script.Struct); ok {
				if want := c.addrOf(st, remote); want != remote {
					fail(st.Pos, "%s: the connection is from %v, want %v", c.Name, remote, want)
				}
			}
		}
		f := &file{so: child, nonblock: flags&c.consts["SOCK_NONBLOCK"] != 0}
		c.host.last = f
		c.host.follow(child, remote)
		return result{n: int64(c.host.open(f))}
	})
}

// follow keeps assertions and packets without a name on the connection that
// was accepted last, where there are several.
func (h *host) follow(so *socketapi.Socket, remote netip.AddrPort) {
	local, err := so.Getsockname()
	if err != nil {
		return
	}
	if f := h.find(flowKey{protoTCP, local, remote}); f != nil && f.name == "" && h.current[protoTCP] == nil {
		h.current[protoTCP] = f
	}
}

func (c *caller) connect() try {
	c.want(2, 3)
	remote := c.addr(1, netip.AddrPortFrom(c.host.remote, remotePort))
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	if f.so == nil {
		return once(0, syscall.ENOTSOCK)
	}
	begun := false
	return func() result {
		if !begun {
			err := f.so.Connect(remote)
			if !f.datagram {
				c.host.last = f
			}
			if err == nil && f.datagram && remote.IsValid() {
				c.host.connected(f.so, remote)
			}
			if err != syscall.EINPROGRESS || f.nonblock { //nolint:errorlint // bare by contract
				return result{err: err}
			}
			begun = true
		}
		if f.so.Ready()&(socketapi.EventOut|socketapi.EventErr|socketapi.EventHup) == 0 {
			return result{err: errAgain}
		}
		n, err := f.so.Option(socketapi.SO_ERROR)
		if err == nil && n != 0 {
			err = syscall.Errno(n)
		}
		return result{err: err}
	}
}

// connected makes the flow of a datagram socket that was connected.
func (h *host) connected(so *socketapi.Socket, remote netip.AddrPort) {
	local, err := so.Getsockname()
	if err != nil {
		return
	}
	if k := (flowKey{protoUDP, local, remote}); h.find(k) == nil {
		h.add(&flow{proto: protoUDP, local: local, remote: remote})
	}
}

func (c *caller) close() try {
	c.want(1, 1)
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	fd := int(c.int(0))
	begun, until := false, time.Time{}
	return func() result {
		if !begun {
			begun = true
			if until = c.lingers(f); until.IsZero() {
				return result{err: c.host.drop(fd)}
			}
			// The descriptor is free at once: what waits is the socket.
			delete(c.host.files, fd)
			f.refs--
			c.host.forget(f)
			c.host.lingering = append(c.host.lingering, f.so)
		}
		if c.clock.Now().Before(until) && unfinished(f.so) {
			return result{err: errAgain}
		}
		return result{err: f.so.Close()}
	}
}

// drop lets go of a descriptor, and of what it is of if it was the last.
func (h *host) drop(fd int) error {
	f := h.files[fd]
	delete(h.files, fd)
	if f.refs--; f.refs > 0 {
		return nil
	}
	if f.epoll != nil {
		return f.epoll.poller.Close()
	}
	h.forget(f)
	return f.so.Close()
}

// lingers begins a close that waits until everything is acknowledged, as a
// blocking descriptor's does with SO_LINGER (socket(7)), and is when that ends.
// [socketapi.Socket.Close] never waits, so it comes after. What nobody has
// read still resets the connection at once.
func (c *caller) lingers(f *file) (until time.Time) {
	if f.so == nil || f.datagram || f.nonblock || f.refs > 1 {
		return until
	}
	seconds, err := f.so.Linger()
	if _, rcv := f.so.Buffers(); err != nil || seconds <= 0 || rcv.Queued > 0 {
		return until
	}
	if f.so.Shutdown(socketapi.ShutWR) != nil {
		return until
	}
	const most = 24 * time.Hour
	until, _ = c.due(min(time.Duration(seconds)*time.Second, most).Milliseconds())
	return until
}

// unfinished reports whether our FIN is not acknowledged yet.
func unfinished(so *socketapi.Socket) bool {
	info, err := so.Info()
	return err == nil && (info.State == socketapi.FinWait1 || info.State == socketapi.Closing || info.State == socketapi.LastAck)
}

func (c *caller) shutdown() try {
	c.want(2, 2)
	how := c.int(1)
	return c.onSocket(func(so *socketapi.Socket) result {
		if how < 0 || how > 2 {
			return result{err: syscall.EINVAL}
		}
		return result{err: so.Shutdown(socketapi.How(how) + socketapi.ShutRD)}
	})
}

func (c *caller) fcntl() try {
	c.want(2, 3)
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	k := c.consts
	switch c.word(1) {
	case "F_GETFL":
		n := k["O_RDWR"]
		if f.nonblock {
			n |= k["O_NONBLOCK"]
		}
		return once(n, nil)
	case "F_SETFL":
		c.want(3, 3)
		flags := c.int(2)
		return func() result {
			f.nonblock = flags&k["O_NONBLOCK"] != 0
			return result{}
		}
	case "F_GETFD", "F_SETFD":
		return once(0, nil)
	case "F_DUPFD":
		return func() result { return result{n: int64(c.host.open(f))} }
	default:
		unsupported(c.Pos, "fcntl(%s)", c.word(1))
		return nil
	}
}

func (c *caller) dup() try {
	c.want(1, 1)
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	return func() result { return result{n: int64(c.host.open(f))} }
}

func (c *caller) dup2() try {
	c.want(2, 2)
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	to := c.int(1)
	const most = 1 << 20 // as many as a process may have
	if to < 0 || to > most {
		return once(0, syscall.EBADF)
	}
	return func() result {
		if old := c.host.files[int(to)]; old != f {
			if old != nil {
				_ = c.host.drop(int(to))
			}
			f.refs++
			c.host.files[int(to)] = f
		}
		return result{n: to}
	}
}

func (c *caller) getsockname() try { return c.name((*socketapi.Socket).Getsockname) }
func (c *caller) getpeername() try { return c.name((*socketapi.Socket).Getpeername) }

func (c *caller) name(get func(*socketapi.Socket) (netip.AddrPort, error)) try {
	c.want(2, 3)
	return c.onSocket(func(so *socketapi.Socket) result {
		got, err := get(so)
		if err != nil {
			return result{err: err}
		}
		if _, open := c.Args[1].(*script.Ellipsis); !open {
			if want := c.addr(1, got); want != got {
				fail(c.Args[1].At(), "%s is %v, want %v", c.Name, got, want)
			}
		}
		return result{}
	})
}

func (c *caller) ioctl() try {
	c.want(2, 3)
	request := c.word(1)
	return c.onSocket(func(so *socketapi.Socket) result {
		snd, rcv := so.Buffers()
		var n int
		switch request {
		case "SIOCINQ", "FIONREAD":
			n = rcv.Queued
		case "SIOCOUTQ", "TIOCOUTQ", "FIONWRITE":
			n = snd.Queued
		case "SIOCOUTQNSD":
			n = snd.Unsent
		case "FIONBIO":
			c.want(3, 3)
			f, _ := c.file(0)
			list, ok := c.Args[2].(*script.List)
			if !ok || len(list.Elems) != 1 {
				fail(c.Args[2].At(), "expected [0] or [1], found %s", script.Format(c.Args[2]))
			}
			v, err := script.EvalInt(list.Elems[0], c.lookup)
			c.check(err)
			f.nonblock = v != 0
			return result{}
		default:
			unsupported(c.Pos, "ioctl(%s)", request)
		}
		if len(c.Args) < 3 {
			return result{}
		}
		return result{outs: []output{{c.Args[2], int64(n), request}}}
	})
}
