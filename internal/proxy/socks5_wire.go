package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Specification constants (RFC 1928, RFC 1929).
const (
	socksVersion = 5
	authVersion  = 1

	methodNone     = 0x00
	methodPassword = 0x02
	methodNotThere = 0xff

	cmdConnect   = 1
	cmdAssociate = 3

	addrIPv4   = 1
	addrDomain = 3
	addrIPv6   = 4
)

// reply is the REP of an answer, by the names of RFC 1928, section 6.
type reply byte

const (
	replySucceeded          reply = 0
	replyFailure            reply = 1
	replyNetworkUnreachable reply = 3
	replyHostUnreachable    reply = 4
	replyRefused            reply = 5
	replyTTLExpired         reply = 6
	replyCommand            reply = 7
	replyAddressType        reply = 8
)

// errAddressType is an ATYP there is not: nobody knows where it ends.
var errAddressType = errors.New("no such address type")

// destination is a DST.ADDR and DST.PORT: an address or a name.
type destination struct {
	addr netip.Addr // invalid: name
	name string
	port uint16
}

// String is host:port, as dial functions take it.
func (d destination) String() string {
	if d.addr.IsValid() {
		return netip.AddrPortFrom(d.addr, d.port).String()
	}
	return joinName(d.name, d.port)
}

// joinName makes host:port of a name, which may be an address in disguise.
func joinName(name string, port uint16) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return name + ":" + strconv.Itoa(int(port))
}

// readMethods reads the first message of a client: the ways to authenticate
// that it knows.
func readMethods(r io.Reader) (methods []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if head[0] != socksVersion {
		return nil, garbage("version %d, not SOCKS 5", head[0])
	}
	methods = make([]byte, head[1])
	_, err = io.ReadFull(r, methods)
	return methods, err
}

// readPassword reads a request of RFC 1929.
func readPassword(r io.Reader) (user, password string, err error) {
	var version [1]byte
	if _, err := io.ReadFull(r, version[:]); err != nil {
		return "", "", err
	}
	if version[0] != authVersion {
		return "", "", garbage("version %d of the user and password request, not 1", version[0])
	}
	if user, err = readString(r); err != nil {
		return "", "", err
	}
	password, err = readString(r)
	return user, password, err
}

// readString reads a byte with a length and that many more.
func readString(r io.Reader) (string, error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", err
	}
	b := make([]byte, n[0])
	_, err := io.ReadFull(r, b)
	return string(b), err
}

// readRequest reads what a client wants. After errAddressType command is known
// all the same.
func readRequest(r io.Reader) (command byte, dst destination, err error) {
	var head [4]byte // VER CMD RSV ATYP
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, dst, err
	}
	if head[0] != socksVersion {
		return 0, dst, garbage("version %d in a request, not 5", head[0])
	}
	dst, err = readDestination(r, head[3])
	return head[1], dst, err
}

// readDestination reads an address of the given type, and a port.
func readDestination(r io.Reader, kind byte) (dst destination, err error) {
	switch kind {
	case addrIPv4:
		var b [4]byte
		_, err = io.ReadFull(r, b[:])
		dst.addr = netip.AddrFrom4(b)
	case addrIPv6:
		var b [16]byte
		_, err = io.ReadFull(r, b[:])
		dst.addr = netip.AddrFrom16(b).Unmap()
	case addrDomain:
		dst.name, err = readString(r)
		if err == nil && !validName(dst.name) {
			err = garbage("%q is no name", dst.name)
		}
	default:
		err = fmt.Errorf("%w: %d", errAddressType, kind)
	}
	if err != nil {
		return dst, err
	}
	var port [2]byte
	_, err = io.ReadFull(r, port[:])
	dst.port = binary.BigEndian.Uint16(port[:])
	return dst, err
}

// validName keeps out of resolvers and logs what can be no host's name, nor an
// address. They have their own rules beyond that.
func validName(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	for _, b := range []byte(s) {
		if b <= ' ' || b >= 0x7f || strings.IndexByte("/@%:[]", b) >= 0 {
			return false
		}
	}
	return s != ""
}

// appendReply appends an answer, with the address that goes with it; an invalid
// one is all zeros.
func appendReply(b []byte, rep reply, bound netip.AddrPort) []byte {
	return appendAddr(append(b, socksVersion, byte(rep), 0), bound)
}

// appendAddr appends ATYP, address and port.
func appendAddr(b []byte, ap netip.AddrPort) []byte {
	a := ap.Addr().Unmap()
	switch {
	case a.Is4():
		b = append(append(b, addrIPv4), a.AsSlice()...)
	case a.Is6():
		b = append(append(b, addrIPv6), a.AsSlice()...)
	default:
		b = append(b, addrIPv4, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint16(b, ap.Port())
}

// maxDatagramHeader is the longest header of a datagram that we make: IPv6.
const maxDatagramHeader = 3 + 1 + 16 + 2

// appendDatagramHeader appends what is in front of a datagram for the client
// (RFC 1928, section 7): from is who sent it.
func appendDatagramHeader(b []byte, from netip.AddrPort) []byte {
	return appendAddr(append(b, 0, 0, 0), from)
}

// parseDatagram takes a client's datagram apart. payload is part of p.
func parseDatagram(p []byte) (dst destination, payload []byte, err error) {
	if len(p) < 4 {
		return dst, nil, io.ErrUnexpectedEOF
	}
	if p[2] != 0 {
		return dst, nil, garbage("fragment %d: fragments are not put together here", p[2])
	}
	r := bytesReader(p[4:])
	dst, err = readDestination(&r, p[3])
	return dst, r, err
}

// bytesReader is a bytes.Reader that tells what is left.
type bytesReader []byte

// Read implements io.Reader.
func (r *bytesReader) Read(p []byte) (int, error) {
	if len(*r) == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, *r)
	*r = (*r)[n:]
	return n, nil
}
