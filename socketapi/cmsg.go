package socketapi

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// Control messages as bytes, for those methods of package net that have an oob
// argument: the layout of 64-bit little-endian Linux (cmsg(3)), whatever we
// run on. A header of 16 bytes (length, level, type), the data, and padding to
// eight.

const (
	cmsgHeader = 16

	levelIP, levelIPv6                       = 0, 41
	ipTOS, ipTTL, ipPktinfo                  = 1, 2, 8
	v6Pktinfo, v6HopLimit, v6TClass          = 50, 52, 67
	levelSocket, soTimestamp                 = 1, 29
	msgCTrunc                       MsgFlags = 0x8
)

// cmsgs are control messages being written to oob.
type cmsgs struct {
	oob []byte
	n   int
	cut bool // something had to be left out
}

// add writes one message. What does not fit is cut off, as far as there is room
// for a header (put_cmsg in Linux).
func (w *cmsgs) add(level, kind uint32, data []byte) {
	room := w.oob[w.n:]
	if len(room) < cmsgHeader {
		w.cut = true
		return
	}
	size := cmsgHeader + len(data)
	if len(room) < size {
		w.cut, size = true, len(room)
	}
	binary.LittleEndian.PutUint64(room, uint64(size))
	binary.LittleEndian.PutUint32(room[8:], level)
	binary.LittleEndian.PutUint32(room[12:], kind)
	copy(room[cmsgHeader:size], data)
	w.n += min(align(cmsgHeader+len(data)), len(room))
}

func align(n int) int { return (n + 7) &^ 7 }

// put writes what c has to oob, in Linux's order. fits is false if it had to
// leave something out. v6 is whether the socket is one of IPv6.
func (c *Control) put(oob []byte, v6 bool) (n int, fits bool) {
	w := cmsgs{oob: oob}
	is4 := !v6 || c.from4
	if c.Has&ControlTimestamp != 0 {
		at := binary.LittleEndian.AppendUint64(nil, uint64(c.Timestamp.Unix()))
		w.add(levelSocket, soTimestamp, binary.LittleEndian.AppendUint64(at, uint64(c.Timestamp.Nanosecond()/1000)))
	}
	if c.Has&ControlPacketInfo != 0 {
		c.putInfo(&w)
	}
	if c.Has&ControlTTL != 0 {
		level, kind := uint32(levelIP), uint32(ipTTL)
		if !is4 {
			level, kind = levelIPv6, v6HopLimit
		}
		w.add(level, kind, binary.LittleEndian.AppendUint32(nil, uint32(c.TTL)))
	}
	if c.Has&ControlTOS != 0 {
		if is4 {
			w.add(levelIP, ipTOS, []byte{c.TOS})
		} else {
			w.add(levelIPv6, v6TClass, binary.LittleEndian.AppendUint32(nil, uint32(c.TOS)))
		}
	}
	return w.n, !w.cut
}

// putInfo writes the packet info in the forms that were asked for: an IPv6
// socket has IPv4 datagrams in both.
func (c *Control) putInfo(w *cmsgs) {
	if c.forms&flagInfo6 != 0 {
		to := c.Dst.As16()
		w.add(levelIPv6, v6Pktinfo, binary.LittleEndian.AppendUint32(to[:], uint32(c.nicIndex)))
	}
	if c.forms&flagInfo4 != 0 {
		// The index of the NIC, where an answer would come from, and the header's.
		info := binary.LittleEndian.AppendUint32(nil, uint32(c.nicIndex))
		info = append(info, c.answer.AsSlice()...)
		w.add(levelIP, ipPktinfo, append(info, c.Dst.AsSlice()...))
	}
}

// parse reads what a message is to be sent with. EINVAL for what is malformed
// or cannot be sent. Levels that are not IP's, and bytes too few for a header,
// are ignored, as on Linux (ip_cmsg_send, CMSG_NXTHDR).
func (c *Control) parse(oob []byte, v6 bool) error {
	for len(oob) >= cmsgHeader {
		size := binary.LittleEndian.Uint64(oob)
		level, kind := binary.LittleEndian.Uint32(oob[8:]), binary.LittleEndian.Uint32(oob[12:])
		if size < cmsgHeader || size > uint64(len(oob)) {
			return syscall.EINVAL
		}
		data, ok := oob[cmsgHeader:size], true
		switch {
		case level == levelIP:
			ok = c.oneIPv4(kind, data)
		case level == levelIPv6 && v6:
			ok = c.oneIPv6(kind, data)
		case level == levelSocket:
			ok = false
		}
		if !ok {
			return syscall.EINVAL
		}
		oob = oob[min(uint64(align(int(size))), uint64(len(oob))):]
	}
	return nil
}

// oneIPv4 reads a message of the level of IPv4.
func (c *Control) oneIPv4(kind uint32, data []byte) bool {
	v, isInt := number32(data)
	switch {
	case kind == ipTTL && isInt && v >= 1 && v <= 255:
		c.Has, c.TTL = c.Has|ControlTTL, uint8(v)
	case kind == ipTOS && isInt && v >= 0 && v <= 255:
		c.Has, c.TOS = c.Has|ControlTOS, uint8(v)
	case kind == ipTOS && len(data) == 1:
		c.Has, c.TOS = c.Has|ControlTOS, data[0]
	case kind == ipPktinfo && len(data) == 12:
		c.info(data, netip.AddrFrom4([4]byte(data[4:])))
	default:
		return false
	}
	return true
}

// oneIPv6 reads a message of the level of IPv6.
func (c *Control) oneIPv6(kind uint32, data []byte) bool {
	v, isInt := number32(data)
	switch {
	case kind == v6HopLimit && isInt && v == -1: // the socket's own
		c.Has &^= ControlTTL
	case kind == v6HopLimit && isInt && v >= 0 && v <= 255:
		c.Has, c.TTL = c.Has|ControlTTL, uint8(v)
	case kind == v6TClass && isInt && v >= -1 && v <= 255:
		c.Has, c.TOS = c.Has|ControlTOS, uint8(v) // Linux makes 255 of -1
	case kind == v6Pktinfo && len(data) >= 20:
		c.info(data[16:], netip.AddrFrom16([16]byte(data)))
	default:
		return false
	}
	return true
}

// info is packet info to be sent: a NIC's number, and the source.
func (c *Control) info(nic []byte, from netip.Addr) {
	c.Has, c.Dst = c.Has|ControlPacketInfo, netip.Addr{}
	c.nicIndex = int32(binary.LittleEndian.Uint32(nic))
	if !from.IsUnspecified() {
		c.Dst = from
	}
}

// number32 is the value of a message that is one int.
func number32(data []byte) (v int32, ok bool) {
	if len(data) != 4 {
		return 0, false
	}
	return int32(binary.LittleEndian.Uint32(data)), true
}
