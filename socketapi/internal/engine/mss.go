package engine

import (
	"unsafe"

	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// BoundMSS keeps the segments that ep sends from now on within an MSS of mss
// bytes, which as on the wire counts TCP's options in: of these gVisor leaves
// room for as many as a segment can have (Endpoint.maxOptionSize). It only ever
// lowers. It reports false before the handshake is over, and does nothing then.
//
// gVisor itself has TCP_MAXSEG only for what it announces (Endpoint.userMSS).
// This is sender.updateMaxPayloadSize, without the retransmission: what is
// under way fits the path. Sent again, it keeps its size unless the device cuts
// it.
func BoundMSS(ep *tcp.Endpoint, mss int) bool {
	lock(ep)
	defer unlock(ep)
	p := unsafe.Pointer(ep)
	snd := *sndField.in(p)
	if snd == nil {
		return false
	}
	s := senderField.in(snd)
	was, now := s.MaxPayloadSize, max(1, mss-optionSize(ep))
	if now >= was {
		return true
	}
	s.MaxPayloadSize = now
	if gso := gsoField.in(p); gso.Type != netstack.GSONone {
		gso.MSS = uint16(now)
	}
	if board := *scoreboardField.in(p); board != nil {
		*smssField.in(board) = uint16(now)
	}
	// Counted in segments of the old size, and taken off in ones of the new.
	s.Outstanding = segments(s.Outstanding*was, now)
	s.SackedOut = segments(s.SackedOut*was, now)
	return true
}

func segments(bytes, size int) int { return (bytes + size - 1) / size }

// optionSize is what Endpoint.maxOptionSize gives: a timestamp, and as many SACK
// blocks as fit beside it.
func optionSize(ep *tcp.Endpoint) int {
	switch {
	case ep.SACKPermitted && ep.SendTSOk:
		return 12 + 4 + 3*8
	case ep.SACKPermitted:
		return 4 + 4*8
	case ep.SendTSOk:
		return 12
	default:
		return 0
	}
}
