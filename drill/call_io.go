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
	return c.onSocket(func(so *socketapi.Socket) result {
		for {
			m, from, err := so.RecvFrom(buf[done:], flags)
			if isEOF(err) || err != nil && done > 0 && err != errAgain { //nolint:errorlint // bare by contract
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

// message reads the struct of recvmsg and sendmsg.
func (c *caller) message(i int) *script.Struct {
	st, ok := c.Args[i].(*script.Struct)
	if !ok {
		fail(c.Args[i].At(), "expected a message, found %s", script.Format(c.Args[i]))
	}
	if st.Field("msg_iov") == nil {
		fail(st.Pos, "a message needs msg_iov")
	}
	return st
}

func (c *caller) sendmsg() try {
	c.want(3, 3)
	st := c.message(1)
	if x := st.Field("msg_control"); x != nil {
		unsupported(x.At(), "sendmsg with msg_control")
	}
	var to netip.AddrPort
	if f, err := c.file(0); err == nil && f.datagram {
		if x, ok := st.Field("msg_name").(*script.Struct); ok {
			to = c.addrOf(x, netip.AddrPortFrom(c.host.remote, remotePort))
		}
	}
	return c.transmit(join(c.vector(st.Field("msg_iov"))), c.msgFlags(2), to)
}

func (c *caller) recvmsg() try {
	c.want(3, 3)
	st := c.message(1)
	iov := st.Field("msg_iov")
	bufs, flags := emptied(c.vector(iov)), c.msgFlags(2)
	return c.onSocket(func(so *socketapi.Socket) result {
		m := socketapi.Message{Buffers: bufs}
		n, err := so.RecvMsg(&m, flags)
		if isEOF(err) {
			n, err = 0, nil
		}
		if err != nil {
			return result{err: err}
		}
		outs := c.vectorOut(iov, bufs, n)
		if x := st.Field("msg_flags"); x != nil {
			var got int64
			if m.Flags&socketapi.MsgTrunc != 0 {
				got |= c.consts["MSG_TRUNC"]
			}
			outs = append(outs, output{x, got, "msg_flags"})
		}
		if x := st.Field("msg_control"); x != nil {
			outs = append(outs, c.control(x, &m.Control)...)
		}
		return result{n: int64(n), outs: outs}
	})
}

// control compares control messages: those of TCP_INQ, TTL and TOS.
func (c *caller) control(x script.Expr, got *socketapi.Control) (outs []output) {
	list, ok := x.(*script.List)
	if !ok {
		if _, open := x.(*script.Ellipsis); open {
			return nil
		}
		fail(x.At(), "expected a list of control messages, found %s", script.Format(x))
	}
	for _, e := range list.Elems {
		st, ok := e.(*script.Struct)
		if !ok || st.Field("cmsg_type") == nil {
			fail(e.At(), "expected {cmsg_level=..., cmsg_type=..., cmsg_data=...}, found %s", script.Format(e))
		}
		name := script.Format(st.Field("cmsg_type"))
		var has socketapi.ControlFields
		var v int64
		switch name {
		case "TCP_INQ", "TCP_CM_INQ":
			has, v = socketapi.ControlInq, int64(got.Inq)
		case "IP_TTL", "IPV6_HOPLIMIT":
			has, v = socketapi.ControlTTL, int64(got.TTL)
		case "IP_TOS", "IPV6_TCLASS":
			has, v = socketapi.ControlTOS, int64(got.TOS)
		default:
			unsupported(st.Pos, "control message %s", name)
		}
		if got.Has&has == 0 {
			fail(st.Pos, "no control message %s came", name)
		}
		outs = append(outs, output{st.Field("cmsg_data"), v, name})
	}
	return outs
}

// errNotOption is what an option of the wrong level gives.
var errNotOption = syscall.ENOPROTOOPT
