package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Config is what a Resolver knows.
type Config struct {
	// Hosts has the addresses of names, which are in lower case and without a
	// dot at the end. A name that is here is not asked for.
	Hosts map[string][]netip.Addr

	// Servers are asked one after the other, until one knows.
	Servers []netip.AddrPort
}

// Implementation constants: how long a server may take, and how often all of
// them are asked.
const (
	serverTime = 3 * time.Second
	rounds     = 2
)

// Resolver looks names up. Its methods are safe for concurrent use.
type Resolver struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	cfg  atomic.Pointer[Config]
	wait time.Duration
}

// New makes a resolver that reaches its servers by dial, which is called with
// "udp" or "tcp" and an address.
func New(dial func(ctx context.Context, network, address string) (net.Conn, error), cfg Config) *Resolver {
	r := &Resolver{dial: dial, wait: serverTime}
	r.Set(cfg)
	return r
}

// Set replaces what the resolver knows, for lookups from now on. cfg is the
// resolver's from then on.
func (r *Resolver) Set(cfg Config) { r.cfg.Store(&cfg) }

// Knows reports whether name could be looked up at all: it is an address, in
// the table, or there is a server to ask.
func (c *Config) Knows(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	_, ok := c.Hosts[canonical(name)]
	return ok || len(c.Servers) > 0
}

// LookupNetIP returns the addresses of host, which may be one itself. network
// is "ip", "ip4" or "ip6". IPv4's come first.
//
// Errors: *net.DNSError, with IsNotFound where a server or the table says that
// there is no such name or no address of that family, IsTimeout where no server
// answers; ctx's own.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	want, ok := families[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return choose([]netip.Addr{a.Unmap()}, want, host)
	}
	cfg := r.cfg.Load()
	name := canonical(host)
	if addrs, ok := cfg.Hosts[name]; ok {
		return choose(addrs, want, host)
	}
	if len(cfg.Servers) == 0 {
		return nil, &net.DNSError{Err: "not in [hosts], and [dns] has no servers to ask", Name: host, IsNotFound: true}
	}
	q, err := dnsmessage.NewName(name + ".")
	if err != nil || !valid(name) {
		return nil, &net.DNSError{Err: "no host's name", Name: host, IsNotFound: true}
	}
	return r.ask(ctx, cfg.Servers, host, q, want)
}

// family is which addresses are wanted.
type family struct{ v4, v6 bool }

var families = map[string]family{"ip": {true, true}, "ip4": {v4: true}, "ip6": {v6: true}}

// choose takes the addresses of the families wanted.
func choose(addrs []netip.Addr, want family, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, a := range addrs {
		if a.Is4() && want.v4 || a.Is6() && want.v6 {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no address of that family", Name: host, IsNotFound: true}
	}
	return out, nil
}

// ask asks for both families at the same time, as far as they are wanted. One
// that fails does not matter if the other has addresses.
func (r *Resolver) ask(ctx context.Context, servers []netip.AddrPort, host string, name dnsmessage.Name, want family) ([]netip.Addr, error) {
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	var kinds []dnsmessage.Type
	if want.v4 {
		kinds = append(kinds, dnsmessage.TypeA)
	}
	if want.v6 {
		kinds = append(kinds, dnsmessage.TypeAAAA)
	}
	answers := make([]chan answer, len(kinds))
	for i, kind := range kinds {
		answers[i] = make(chan answer, 1)
		go func() {
			addrs, err := r.query(ctx, servers, host, dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET})
			answers[i] <- answer{addrs, err}
		}()
	}
	var out []netip.Addr
	var first error
	for _, c := range answers {
		a := <-c
		out = append(out, a.addrs...)
		if notFound(first) || first == nil {
			first = a.err // a server that is silent says more than one that knows of nothing
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case first == nil:
		first = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return nil, first
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// query puts one question to the servers until one knows.
func (r *Resolver) query(ctx context.Context, servers []netip.AddrPort, host string, q dnsmessage.Question) ([]netip.Addr, error) {
	var last error
	for range rounds {
		for _, server := range servers {
			addrs, err := r.exchange(ctx, server, q)
			if err == nil {
				return addrs, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			e := &net.DNSError{Err: err.Error(), Name: host, Server: server.String(), UnwrapErr: err}
			var timeout net.Error
			switch {
			case errors.Is(err, errNoName):
				e.IsNotFound = true
				return nil, e
			case errors.As(err, &timeout) && timeout.Timeout():
				e.Err, e.IsTimeout, e.IsTemporary = "no answer", true, true
			default:
				e.IsTemporary = true
			}
			last = e
		}
	}
	return nil, last
}

// canonical is a name as the table has it.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Valid reports whether name can be a host's: labels of 1 to 63 letters, digits,
// hyphens and underscores, 253 bytes in all (RFC 1035, 2.3.4; underscores are
// there in practice).
func Valid(name string) bool { return valid(canonical(name)) }

func valid(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
