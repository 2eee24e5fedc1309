package socketapi

import (
	"context"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/stack"
)

// Dialer connects from a stack. Its DialContext fits http.Transport and
// everything else that takes a dial function.
type Dialer struct {
	// Stack to dial from.
	Stack *stack.Stack

	// Timeout and Deadline bound a dial, the earlier one; zero is none beyond
	// the context's and TCP's own (about two minutes of SYNs).
	Timeout  time.Duration
	Deadline time.Time

	// LocalAddr to dial from; nil lets the stack choose.
	LocalAddr net.Addr

	// KeepAlive is the idle time and interval of keepalive probes: 0 means
	// 15 s, negative switches them off.
	KeepAlive time.Duration

	// Resolver turns names into addresses; *net.Resolver is one. nil: only
	// literal addresses can be dialled. (The machine's own resolver would be
	// asked over the kernel's network, not this one.)
	Resolver Resolver
}

// Resolver looks up names. network is "ip", "ip4" or "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to address over "tcp", "tcp4", "tcp6", "udp", "udp4" or
// "udp6". The connection outlives ctx. Of a name's addresses the first that
// answers is taken.
//
// Errors: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT; an error that is
// both context.DeadlineExceeded and os.ErrDeadlineExceeded when time ran out;
// context.Canceled; *net.DNSError for a name without addresses.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	base := network
	if n := len(base); n > 0 && (base[n-1] == '4' || base[n-1] == '6') {
		base = base[:n-1]
	}
	if base != "tcp" && base != "udp" {
		return nil, opErr("dial", network, d.LocalAddr, nil, net.UnknownNetworkError(network))
	}
	f, err := familyOf(network, base)
	if err == nil && d.Stack == nil {
		err = errInvalid("socket")
	}
	if err != nil {
		return nil, opErr("dial", network, d.LocalAddr, nil, err)
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	remotes, err := d.resolve(ctx, f, address)
	if err != nil {
		return nil, opErr("dial", network, d.LocalAddr, nil, err)
	}
	var local netip.AddrPort
	if d.LocalAddr != nil {
		if local, err = netAddrPort(d.LocalAddr); err != nil {
			return nil, opErr("dial", network, d.LocalAddr, nil, err)
		}
	}
	var first error
	for _, remote := range remotes {
		c, source, err := d.dialOne(ctx, base, f, local, remote)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = opErr("dial", network, source, tcpAddr(remote), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// bound is ctx ended by the earlier of Timeout and Deadline, on the stack's
// clock.
func (d *Dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	left, clock := d.Timeout, d.Stack.Clock()
	if !d.Deadline.IsZero() {
		// One in the past still has to end the dial.
		until := max(d.Deadline.Sub(clock.Now()), 1)
		if left <= 0 || until < left {
			left = until
		}
	}
	if left <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := clock.AfterFunc(left, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// resolve gives the addresses to try, at least one.
func (d *Dialer) resolve(ctx context.Context, f family, address string) ([]netip.AddrPort, error) {
	host, port, err := splitHostPort(address)
	if err != nil {
		return nil, err
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

// dialOne connects to one address. source is our end as far as it is known.
func (d *Dialer) dialOne(ctx context.Context, base string, f family, local, remote netip.AddrPort) (_ net.Conn, source net.Addr, _ error) {
	if d.LocalAddr != nil {
		source = d.LocalAddr
	}
	if base == "udp" {
		c, err := dialUDP(d.Stack, f, local, remote)
		if err != nil {
			return nil, source, err
		}
		return c, source, nil
	}
	c, err := d.dialTCP(ctx, f, local, remote)
	if err != nil {
		return nil, source, err
	}
	return c, source, nil
}

func (d *Dialer) dialTCP(ctx context.Context, f family, local, remote netip.AddrPort) (*TCPConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, ctxErr(ctx)
	}
	to, err := fullAddress(d.Stack, remote)
	if err != nil {
		return nil, err
	}
	proto, v6only := f.local(remote.Addr())
	ep, q, err := newEndpoint(d.Stack, tcp.ProtocolNumber, proto)
	if err != nil {
		return nil, err
	}
	ep.SocketOptions().SetV6Only(v6only)
	setDefaults(ep, d.KeepAlive)
	if local.IsValid() {
		from, err := fullAddress(d.Stack, local)
		if err == nil {
			err = sysErr("bind", ep.Bind(from))
		}
		if err != nil {
			ep.Close()
			return nil, err
		}
	}
	c := &TCPConn{tcp: ep.(*tcp.Endpoint)}
	c.init(d.Stack, ep, q)
	if err := c.connect(ctx, to); err != nil {
		_ = c.Close()
		return nil, err
	}
	c.setAddrs()
	return c, nil
}

// connect runs the handshake until it ends or ctx does.
func (c *TCPConn) connect(ctx context.Context, to tcpip.FullAddress) error {
	stop := context.AfterFunc(ctx, c.wr.notify)
	defer stop()
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	for {
		// The first call sends the SYN; each later one asks how it went.
		err := c.ep.Connect(to)
		switch err.(type) {
		case nil:
			return nil
		case *tcpip.ErrConnectStarted, *tcpip.ErrAlreadyConnecting:
		default:
			if gone := ended(c.stack); gone != nil {
				return gone
			}
			return sysErr("connect", err)
		}
		if ctx.Err() != nil {
			return ctxErr(ctx)
		}
		c.wr.wait()
	}
}
