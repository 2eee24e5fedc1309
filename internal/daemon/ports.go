package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tapstack/internal/daemon/privilege"
	"tapstack/internal/proxy"
)

// ports are the host's sockets that forwards and proxies listen on. One whose
// service has ended is kept until sweep, so that another service can go on with
// it, or the same one with other settings: nobody who connects in between is
// refused, and a port below 1024 needs no privilege a second time.
//
//	Listen, ListenPacket -> take -> lease; Close of the lease -> idle; sweep -> closed
type ports struct {
	network proxy.Network // that the sockets are made in

	mu   sync.Mutex
	open map[string]*port // by network and address, but for those of port 0
}

// waiter is a socket whose waiting can be ended without closing it.
type waiter interface {
	io.Closer
	SetDeadline(t time.Time) error
}

// port is one socket. turn is held while somebody waits on it.
type port struct {
	socket waiter
	kept   bool // in ports.open
	used   bool // guarded by ports.mu
	turn   sync.Mutex
}

func newPorts(network proxy.Network) *ports {
	return &ports{network: network, open: make(map[string]*port)}
}

// side is the network for services.
func (p *ports) side() proxy.Network {
	n := p.network
	n.Listen = p.Listen
	n.ListenPacket = p.ListenPacket
	return n
}

// Listen is net.ListenConfig's.
func (p *ports) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	one, err := p.take(network, address, func() (waiter, error) {
		l, err := p.network.Listen(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return asWaiter(l)
	})
	if err != nil {
		return nil, err
	}
	return &leasedListener{Listener: one.socket.(net.Listener), lease: lease{ports: p, port: one}}, nil
}

// ListenPacket is net.ListenConfig's.
func (p *ports) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	one, err := p.take(network, address, func() (waiter, error) {
		c, err := p.network.ListenPacket(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if _, ok := c.(udpSocket); !ok {
			_ = c.Close()
			return nil, fmt.Errorf("%T is no UDP socket", c)
		}
		return asWaiter(c)
	})
	if err != nil {
		return nil, err
	}
	return &leasedSocket{udpSocket: one.socket.(udpSocket), lease: lease{ports: p, port: one}}, nil
}

func asWaiter(c io.Closer) (waiter, error) {
	w, ok := c.(waiter)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("%T has no deadline", c)
	}
	return w, nil
}

// take gives out a socket: one that is idle, or a new one.
func (p *ports) take(network, address string, open func() (waiter, error)) (*port, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := network + " " + address
	if one := p.open[key]; one != nil && !one.used && one.socket.SetDeadline(time.Time{}) == nil {
		one.used = true
		return one, nil
	}
	socket, err := open()
	if errors.Is(err, syscall.EADDRINUSE) && p.sweepLocked() {
		socket, err = open() // it was one of ours that nobody uses
	}
	if err != nil {
		return nil, explainListen(address, err)
	}
	one := &port{socket: socket, used: true}
	if ap, err := parseListen(address); err == nil && ap.Port() != 0 {
		one.kept = true
		p.open[key] = one
	}
	return one, nil
}

// explainListen says what a lack of privilege means.
func explainListen(address string, err error) error {
	op := "listen on " + address
	if !errors.Is(err, fs.ErrPermission) || privilege.Dropped() {
		return privilege.Explain(op, "CAP_NET_BIND_SERVICE", err)
	}
	return fmt.Errorf("%s: ports below 1024 take root or CAP_NET_BIND_SERVICE: %w", op, err)
}

// sweep closes what nobody uses.
func (p *ports) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked()
}

func (p *ports) sweepLocked() (some bool) {
	for key, one := range p.open {
		if !one.used {
			_ = one.socket.Close() // fails only if the network has ended
			delete(p.open, key)
			some = true
		}
	}
	return some
}

// lease is the use of a port by one service.
type lease struct {
	ports  *ports
	port   *port
	closed atomic.Bool
}

// wait runs what waits on the socket, unless the lease is over; when it gets
// over meanwhile, the error is net.ErrClosed.
func (l *lease) wait(do func() error) error {
	l.port.turn.Lock()
	defer l.port.turn.Unlock()
	if l.closed.Load() {
		return net.ErrClosed
	}
	err := do()
	if err != nil && l.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// release ends the lease. When it returns nobody waits on the socket any more.
func (l *lease) release() error {
	if l.closed.Swap(true) {
		return nil
	}
	if !l.port.kept {
		return l.port.socket.Close()
	}
	_ = l.port.socket.SetDeadline(past) // fails for one that is closed, which wakes as well
	l.port.turn.Lock()
	l.port.turn.Unlock() //nolint:staticcheck // that it could be had is what was waited for
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	l.port.used = false
	return nil
}

// leasedListener is a listener on loan.
type leasedListener struct {
	net.Listener
	lease
}

// Accept implements net.Listener.
func (l *leasedListener) Accept() (c net.Conn, err error) {
	err = l.wait(func() (err error) { c, err = l.Listener.Accept(); return err })
	return c, err
}

// Close implements net.Listener.
func (l *leasedListener) Close() error { return l.release() }

// udpSocket is what package proxy needs of a UDP socket.
type udpSocket interface {
	net.PacketConn
	ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error)
}

// leasedSocket is a UDP socket on loan.
type leasedSocket struct {
	udpSocket
	lease
}

// ReadFromUDPAddrPort is net.UDPConn's.
func (s *leasedSocket) ReadFromUDPAddrPort(p []byte) (n int, from netip.AddrPort, err error) {
	err = s.wait(func() (err error) { n, from, err = s.udpSocket.ReadFromUDPAddrPort(p); return err })
	return n, from, err
}

// WriteToUDPAddrPort is net.UDPConn's. The socket's next user must not be
// spoken for.
func (s *leasedSocket) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	return s.udpSocket.WriteToUDPAddrPort(p, to)
}

// Close implements net.PacketConn.
func (s *leasedSocket) Close() error { return s.release() }
