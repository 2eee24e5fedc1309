//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi"
)

// How the server uses tapstack's sockets, beside Read and Write.
const (
	socketsDirect     = "direct"     // gVisor's endpoints, without socketapi
	socketsAccounting = "accounting" // every connection keeps an account
	socketsZeroCopy   = "zerocopy"   // ReadChunk, and ReadFrom of something in memory
)

// listenAs listens in one of these ways.
func (n ours) listenAs(local netip.AddrPort) (net.Listener, error) {
	switch n.sockets {
	case socketsDirect:
		return n.listenDirect(local)
	case socketsAccounting:
		lc := socketapi.ListenConfig{Stack: n.Stack, Control: func(_, _ string, s *socketapi.Socket) error {
			return s.SetAccounting(true)
		}}
		return lc.Listen(context.Background(), "tcp", local.String())
	case socketsZeroCopy:
		l, err := socketapi.Listen(n.Stack, "tcp", local.String())
		return zeroCopyListener{l}, err
	default:
		return socketapi.Listen(n.Stack, "tcp", local.String())
	}
}

// mover is a connection that has its own way of moving much.
type mover interface {
	// drain reads everything and reports how much each time.
	drain(report func(n int))
	// flood writes until the peer is gone.
	flood()
}

// zeroCopyListener accepts connections that do not copy.
type zeroCopyListener struct{ *socketapi.TCPListener }

func (l zeroCopyListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return zeroCopyConn{c}, nil
}

type zeroCopyConn struct{ *socketapi.TCPConn }

func (c zeroCopyConn) drain(report func(int)) {
	for {
		chunk, err := c.ReadChunk(ioSize)
		if err != nil {
			return
		}
		report(chunk.Len())
		chunk.Release()
	}
}

func (c zeroCopyConn) flood() {
	r := bytes.NewReader(make([]byte, ioSize))
	for {
		if _, err := c.ReadFrom(r); err != nil {
			return
		}
		_, _ = r.Seek(0, io.SeekStart)
	}
}

// directListener and directConn are as little around gVisor's endpoints as
// will do: what socketapi is compared with. No deadlines, no safe Close, no
// errors worth the name.
type directListener struct {
	ep   tcpip.Endpoint
	wake chan struct{}
}

func (n ours) listenDirect(local netip.AddrPort) (net.Listener, error) {
	proto := ipv4.ProtocolNumber
	if local.Addr().Is6() {
		proto = ipv6.ProtocolNumber
	}
	var q waiter.Queue
	ep, terr := n.Netstack().NewEndpoint(tcp.ProtocolNumber, proto, &q)
	if terr != nil {
		return nil, directError(terr)
	}
	entry, wake := waiter.NewChannelEntry(waiter.ReadableEvents)
	q.EventRegister(&entry)
	if terr := ep.Bind(tcpip.FullAddress{Addr: tcpip.AddrFromSlice(local.Addr().AsSlice()), Port: local.Port()}); terr != nil {
		return nil, directError(terr)
	}
	if terr := ep.Listen(4096); terr != nil {
		return nil, directError(terr)
	}
	return &directListener{ep, wake}, nil
}

func directError(err tcpip.Error) error {
	return &net.OpError{Op: "direct", Net: "tcp", Err: textError(err.String())}
}

type textError string

func (e textError) Error() string { return string(e) }

func (l *directListener) Accept() (net.Conn, error) {
	for {
		ep, q, err := l.ep.Accept(nil)
		if _, wait := err.(*tcpip.ErrWouldBlock); wait {
			<-l.wake
			continue
		}
		if err != nil {
			return nil, directError(err)
		}
		ep.SocketOptions().SetDelayOption(false)
		c := &directConn{ep: ep}
		var in, out waiter.Entry
		in, c.readable = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp)
		out, c.writable = waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
		c.in, c.out = in, out
		q.EventRegister(&c.in)
		q.EventRegister(&c.out)
		return c, nil
	}
}

func (l *directListener) Close() error { l.ep.Close(); return nil }
func (*directListener) Addr() net.Addr { return nil }

type directConn struct {
	ep                 tcpip.Endpoint
	in, out            waiter.Entry
	readable, writable chan struct{}
	to                 tcpip.SliceWriter
	from               bytes.Reader
	closing            sync.Once
}

func (c *directConn) Read(p []byte) (int, error) {
	for {
		c.to = p
		res, err := c.ep.Read(&c.to, tcpip.ReadOptions{})
		if err == nil {
			c.ep.ModerateRecvBuf(res.Count)
			return res.Count, nil
		}
		if _, wait := err.(*tcpip.ErrWouldBlock); !wait {
			return 0, io.EOF
		}
		<-c.readable
	}
}

// directPiece is what the socket layer hands over at a time at MTU 1500, so
// that the comparison is of the layer and not of the size of frames.
const directPiece = 65_000 / 1448 * 1448

func (c *directConn) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		c.from.Reset(p[done:min(done+directPiece, len(p))])
		n, err := c.ep.Write(&c.from, tcpip.WriteOptions{})
		done += int(n)
		if _, wait := err.(*tcpip.ErrWouldBlock); wait {
			<-c.writable
		} else if err != nil {
			return done, io.ErrClosedPipe
		}
	}
	return len(p), nil
}

func (c *directConn) Close() error                     { c.closing.Do(c.ep.Close); return nil }
func (*directConn) LocalAddr() net.Addr                { return nil }
func (*directConn) RemoteAddr() net.Addr               { return nil }
func (*directConn) SetDeadline(time.Time) error        { return nil }
func (*directConn) SetReadDeadline(time.Time) error    { return nil }
func (*directConn) SetWriteDeadline(t time.Time) error { return nil }
