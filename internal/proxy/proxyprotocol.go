package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Version is one of the PROXY protocol, by which a proxy tells who
// its client is in front of a connection's bytes
// (haproxy.org/download/3.4/doc/proxy-protocol.txt).
type Version uint8

// The versions: none, text, binary.
const (
	NoPROXY Version = iota
	PROXYv1
	PROXYv2
)

// readPROXY takes the header that a connection has to begin with, and the
// addresses in it, but for those of a LOCAL or UNKNOWN one: that is the proxy's
// own connection.
func (c *session) readPROXY(r *bufio.Reader) error {
	if from := addrPort(c.client.RemoteAddr()).Addr(); !trusted(c.svc.opt.PROXYFrom, from) {
		return refuse(CauseUntrusted, fmt.Errorf("%v may not send PROXY headers", from))
	}
	h, err := proxyproto.Read(r)
	if err != nil {
		return refuse(proxyCause(err), err)
	}
	if src, dst, ok := h.TCPAddrs(); ok && h.Command == proxyproto.PROXY {
		c.from, c.to = src, dst
	}
	return nil
}

// proxyCause is why there is no header: nothing came, or something else.
func proxyCause(err error) Cause {
	var netErr interface{ Timeout() bool }
	if errors.As(err, &netErr) && !netErr.Timeout() {
		return CauseGone
	}
	if errors.As(err, &netErr) {
		return CauseStalled
	}
	return CauseGarbage
}

func trusted(from []netip.Prefix, a netip.Addr) bool {
	for _, p := range from {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return len(from) == 0
}

// header is the PROXY header to send to a target, nil for none.
func (c *session) header(v Version) ([]byte, error) {
	if v == NoPROXY {
		return nil, nil
	}
	return proxyproto.HeaderProxyFromAddrs(byte(v), c.from, c.to).Format()
}
