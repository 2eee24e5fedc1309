package socketapi

import (
	"context"
	"net"
	"net/netip"
	"time"

	"tapstack/stack"
)

// ListenConfig listens on addresses of a stack. Its fields are those of
// net.ListenConfig, and Stack. The zero value of the others is what [Listen]
// and [ListenUDP] do.
type ListenConfig struct {
	// Stack to listen on.
	Stack *stack.Stack

	// Control, if not nil, is called with the socket before it is bound: the
	// place for options. What it sets on a TCP socket, sizes of buffers among
	// it, holds on accepted connections too. network is "tcp4", "udp6" and so
	// on: the family that the socket has.
	Control func(network, address string, s *Socket) error

	// KeepAlive is the idle time before keepalive probes of accepted
	// connections, unless KeepAliveConfig.Enable: 0 means 15 s, negative
	// switches them off.
	KeepAlive time.Duration

	// KeepAliveConfig is all there is of keepalive.
	KeepAliveConfig net.KeepAliveConfig

	// SendAutotune and ReceiveAutotune say how far the buffers of accepted connections
	// may grow by themselves: up to so many payload bytes, AutotuneOff not at
	// all, 0 what the stack has for all ([Socket.SetSendAutotune]). A buffer
	// begins with the stack's BufferRange.Default and is not made smaller by a
	// limit below that. Sizes set in Control are fixed.
	SendAutotune, ReceiveAutotune int

	// Backlog bounds the connections that wait for Accept; 0 is 4,096.
	Backlog int
}

// Listen is ListenTCP for whoever wants a net.Listener. Errors: as of [Listen];
// whatever Control returns; the error of a ctx that has ended.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := lc.ListenTCP(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ListenTCP announces on a local address (see [Listen]). Nothing in it waits:
// ctx is only asked whether it has ended. Errors: as of [Listen]; whatever
// Control returns; the error of a ctx that has ended.
func (lc *ListenConfig) ListenTCP(ctx context.Context, network, address string) (*TCPListener, error) {
	l := &TCPListener{}
	ap, err := lc.open(ctx, &l.so, stream, network, address)
	if err == nil {
		err = lc.listen(&l.so)
	}
	if err != nil {
		var at net.Addr
		if ap.IsValid() || ap.Port() != 0 {
			at = tcpAddr(ap)
		}
		return nil, opErr("listen", network, nil, at, err)
	}
	l.register()
	if local, err := l.so.ep.GetLocalAddress(); err == nil {
		l.addr = tcpAddr(l.so.localAddrPort(local))
	}
	return l, nil
}

// listen makes a bound socket listen, or closes it.
func (lc *ListenConfig) listen(so *Socket) error {
	backlog := lc.Backlog
	if backlog <= 0 {
		backlog = somaxconn
	}
	if err := so.Listen(backlog); err != nil {
		_ = so.Close()
		return inCall("listen", err)
	}
	return nil
}

// ListenPacket is ListenUDP for whoever wants a net.PacketConn. Errors: as of
// [ListenUDP]; whatever Control returns; the error of a ctx that has ended.
func (lc *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := lc.ListenUDP(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ListenUDP opens a socket on a local address (see [ListenUDP]). Nothing in it
// waits: ctx is only asked whether it has ended. Errors: as of [ListenUDP];
// whatever Control returns; the error of a ctx that has ended.
func (lc *ListenConfig) ListenUDP(ctx context.Context, network, address string) (*UDPConn, error) {
	c := &UDPConn{datagrams{network: "udp"}}
	ap, err := lc.open(ctx, &c.so, datagram, network, address)
	if err != nil {
		var at net.Addr
		if ap.IsValid() || ap.Port() != 0 {
			at = udpAddr(ap)
		}
		return nil, opErr("listen", network, nil, at, err)
	}
	c.opened()
	return c, nil
}

// open makes a socket and binds it. The address is returned as far as it could
// be read, also with an error; the socket is closed then.
func (lc *ListenConfig) open(ctx context.Context, so *Socket, k kind, network, address string) (netip.AddrPort, error) {
	needContext(ctx)
	if err := ctx.Err(); err != nil {
		return netip.AddrPort{}, err
	}
	got, f, err := kindOf(network)
	if err == nil && got != k {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return netip.AddrPort{}, err
	}
	ap, err := parseLocal(f, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return ap, lc.openAt(so, k, f.local(ap.Addr()), ap)
}

// openAt makes a socket and binds it, or closes it.
func (lc *ListenConfig) openAt(so *Socket, k kind, f family, ap netip.AddrPort) error {
	if lc == nil || lc.Stack == nil {
		return errInvalid("socket")
	}
	if err := so.open(lc.Stack, k, f); err != nil {
		return inCall("socket", err)
	}
	err := prepare(so, connDefaults(true, lc.KeepAlive, lc.KeepAliveConfig, lc.SendAutotune, lc.ReceiveAutotune), lc.Control, so.localText(ap))
	if err == nil {
		err = inCall("bind", so.Bind(ap))
	}
	if err != nil {
		_ = so.Close()
	}
	return err
}

// localText is an address to bind to as hooks are told of it, which is how
// package net writes it: ":80" is any address.
func (so *Socket) localText(ap netip.AddrPort) string {
	if !ap.Addr().IsValid() {
		return netip.AddrPortFrom(so.anyAddr(), ap.Port()).String()
	}
	return ap.String()
}

// prepare sets what package net sets on a socket before it is bound, then lets
// the application set what it wants.
func prepare(so *Socket, forStreams []setting, control func(string, string, *Socket) error, address string) error {
	settings := []setting{{option: SO_BROADCAST, value: 1}}
	if so.kind == stream {
		settings = forStreams
	}
	for _, s := range settings {
		if err := so.apply(s); err != nil {
			return inCall("setsockopt", err)
		}
	}
	if control == nil {
		return nil
	}
	network := map[kind]string{stream: "tcp", datagram: "udp", ping: "ping"}[so.kind] + map[bool]string{true: "6", false: "4"}[so.v6]
	return control(network, address, so)
}

// connDefaults are what every TCP connection of package net has: no Nagle, and
// keepalive. reuse is SO_REUSEADDR. A listener has it, so that a restarted
// server need not wait for the TIME-WAITs of its predecessor; gVisor then allows
// one more thing that Linux does not, hence overlaps.
func connDefaults(reuse bool, idle time.Duration, cfg net.KeepAliveConfig, send, receive int) []setting {
	out := []setting{{option: TCP_NODELAY, value: 1}, {option: SO_REUSEADDR, value: b2i(reuse)}}
	if send != 0 {
		out = append(out, setting{apply: func(so *Socket) error { return so.SetSendAutotune(send) }})
	}
	if receive != 0 {
		out = append(out, setting{apply: func(so *Socket) error { return so.SetReceiveAutotune(receive) }})
	}
	switch {
	case cfg.Enable:
		return append(out, keepAlive(cfg)...)
	case idle < 0:
		return out
	}
	return append(out, keepAlive(net.KeepAliveConfig{Enable: true, Idle: idle})...)
}
