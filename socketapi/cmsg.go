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
	levelSocket, soTimestampns               = 1, 35
	msgCTrunc                       MsgFlags = 0x8
)

// put writes what c has to oob. fits is false if it had to leave something out.
func (c *Control) put(oob []byte, v6 bool) (n int, fits bool) {
	fits = true
	add := func(level, kind uint32, data []byte) {
		end := n + cmsgHeader + len(data)
		if len(oob) < end {
			fits = false
			return
		}
		binary.LittleEndian.PutUint64(oob[n:], uint64(cmsgHeader+len(data)))
		binary.LittleEndian.PutUint32(oob[n+8:], level)
		binary.LittleEndian.PutUint32(oob[n+12:], kind)
		copy(oob[n+cmsgHeader:], data)
		n = min((end+7)&^7, len(oob))
	}
	is4 := !v6 || c.Dst.Is4()
	if c.Has&ControlTimestamp != 0 {
		ts := binary.LittleEndian.AppendUint64(nil, uint64(c.Timestamp.Unix()))
		add(levelSocket, soTimestampns, binary.LittleEndian.AppendUint64(ts, uint64(c.Timestamp.Nanosecond())))
	}
	if c.Has&ControlTTL != 0 {
		level, kind := uint32(levelIP), uint32(ipTTL)
		if !is4 {
			level, kind = levelIPv6, v6HopLimit
		}
		add(level, kind, binary.LittleEndian.AppendUint32(nil, uint32(c.TTL)))
	}
	if c.Has&ControlTOS != 0 {
		if is4 {
			add(levelIP, ipTOS, []byte{c.TOS})
		} else {
			add(levelIPv6, v6TClass, binary.LittleEndian.AppendUint32(nil, uint32(c.TOS)))
		}
	}
	if c.Has&ControlPacketInfo != 0 {
		if is4 {
			// The index of the NIC, the address received on, and the header's.
			info := make([]byte, 12)
			binary.LittleEndian.PutUint32(info, uint32(c.nicIndex))
			copy(info[4:], c.Dst.AsSlice())
			copy(info[8:], c.Dst.AsSlice())
			add(levelIP, ipPktinfo, info)
		} else {
			info := make([]byte, 20)
			copy(info, c.Dst.AsSlice())
			binary.LittleEndian.PutUint32(info[16:], uint32(c.nicIndex))
			add(levelIPv6, v6Pktinfo, info)
		}
	}
	return n, fits
}

// parse reads what a message is to be sent with. EINVAL for what is malformed
// or cannot be sent.
func (c *Control) parse(oob []byte, v6 bool) error {
	for len(oob) > 0 {
		if len(oob) < cmsgHeader {
			return syscall.EINVAL
		}
		size := binary.LittleEndian.Uint64(oob)
		level, kind := binary.LittleEndian.Uint32(oob[8:]), binary.LittleEndian.Uint32(oob[12:])
		if size < cmsgHeader || size > uint64(len(oob)) {
			return syscall.EINVAL
		}
		if err := c.one(level, kind, oob[cmsgHeader:size], v6); err != nil {
			return err
		}
		oob = oob[min((size+7)&^7, uint64(len(oob))):]
	}
	return nil
}

func (c *Control) one(level, kind uint32, data []byte, v6 bool) error {
	switch {
	case (level == levelIP && kind == ipTTL || level == levelIPv6 && kind == v6HopLimit) && len(data) >= 4:
		hops := int32(binary.LittleEndian.Uint32(data))
		if hops < 0 || hops > 255 {
			return syscall.EINVAL
		}
		c.Has, c.TTL = c.Has|ControlTTL, uint8(hops)
	case level == levelIPv6 && kind == v6Pktinfo && v6 && len(data) >= 20:
		c.Has |= ControlPacketInfo
		c.nicIndex = int32(binary.LittleEndian.Uint32(data[16:]))
		if a := netip.AddrFrom16([16]byte(data)); !a.IsUnspecified() {
			c.Dst = a
		}
	default:
		return syscall.EINVAL
	}
	return nil
}
