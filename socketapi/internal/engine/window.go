package engine

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// OpenRemainder keeps ep's receive window from ending below what the window
// scale can express, with ep's lock taken; OpenRemainderLocked is for a function
// given to [Watch].
//
// gVisor never takes back what it has advertised, but it rounds: a window of
// 115 bytes with a scale of 7 is advertised as none, though the peer was told of
// those bytes before and may have sent them. Then it refuses them (RFC 9293,
// 3.8.6 asks for the opposite), and with them, by their sequence numbers, every
// segment of the peer's until there is a window again, without looking at what
// they acknowledge (receiver.acceptable; 3.10.7.4 wants valid ACKs accepted with
// a window of zero). An application that reads only once it has written, such as
// an echo, then waits for ever: what it wrote is never acknowledged.
//
// So such a remainder is made the smallest window that there is, which is less
// than 16 KiB and usually 128 bytes more than was said. This can go when gVisor
// rounds up, or accepts ACKs at any window.
func OpenRemainder(ep *tcp.Endpoint) {
	lock(ep)
	defer unlock(ep)
	OpenRemainderLocked(ep)
}

// OpenRemainderLocked is OpenRemainder for whoever holds ep's lock.
func OpenRemainderLocked(ep *tcp.Endpoint) {
	rcv := *rcvField.in(unsafe.Pointer(ep))
	if rcv == nil {
		return
	}
	wnd, scale := rcvWndField.in(rcv), receiverField.in(rcv).RcvWndScale
	if *wnd > 0 && *wnd>>scale == 0 {
		*wnd = seqnum.Size(1) << scale
	}
}
