package tap

// vlanLen is the length of an 802.1Q tag, which Linux lets a frame have on top
// of the MTU (is_skb_forwardable, packet_extra_vlan_len_allowed).
const vlanLen = 4

// checkFrame is check of the frame of n bytes that bufs begin with, which a tag
// may make longer than the MTU allows.
func (o Offload) checkFrame(bufs [][]byte, n, mtu int, dev Offloads) *frameError {
	bad := o.check(n, mtu, dev)
	if bad != nil && bad.cause == causeTooLarge && tagged(bufs) {
		return o.check(n, mtu+vlanLen, dev)
	}
	return bad
}

// tagged reports whether the frame that bufs begin with, which has a whole
// Ethernet header, is one of 802.1Q or 802.1ad.
func tagged(bufs [][]byte) bool {
	var header [EthernetHeaderLen]byte
	got := 0
	for _, b := range bufs {
		if got += copy(header[got:], b); got == len(header) {
			break
		}
	}
	kind := [2]byte(header[12:])
	return kind == [2]byte{0x81, 0x00} || kind == [2]byte{0x88, 0xa8}
}
