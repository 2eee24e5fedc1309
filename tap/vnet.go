package tap

import "encoding/binary"

// The virtio-net header that precedes every frame on an offload queue
// (virtio 1.2, 5.1.6; linux/virtio_net.h). All fields are little-endian: the
// queue asks the kernel for that, whatever the machine is.
//
//	0      1         2        4         6           8
//	flags  gso_type  hdr_len  gso_size  csum_start  csum_offset
const vnetHdrLen = 10

// Specification constants.
const (
	vnetNeedsCsum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	vnetDataValid = 2 // VIRTIO_NET_HDR_F_DATA_VALID

	vnetGSONone  = 0
	vnetGSOTCPv4 = 1
	vnetGSOTCPv6 = 4
	vnetGSOUDPL4 = 5
	vnetGSOECN   = 0x80
)

// encodeVnet writes o's header to b, which has vnetHdrLen bytes.
func encodeVnet(b []byte, o Offload) {
	_ = b[vnetHdrLen-1]
	b[0], b[1] = 0, vnetGSONone
	if o.NeedsCsum {
		b[0] |= vnetNeedsCsum
	}
	if o.CsumValid {
		b[0] |= vnetDataValid
	}
	switch o.GSO {
	case GSOTCPv4:
		b[1] = vnetGSOTCPv4
	case GSOTCPv6:
		b[1] = vnetGSOTCPv6
	case GSOUDP:
		b[1] = vnetGSOUDPL4
	case GSONone:
	}
	if o.ECN {
		b[1] |= vnetGSOECN
	}
	binary.LittleEndian.PutUint16(b[2:], o.HdrLen)
	binary.LittleEndian.PutUint16(b[4:], o.GSOSize)
	binary.LittleEndian.PutUint16(b[6:], o.CsumStart)
	binary.LittleEndian.PutUint16(b[8:], o.CsumOffset)
}

// decodeVnet reads a header from b, which has vnetHdrLen bytes. A GSO type
// that nobody has asked for (UFO) is an error; whether the rest fits the frame
// is Check's affair.
func decodeVnet(b []byte) (o Offload, bad *frameError) {
	_ = b[vnetHdrLen-1]
	o.NeedsCsum = b[0]&vnetNeedsCsum != 0
	o.CsumValid = b[0]&vnetDataValid != 0
	switch t := b[1] &^ vnetGSOECN; t {
	case vnetGSONone:
	case vnetGSOTCPv4:
		o.GSO = GSOTCPv4
	case vnetGSOTCPv6:
		o.GSO = GSOTCPv6
	case vnetGSOUDPL4:
		o.GSO = GSOUDP
	default:
		return Offload{}, badFrame(causeOffload, "GSO type %d is unknown", t)
	}
	o.ECN = b[1]&vnetGSOECN != 0
	if o.GSO != GSONone {
		o.GSOSize = binary.LittleEndian.Uint16(b[4:])
	}
	o.HdrLen = binary.LittleEndian.Uint16(b[2:])
	if o.NeedsCsum {
		o.CsumStart = binary.LittleEndian.Uint16(b[6:])
		o.CsumOffset = binary.LittleEndian.Uint16(b[8:])
	}
	return o, nil
}
