package stack

import (
	"errors"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// errUSO: a large UDP frame whose headers cannot be what it says.
var errUSO = errors.New("not an IP packet with one UDP datagram")

// cutUSO cuts a packet that holds several datagrams of size payload bytes each
// behind one header (UDP segmentation offload) into packets of one datagram,
// and gives each to deliver, which owns it. Without payload it is one empty
// datagram. pkt keeps its bytes; the pieces
// share its payload. Checksums are not made: the device has vouched for them.
func cutUSO(pkt *netstack.PacketBuffer, size int, deliver func(*netstack.PacketBuffer)) error {
	const headersMax = header.IPv4MaximumHeaderSize + header.UDPMinimumSize
	hdr, ok := pkt.Data().PullUp(min(headersMax, pkt.Data().Size()))
	if !ok {
		return errUSO
	}
	ipLen, ok := udpOffset(hdr)
	if !ok || size <= 0 {
		return errUSO
	}
	hdrLen := ipLen + header.UDPMinimumSize
	whole := pkt.Data().ToBuffer()
	defer whole.Release()
	whole.TrimFront(int64(hdrLen))
	for {
		n := min(int64(size), whole.Size())
		headers := buffer.NewViewWithData(hdr[:hdrLen])
		setLengths(headers.AsSlice(), ipLen, int(n)) // ours alone: just made
		data := whole.Clone()
		data.Truncate(n)
		whole.TrimFront(n)
		p := buffer.MakeWithView(headers)
		p.Merge(&data)
		piece := netstack.NewPacketBuffer(netstack.PacketBufferOptions{Payload: p})
		piece.PktType = pkt.PktType
		deliver(piece)
		if whole.Size() == 0 {
			return nil
		}
	}
}

// setLengths makes IP and UDP headers those of a datagram of n payload bytes.
func setLengths(b []byte, ipLen, n int) {
	udpLen := uint16(header.UDPMinimumSize + n)
	header.UDP(b[ipLen:]).SetLength(udpLen)
	if header.IPVersion(b) == header.IPv4Version {
		header.IPv4(b).SetTotalLength(uint16(ipLen) + udpLen)
		return
	}
	header.IPv6(b).SetPayloadLength(udpLen)
}

// udpOffset is where the UDP header begins in an IPv4 or IPv6 packet without
// extension headers.
func udpOffset(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, false
	}
	switch header.IPVersion(b) {
	case header.IPv4Version:
		if len(b) < header.IPv4MinimumSize {
			return 0, false
		}
		n := int(header.IPv4(b).HeaderLength())
		return n, n >= header.IPv4MinimumSize && len(b) >= n+header.UDPMinimumSize &&
			header.IPv4(b).TransportProtocol() == header.UDPProtocolNumber
	case header.IPv6Version:
		return header.IPv6MinimumSize, len(b) >= header.IPv6MinimumSize+header.UDPMinimumSize &&
			header.IPv6(b).NextHeader() == uint8(header.UDPProtocolNumber)
	}
	return 0, false
}
