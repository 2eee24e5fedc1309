package socketapi

import (
	"bytes"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// datagrams is what UDP and ping sockets share: every read and write is one
// message.
type datagrams struct {
	endpoint
	network       string         // "udp" or "ping"
	local, remote netip.AddrPort // remote is zero unless connected

	readTo    messageWriter // under rd.mu
	writeFrom bytes.Reader  // under wr.mu
	writeTo   tcpip.FullAddress
}

// messageWriter takes the start of a message and lets the rest go, as
// recvfrom(2) does.
type messageWriter struct {
	p []byte
	n int
}

func (w *messageWriter) Write(b []byte) (int, error) {
	w.n += copy(w.p[w.n:], b)
	return len(b), nil
}

func (c *datagrams) opErr(op string, to net.Addr, err error) error {
	if to == nil && c.remote.IsValid() {
		to = c.netAddr(c.remote)
	}
	return opErr(op, c.network, c.LocalAddr(), to, err)
}

// netAddr is ap in the type of the network.
func (c *datagrams) netAddr(ap netip.AddrPort) net.Addr {
	if c.network == "ping" {
		if !ap.Addr().IsValid() {
			ap = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
		return &net.IPAddr{IP: ap.Addr().AsSlice(), Zone: ap.Addr().Zone()}
	}
	return udpAddr(ap)
}

// receive waits for one message and copies its start to p.
func (c *datagrams) receive(p []byte) (n int, from netip.AddrPort, err error) {
	if err := c.use(); err != nil {
		return 0, from, c.opErr("read", nil, err)
	}
	defer c.done()
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	defer func() { c.readTo = messageWriter{} }()
	err = c.attempt(&c.rd, "recvfrom", func() tcpip.Error {
		c.readTo = messageWriter{p: p}
		res, err := c.ep.Read(&c.readTo, tcpip.ReadOptions{NeedRemoteAddr: true})
		if err != nil {
			return err
		}
		n, from = c.readTo.n, addrPort(c.stack, res.RemoteAddr)
		return nil
	})
	if err != nil {
		return 0, from, c.opErr("read", nil, err)
	}
	return n, from, nil
}

// send passes one message on, to the connected address if to is not valid.
func (c *datagrams) send(p []byte, to netip.AddrPort) (int, error) {
	var addr net.Addr
	if to.IsValid() {
		addr = c.netAddr(to)
	}
	if err := c.use(); err != nil {
		return 0, c.opErr("write", addr, err)
	}
	defer c.done()
	if to.IsValid() && c.remote.IsValid() {
		return 0, c.opErr("write", addr, net.ErrWriteToConnected)
	}
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	defer c.writeFrom.Reset(nil)
	var opts tcpip.WriteOptions
	if to.IsValid() {
		fa, err := fullAddress(c.stack, to)
		if err != nil {
			return 0, c.opErr("write", addr, err)
		}
		c.writeTo = fa
		opts.To = &c.writeTo
	}
	err := c.attempt(&c.wr, "sendto", func() tcpip.Error {
		c.writeFrom.Reset(p)
		_, err := c.ep.Write(&c.writeFrom, opts)
		return err
	})
	if err != nil {
		return 0, c.opErr("write", addr, err)
	}
	return len(p), nil
}

// Close ends the socket. Unread messages are dropped; calls that wait return
// net.ErrClosed, and so does a second Close.
func (c *datagrams) Close() error {
	return c.opErr("close", nil, c.close(nil))
}

// LocalAddr is our end.
func (c *datagrams) LocalAddr() net.Addr { return c.netAddr(c.local) }

// SetDeadline sets both deadlines; the zero time means none. It applies to
// calls under way too.
func (c *datagrams) SetDeadline(t time.Time) error {
	return c.opErr("set", nil, c.setDeadline(t, &c.rd, &c.wr))
}

// SetReadDeadline sets the deadline of reads.
func (c *datagrams) SetReadDeadline(t time.Time) error {
	return c.opErr("set", nil, c.setDeadline(t, &c.rd))
}

// SetWriteDeadline sets the deadline of writes.
func (c *datagrams) SetWriteDeadline(t time.Time) error {
	return c.opErr("set", nil, c.setDeadline(t, &c.wr))
}
