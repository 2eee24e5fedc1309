package socketapi_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapstack/socketapi"
)

// cmsg is one control message, laid out by the kernel's headers.
func cmsg(level, kind int, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

// word is an int in a control message.
func word(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// cmsgs are what a Control says, as the kernel wants to be told.
func (s *kernelSock) cmsgs(c *socketapi.Control) (oob []byte) {
	if c.Has&socketapi.ControlTTL != 0 {
		if s.family == unix.AF_INET {
			oob = append(oob, cmsg(unix.IPPROTO_IP, unix.IP_TTL, word(int(c.TTL)))...)
		} else {
			oob = append(oob, cmsg(unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, word(int(c.TTL)))...)
		}
	}
	if c.Has&socketapi.ControlTOS != 0 {
		if s.family == unix.AF_INET {
			oob = append(oob, cmsg(unix.IPPROTO_IP, unix.IP_TOS, word(int(c.TOS)))...)
		} else {
			oob = append(oob, cmsg(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, word(int(c.TOS)))...)
		}
	}
	if c.Has&socketapi.ControlPacketInfo != 0 {
		if s.family == unix.AF_INET {
			oob = append(oob, cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, info4(0, c.Dst))...)
		} else {
			oob = append(oob, cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6(0, c.Dst))...)
		}
	}
	return oob
}

// info4 and info6 are struct in_pktinfo and in6_pktinfo.
func info4(nic int, from netip.Addr) []byte {
	b := append(word(nic), make([]byte, 8)...)
	copy(b[4:], from.AsSlice())
	return b
}

func info6(nic int, from netip.Addr) []byte {
	var a [16]byte
	if from.IsValid() {
		a = from.As16()
	}
	return append(a[:], word(nic)...)
}

// parseCmsgs is the other way round.
func parseCmsgs(oob []byte) (c socketapi.Control, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return c, err
	}
	for _, m := range msgs {
		switch key := [2]int32{m.Header.Level, m.Header.Type}; key {
		case [2]int32{unix.IPPROTO_IP, unix.IP_TTL}, [2]int32{unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT}:
			c.Has, c.TTL = c.Has|socketapi.ControlTTL, uint8(binary.NativeEndian.Uint32(m.Data))
		case [2]int32{unix.IPPROTO_IP, unix.IP_TOS}, [2]int32{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}:
			c.Has, c.TOS = c.Has|socketapi.ControlTOS, m.Data[0]
		case [2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO}:
			c.Has |= socketapi.ControlPacketInfo
			c.Dst, c.NIC = netip.AddrFrom4([4]byte(m.Data[8:12])), "a NIC"
		case [2]int32{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
			c.Has |= socketapi.ControlPacketInfo
			c.Dst, c.NIC = netip.AddrFrom16([16]byte(m.Data[:16])).Unmap(), "a NIC"
		case [2]int32{unix.SOL_SOCKET, unix.SO_TIMESTAMP}:
			c.Has |= socketapi.ControlTimestamp
			c.Timestamp = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), 0)
		case [2]int32{unix.IPPROTO_TCP, unix.TCP_CM_INQ}:
			c.Has, c.Inq = c.Has|socketapi.ControlInq, int(binary.NativeEndian.Uint32(m.Data))
		default:
			return c, fmt.Errorf("a control message %v", key)
		}
	}
	return c, nil
}

// controlText is what came with a message, in words that both worlds share.
func controlText(c socketapi.Control) string {
	out := ""
	for _, f := range []struct {
		has  socketapi.ControlFields
		text string
	}{
		{socketapi.ControlTTL, fmt.Sprintf(" TTL %d", c.TTL)},
		{socketapi.ControlTOS, fmt.Sprintf(" TOS %#x", c.TOS)},
		{socketapi.ControlPacketInfo, fmt.Sprintf(" to %v at a NIC: %v", c.Dst, c.NIC != "")},
		{socketapi.ControlTimestamp, fmt.Sprintf(" a time: %v", !c.Timestamp.IsZero())},
		{socketapi.ControlInq, fmt.Sprintf(" %d left", c.Inq)},
	} {
		if c.Has&f.has != 0 {
			out += f.text
		}
	}
	return out
}
