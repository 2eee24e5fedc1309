//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/pprof"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"tapstack/internal/proxy"
)

// What the peer can go through, to a host behind the link.
const (
	throughForward = "forward" // a port that leads to an address
	throughSOCKS5  = "socks5"
	throughHTTP    = "http" // CONNECT
)

// relay is the system under test of the workloads that go through one: it
// listens on the host's loopback and connects to the far host by a network.
type relay struct {
	target  string
	network network
	profile *os.File
}

func (r *relay) do(o order) (answer, error) {
	switch o.Op {
	case "open":
		return r.open(o)
	case "relay":
		return r.serve(o)
	case "start profile":
		f, err := startProfile(o.File)
		r.profile = f
		return answer{}, err
	case "stop profile":
		pprof.StopCPUProfile()
		return answer{}, r.profile.Close()
	}
	return answer{}, fmt.Errorf("no order %q", o.Op)
}

func (r *relay) open(o order) (a answer, err error) {
	r.target = o.Target
	if r.network, err = openNetwork(o); err == nil {
		a.Text = r.network.Describe()
	}
	return a, err
}

// serve starts a service, and answers where it listens.
func (r *relay) serve(o order) (answer, error) {
	if n, ok := r.network.(ours); ok {
		s, err := n.serve(o.Through, o.To)
		if err != nil {
			return answer{}, err
		}
		return answer{Text: s.Addr().String()}, nil
	}
	network, ok := r.network.(dialer)
	if !ok || o.Through != throughForward {
		return answer{}, fmt.Errorf("%s has no %s", r.target, o.Through)
	}
	to, err := netip.ParseAddrPort(o.To)
	if err != nil {
		return answer{}, err
	}
	// The host's loopback, whatever the network is.
	l, err := kernel{}.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return answer{}, err
	}
	go forwardNaively(l, func() (net.Conn, error) { return network.DialTCP(to) })
	return answer{Text: l.Addr().String()}, nil
}

// serve starts a service of tapstack's, as its daemon does.
func (n ours) serve(through, to string) (*proxy.Service, error) {
	o := proxy.Options{
		Name: "bench", Listen: proxy.Kernel(), Address: "127.0.0.1:0", Dial: proxy.Stack(n.Stack, nil),
	}
	switch through {
	case throughForward:
		return proxy.ForwardTCP(proxy.TCPForward{Options: o, Target: to})
	case throughSOCKS5:
		return proxy.SOCKS5(proxy.SOCKS5Config{Options: o})
	case throughHTTP:
		return proxy.HTTP(proxy.HTTPConfig{Options: o})
	}
	return nil, fmt.Errorf("no service %q", through)
}

// forwardNaively is a forward as one writes it: io.Copy both ways, which from
// one socket of the kernel's to another is splice(2).
func forwardNaively(l net.Listener, dial func() (net.Conn, error)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			t, err := dial()
			if err != nil {
				return
			}
			defer t.Close()
			back := make(chan struct{})
			go func() {
				defer close(back)
				copyAndFinish(c, t)
			}()
			copyAndFinish(t, c)
			<-back
		}()
	}
}

func copyAndFinish(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if hc, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = hc.CloseWrite() // fails only if it is closed
		return
	}
	_ = errors.Join(to.Close(), from.Close())
}

// dialer is a network that connections can be made in, for the naive forward.
type dialer interface {
	DialTCP(remote netip.AddrPort) (net.Conn, error)
}

func (kernel) DialTCP(remote netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	return d.Dial("tcp", remote.String())
}

func (n naive) DialTCP(remote netip.AddrPort) (net.Conn, error) {
	return gonet.DialTCP(n.Stack, fullAddress(remote), protocolOf(remote.Addr()))
}
