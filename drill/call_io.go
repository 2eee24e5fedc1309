package drill

import (
	"net/netip"
	"syscall"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

// maxIO bounds what one call moves.
const maxIO = 1 << 26

// size is an argument that is a number of bytes.
func (c *caller) size(i int) int {
	n := c.int(i)
	if n < 0 || n > maxIO {
		fail(c.Args[i].At(), "%d bytes are more than a script may move at once", n)
	}
	return int(n)
}

// msgFlags are the flags of a receive or send, as socketapi names them.
func (c *caller) msgFlags(i int) socketapi.MsgFlags {
	if i >= len(c.Args) {
		return 0
	}
	flags := c.int(i)
	var out socketapi.MsgFlags
	for name, f := range map[string]socketapi.MsgFlags{
		"MSG_OOB": socketapi.MsgOOB, "MSG_PEEK": socketapi.MsgPeek, "MSG_TRUNC": socketapi.MsgTrunc,
		"MSG_DONTWAIT": socketapi.MsgDontWait, "MSG_NOSIGNAL": socketapi.MsgNoSignal, "MSG_MORE": socketapi.MsgMore,
	} {
		if flags&c.consts[name] != 0 {
			out |= f
			flags &^= c.consts[name]
		}
	}
	if flags &^= c.consts["MSG_WAITALL"]; flags != 0 {
		unsupported(c.Args[i].At(), "flags %s", script.Format(c.Args[i]))
	}
	return out
}

func (c *caller) waitAll(i int) bool {
	return i < len(c.Args) && c.int(i)&c.consts["MSG_WAITALL"] != 0
}

// receive takes n bytes at most into the place of an argument.
func (c *caller) receive(n int, flags socketapi.MsgFlags, all bool, outs func(got []byte, from netip.AddrPort) []output) try {
	buf := make([]byte, n)
	done := 0
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	return c.onSocket(func(so *socketapi.Socket) result {
		wait := !f.nonblock && flags&socketapi.MsgDontWait == 0
		for {
			m, from, err := so.RecvFrom(buf[done:], flags)
			// What came already is the answer where nothing more does.
			if isEOF(err) || err != nil && done > 0 && (err != errAgain || !wait) { //nolint:errorlint // bare by contract
				m, err = 0, nil
				all = false
			}
			if err != nil {
				return result{err: err}
			}
			done += m
			if all && done < n && flags&socketapi.MsgPeek == 0 {
				continue
			}
			got := buf[:min(done, n)]
			return result{n: int64(done), outs: outs(got, from)}
		}
	})
}

// into is the output of a call that received into an argument.
func (c *caller) into(i int) func([]byte, netip.AddrPort) []output {
	return func(got []byte, _ netip.AddrPort) []output {
		return []output{{c.Args[i], string(got), "what was read"}}
	}
}

func (c *caller) read() try {
	c.want(3, 3)
	return c.receive(c.size(2), 0, false, c.into(1))
}

func (c *caller) recv() try {
	c.want(4, 4)
	return c.receive(c.size(2), c.msgFlags(3), c.waitAll(3), c.into(1))
}

func (c *caller) recvfrom() try {
	c.want(6, 6)
	return c.receive(c.size(2), c.msgFlags(3), c.waitAll(3), func(got []byte, from netip.AddrPort) []output {
		if st, ok := c.Args[4].(*script.Struct); ok {
			if want := c.addrOf(st, from); want != from {
				fail(st.Pos, "received from %v, want %v", from, want)
			}
		}
		return []output{{c.Args[1], string(got), "what was read"}}
	})
}

// payload is what a call sends: text, or zeros.
func (c *caller) text(x script.Expr, n int) []byte {
	s, _ := x.(*script.String)
	return c.payload(n, s)
}

// transmit sends all of a stream's bytes, or one datagram.
func (c *caller) transmit(data []byte, flags socketapi.MsgFlags, to netip.AddrPort) try {
	done := 0
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	return c.onSocket(func(so *socketapi.Socket) result {
		n, err := so.SendTo(data[done:], flags, to)
		wait := !f.nonblock && flags&socketapi.MsgDontWait == 0
		switch {
		case err == nil:
			if done += n; done < len(data) && wait && !f.datagram {
				return result{err: errAgain}
			}
			return result{n: int64(done)}
		case done > 0 && err != errAgain: //nolint:errorlint // bare by contract
			return result{n: int64(done)}
		default:
			return result{err: err}
		}
	})
}

func (c *caller) write() try {
	c.want(3, 3)
	return c.transmit(c.text(c.Args[1], c.size(2)), 0, netip.AddrPort{})
}

func (c *caller) send() try {
	c.want(4, 4)
	return c.transmit(c.text(c.Args[1], c.size(2)), c.msgFlags(3), netip.AddrPort{})
}

func (c *caller) sendto() try {
	c.want(6, 6)
	f, err := c.file(0)
	if err != nil {
		return once(0, err)
	}
	to := netip.AddrPort{}
	if f.datagram && f.so != nil {
		otherwise := netip.AddrPortFrom(c.host.remote, remotePort)
		if cur := c.host.current[protoUDP]; cur != nil {
			otherwise = cur.remote
		}
		if _, err := f.so.Getpeername(); err == nil {
			otherwise = netip.AddrPort{}
		}
		to = c.addr(4, otherwise)
	}
	return c.transmit(c.text(c.Args[1], c.size(2)), c.msgFlags(3), to)
}

// vector reads [{text, n}, ...]: what to send, or how much to receive.
func (c *caller) vector(x script.Expr) [][]byte {
	list, ok := x.(*script.List)
	if !ok {
		fail(x.At(), "expected a list of buffers, found %s", script.Format(x))
	}
	var bufs [][]byte
	sum := 0
	for _, e := range list.Elems {
		st, ok := e.(*script.Struct)
		if !ok || len(st.Fields) != 2 {
			fail(e.At(), "expected {..., length}, found %s", script.Format(e))
		}
		n, err := script.EvalInt(st.Fields[1].Value, c.lookup)
		c.check(err)
		if sum += int(min(max(n, 0), maxIO+1)); n < 0 || sum > maxIO {
			fail(e.At(), "%d bytes are more than a script may move at once", n)
		}
		bufs = append(bufs, c.text(st.Fields[0].Value, int(n)))
	}
	return bufs
}

func join(bufs [][]byte) []byte {
	var all []byte
	for _, b := range bufs {
		all = append(all, b...)
	}
	return all
}

func (c *caller) writev() try {
	c.want(3, 3)
	return c.transmit(join(c.vector(c.Args[1])), 0, netip.AddrPort{})
}

func (c *caller) readv() try {
	c.want(3, 3)
	bufs := emptied(c.vector(c.Args[1]))
	return c.onSocket(func(so *socketapi.Socket) result {
		m := socketapi.Message{Buffers: bufs}
		n, err := so.RecvMsg(&m, 0)
		if isEOF(err) {
			n, err = 0, nil
		}
		return result{n: int64(n), err: err, outs: c.vectorOut(c.Args[1], bufs, n)}
	})
}

// emptied are buffers of the same sizes: what is expected in them is text too.
func emptied(bufs [][]byte) [][]byte {
	for _, b := range bufs {
		clear(b)
	}
	return bufs
}

// vectorOut compares what was received into a list of buffers.
func (c *caller) vectorOut(x script.Expr, bufs [][]byte, n int) (outs []output) {
	for i, e := range x.(*script.List).Elems {
		got := bufs[i][:min(n, len(bufs[i]))]
		n -= len(got)
		outs = append(outs, output{e.(*script.Struct).Fields[0].Value, string(got), "what was read"})
	}
	return outs
}

// errNotOption is what an option of the wrong level gives.
var errNotOption = syscall.ENOPROTOOPT
