package drill

import (
	"encoding/binary"
	"net/netip"
	"time"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

// sendmsg and recvmsg, and their control messages.

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
	var to netip.AddrPort
	f, err := c.file(0)
	if err == nil && f.datagram {
		if x, ok := st.Field("msg_name").(*script.Struct); ok {
			to = c.addrOf(x, netip.AddrPortFrom(c.host.remote, remotePort))
		}
	}
	bufs, flags := c.vector(st.Field("msg_iov")), c.msgFlags(2)
	x := st.Field("msg_control")
	if x == nil || err != nil || !f.datagram {
		// Streams have none of the messages that there are.
		return c.transmit(join(bufs), flags, to)
	}
	m := socketapi.Message{Buffers: bufs, Addr: to, Control: c.controlToSend(x)}
	return c.onSocket(func(so *socketapi.Socket) result {
		n, err := so.SendMsg(&m, flags)
		return result{n: int64(n), err: err}
	})
}

// controlToSend is how to send one message.
func (c *caller) controlToSend(x script.Expr) (out socketapi.Control) {
	for _, st := range c.cmsgs(x) {
		switch name := script.Format(st.Field("cmsg_type")); name {
		case "IP_TTL", "IPV6_HOPLIMIT":
			n, err := script.EvalInt(st.Field("cmsg_data"), c.lookup)
			c.check(err)
			if n < 0 || n > 255 {
				fail(st.Pos, "%d is no TTL", n)
			}
			out.Has, out.TTL = out.Has|socketapi.ControlTTL, uint8(n)
		case "IPV6_PKTINFO":
			v, err := script.Eval(st.Field("cmsg_data"), c.lookup)
			c.check(err)
			s, _ := v.(string)
			a, err := netip.ParseAddr(s)
			if err != nil {
				fail(st.Pos, `expected the address to send from, as in inet_addr("fd3d:a0b:17d6::1"), found %s`, script.Show(v))
			}
			out.Has, out.Dst = out.Has|socketapi.ControlPacketInfo, a
		default:
			unsupported(st.Pos, "sending control message %s", name)
		}
	}
	return out
}

// cmsgs are the structs of msg_control.
func (c *caller) cmsgs(x script.Expr) (out []*script.Struct) {
	list, ok := x.(*script.List)
	if !ok {
		if _, open := x.(*script.Ellipsis); open {
			return nil
		}
		fail(x.At(), "expected a list of control messages, found %s", script.Format(x))
	}
	for _, e := range list.Elems {
		st, ok := e.(*script.Struct)
		if !ok || st.Field("cmsg_type") == nil || st.Field("cmsg_data") == nil {
			fail(e.At(), "expected {cmsg_level=..., cmsg_type=..., cmsg_data=...}, found %s", script.Format(e))
		}
		out = append(out, st)
	}
	return out
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
		if x, ok := st.Field("msg_name").(*script.Struct); ok && m.Addr.IsValid() {
			if want := c.addrOf(x, m.Addr); want != m.Addr {
				fail(x.Pos, "received from %v, want %v", m.Addr, want)
			}
		}
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

// control compares control messages that came: TTL and TOS, the address that a
// datagram was sent to, when it came (in microseconds since the script began),
// and TCP_INQ.
func (c *caller) control(x script.Expr, got *socketapi.Control) (outs []output) {
	for _, st := range c.cmsgs(x) {
		name := script.Format(st.Field("cmsg_type"))
		var has socketapi.ControlFields
		var v any
		switch name {
		case "TCP_INQ", "TCP_CM_INQ":
			has, v = socketapi.ControlInq, int64(got.Inq)
		case "IP_TTL", "IPV6_HOPLIMIT":
			has, v = socketapi.ControlTTL, int64(got.TTL)
		case "IP_TOS", "IPV6_TCLASS":
			has, v = socketapi.ControlTOS, int64(got.TOS)
		case "IP_PKTINFO", "IPV6_PKTINFO":
			has, v = socketapi.ControlPacketInfo, got.Dst.String()
		case "SO_TIMESTAMP":
			has, v = socketapi.ControlTimestamp, got.Timestamp.Sub(c.start).Round(time.Microsecond).Microseconds()
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

// addr4 is an address that a script has as a number: htonl() leaves it alone.
func addr4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}
