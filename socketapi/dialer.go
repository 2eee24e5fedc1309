package socketapi

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"tapstack/stack"
)

// Dialer connects from a stack. Its DialContext fits http.Transport and
// everything else that takes a dial function. Its fields are those of
// net.Dialer, and Stack.
type Dialer struct {
	// Stack to dial from.
	Stack *stack.Stack

	// Timeout and Deadline bound a dial, the earlier one; zero is none beyond
	// the context's and TCP's own (about two minutes of SYNs), negative and past
	// are over already. With more than
	// one address to try, each gets its share of what is left.
	Timeout  time.Duration
	Deadline time.Time

	// LocalAddr to dial from; nil lets the stack choose.
	LocalAddr net.Addr

	// FallbackDelay is how long IPv6 may take before IPv4 is tried beside it
	// (RFC 8305), where a name has addresses of both: 0 means 300 ms, negative
	// tries one address after the other.
	FallbackDelay time.Duration

	// KeepAlive is the idle time before keepalive probes, unless
	// KeepAliveConfig.Enable: 0 means 15 s, negative switches them off.
	KeepAlive time.Duration

	// KeepAliveConfig is all there is of keepalive.
	KeepAliveConfig net.KeepAliveConfig

	// SendAutotune and ReceiveAutotune say how far the buffers of a TCP connection
	// may grow by themselves: up to so many payload bytes, AutotuneOff not at
	// all, 0 what the stack has for all ([Socket.SetSendAutotune]). A buffer
	// begins with the stack's BufferRange.Default and is not made smaller by a
	// limit below that. Sizes set in Control are fixed.
	SendAutotune, ReceiveAutotune int

	// Resolver turns names into addresses; *net.Resolver is one. nil: only
	// literal addresses can be dialled. (The machine's own resolver would be
	// asked over the kernel's network, not this one. A net.Resolver with
	// PreferGo, and a Dial that is another Dialer's to a server's address, asks
	// over this one.)
	Resolver Resolver

	// Control, if not nil, is called with the socket before it is bound and
	// connects: the place for options, sizes of buffers among them. network is
	// "tcp4", "udp6" and so on. It is called once for every address tried.
	Control func(network, address string, s *Socket) error

	// ControlContext is Control with the dial's context. If it is not nil,
	// Control is not called.
	ControlContext func(ctx context.Context, network, address string, s *Socket) error
}

// Resolver looks up names. network is "ip", "ip4" or "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dial is DialContext without a context. Errors: as [Dialer.DialContext].
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to address over "tcp", "tcp4", "tcp6", "udp", "udp4" or
// "udp6". A port is a number, "http" or "https": there is no services file. The
// connection outlives ctx. Of a name's addresses those of the
// family that came first are tried one after the other, and those of the other
// family beside them when FallbackDelay is over; the first that answers is
// taken.
//
// Errors: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT; an error that is
// both context.DeadlineExceeded and os.ErrDeadlineExceeded when time ran out;
// context.Canceled; *net.DNSError for a name without addresses. Of several
// addresses that fail, the first one's error.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	needContext(ctx)
	k, f, err := kindOf(network)
	if err == nil && k == ping {
		err = net.UnknownNetworkError(network)
	}
	if err == nil && (d == nil || d.Stack == nil) {
		err = errInvalid("socket")
	}
	if err != nil {
		return nil, opErr("dial", network, nil, nil, err)
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	remotes, err := d.resolve(ctx, f, address)
	var local netip.AddrPort
	if err == nil && d.LocalAddr != nil {
		local, remotes, err = d.from(k, remotes)
	}
	if err != nil {
		return nil, opErr("dial", network, nil, nil, err)
	}
	a := &attempts{d: d, kind: k, family: f, network: network, local: local}
	if k == stream && d.FallbackDelay >= 0 {
		return a.race(ctx, remotes)
	}
	return a.oneByOne(ctx, remotes)
}

// bound is ctx ended by the earlier of Timeout and Deadline, on the stack's
// clock.
func (d *Dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	left := d.Timeout
	if !d.Deadline.IsZero() {
		until := d.Deadline.Sub(d.Stack.Clock().Now())
		if left == 0 || until < left {
			left = orDefault(until, -1)
		}
	}
	if left == 0 {
		return ctx, func() {}
	}
	return d.within(ctx, left)
}

// within is ctx ended after a time on the stack's clock.
func (d *Dialer) within(ctx context.Context, left time.Duration) (context.Context, context.CancelFunc) {
	end := d.Stack.Clock().NowMonotonic().Add(left)
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, endKey{}, end))
	if left <= 0 {
		cancel(context.DeadlineExceeded)
	}
	timer := d.Stack.Clock().AfterFunc(left, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// resolve gives the addresses to try, at least one.
func (d *Dialer) resolve(ctx context.Context, f family, address string) ([]netip.AddrPort, error) {
	host, port, err := splitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return nil, &net.AddrError{Err: "missing host: a stack has no loopback", Addr: address}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !f.takes(a) {
			return nil, &net.AddrError{Err: "no suitable address", Addr: host}
		}
		return []netip.AddrPort{netip.AddrPortFrom(a, port)}, nil
	}
	if d.Resolver == nil {
		return nil, &net.DNSError{Err: "no resolver: only literal addresses can be dialled", Name: host, IsNotFound: true}
	}
	ipNetwork := map[family]string{anyFamily: "ip", onlyIPv4: "ip4", onlyIPv6: "ip6"}[f]
	addrs, err := d.Resolver.LookupNetIP(ctx, ipNetwork, host)
	if err != nil {
		if ctx.Err() != nil {
			return nil, waitErr(ctx)
		}
		return nil, err
	}
	var out []netip.AddrPort
	for _, a := range addrs {
		if f.takes(a) {
			out = append(out, netip.AddrPortFrom(a.Unmap(), port))
		}
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

// from reads LocalAddr and leaves those remote addresses that can be dialled from
// there.
func (d *Dialer) from(k kind, remotes []netip.AddrPort) (netip.AddrPort, []netip.AddrPort, error) {
	if want := map[kind]string{stream: "tcp", datagram: "udp"}[k]; d.LocalAddr.Network() != want {
		return netip.AddrPort{}, nil, &net.AddrError{Err: "not an address of " + want, Addr: d.LocalAddr.String()}
	}
	local, err := netAddrPort(d.LocalAddr)
	if err != nil || !local.Addr().IsValid() || local.Addr().Unmap().IsUnspecified() {
		return netip.AddrPortFrom(netip.Addr{}, local.Port()), remotes, err
	}
	is4 := local.Addr().Unmap().Is4()
	var out []netip.AddrPort
	for _, r := range remotes {
		if r.Addr().Unmap().Is4() == is4 {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return local, nil, &net.AddrError{Err: "no suitable address", Addr: d.LocalAddr.String()}
	}
	return local, out, nil
}

// one connects to one address. source is our end as far as it is known.
func (a *attempts) one(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	var (
		c   net.Conn
		err error
	)
	switch {
	case ctx.Err() != nil:
		err = waitErr(ctx)
	case a.kind == datagram:
		c, err = a.udp(ctx, remote)
	default:
		c, err = a.tcp(ctx, remote)
	}
	if err == nil {
		return c, nil
	}
	addr := net.Addr(tcpAddr(remote))
	if a.kind == datagram {
		addr = udpAddr(remote)
	}
	return nil, opErr("dial", a.network, a.d.LocalAddr, addr, err)
}

func (a *attempts) udp(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	c := &UDPConn{datagrams{network: "udp"}}
	if err := a.open(ctx, &c.so, remote); err != nil {
		return nil, err
	}
	if err := c.so.Connect(remote); err != nil {
		_ = c.so.Close()
		return nil, inCall("connect", err)
	}
	c.remote = remote
	c.opened()
	return c, nil
}

func (a *attempts) tcp(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	c := &TCPConn{}
	if err := a.open(ctx, &c.so, remote); err != nil {
		return nil, err
	}
	c.register()
	if err := c.connect(ctx, remote); err != nil {
		_ = c.close(nil)
		return nil, err
	}
	c.setAddrs(remote)
	return c, nil
}

// open makes and binds the socket for one address.
func (a *attempts) open(ctx context.Context, so *Socket, remote netip.AddrPort) error {
	if err := so.open(a.d.Stack, a.kind, a.family.local(remote.Addr())); err != nil {
		return inCall("socket", err)
	}
	// With a port of the stack's choice it stands for Linux's way to choose: one
	// port serves connections to many peers.
	reuse := a.local.Port() == 0
	err := prepare(so, connDefaults(reuse, a.d.KeepAlive, a.d.KeepAliveConfig, a.d.SendAutotune, a.d.ReceiveAutotune), a.d.control(ctx), remote.String())
	if err == nil && (a.local.Addr().IsValid() || a.local.Port() != 0) {
		err = inCall("bind", so.Bind(a.local))
	}
	if err != nil {
		_ = so.Close()
	}
	return err
}

// control is the application's hook, nil for none.
func (d *Dialer) control(ctx context.Context) func(string, string, *Socket) error {
	if d.ControlContext == nil {
		return d.Control
	}
	return func(network, address string, s *Socket) error { return d.ControlContext(ctx, network, address, s) }
}

// connect runs the handshake until it ends or ctx does.
func (c *TCPConn) connect(ctx context.Context, remote netip.AddrPort) error {
	stop := context.AfterFunc(ctx, c.wr.notify)
	defer stop()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	for {
		// The first call sends the SYN; each later one asks how it went.
		err := c.so.Connect(remote)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINPROGRESS), errors.Is(err, syscall.EALREADY):
		default:
			return inCall("connect", err)
		}
		if ctx.Err() != nil {
			return waitErr(ctx)
		}
		c.wr.wait()
	}
}
