package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"tapstack/socketapi"
)

// pour copies n bytes from one end to the other, and wants them all.
func pour(b *testing.B, from, to net.Conn) {
	const piece = 256 << 10
	out, in := make([]byte, piece), make([]byte, piece)
	done := make(chan int64, 1)
	b.SetBytes(piece)
	b.ReportAllocs()
	n := int64(0)
	first := true
	for b.Loop() {
		if first {
			first = false
			go func() {
				n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{to}, in)
				done <- n
			}()
		}
		k, err := from.Write(out)
		n += int64(k)
		if err != nil {
			b.Fatal(err)
		}
	}
	_ = from.(conn).CloseWrite()
	if got := <-done; got != n {
		b.Fatalf("%d of %d bytes", got, n)
	}
}

// BenchmarkForward is the throughput of every kind of relay between the kernel
// and a stack on a TAP, beside the same stack's without one: up is from the
// program to the target, which for a stack is sending.
func BenchmarkForward(b *testing.B) {
	p := newPrivate(b)
	direct := func(b *testing.B) (kernel, ours net.Conn) {
		l, err := p.stack.Listen(within(b), "tcp", "10.1.0.2:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		kernel, err = p.DialContext(within(b), "tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		ours, err = l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { kernel.Close(); ours.Close() })
		return kernel, ours
	}
	b.Run("direct/kernel to stack", func(b *testing.B) { kernel, ours := direct(b); pour(b, kernel, ours) })
	b.Run("direct/stack to kernel", func(b *testing.B) { kernel, ours := direct(b); pour(b, ours, kernel) })

	for _, kind := range []string{"forward in", "forward out", "socks5", "http"} {
		for _, up := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/%s", kind, map[bool]string{true: "up", false: "down"}[up]), func(b *testing.B) {
				client, target := p.relayed(b, kind)
				if up {
					pour(b, client, target)
				} else {
					pour(b, target, client)
				}
			})
		}
	}
}

// relayed is a connection of the kernel's to itself, through a stack and a
// service.
func (p *private) relayed(b *testing.B, kind string) (client, target net.Conn) {
	o, at := p.in(), "10.1.0.1:0"
	if kind == "forward out" {
		o, at = p.out(), "127.0.0.1:0"
	}
	l, err := p.Listen("tcp", at)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	to := l.Addr().String()
	var s *Service
	switch kind {
	case "socks5":
		s, err = SOCKS5(SOCKS5Config{Options: o})
	case "http":
		s, err = HTTP(HTTPConfig{Options: o})
	default:
		s, err = ForwardTCP(TCPForward{Options: o, Target: to})
	}
	ending(b, s, err)
	if client, err = p.DialContext(within(b), "tcp", s.Addr().String()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	switch kind {
	case "socks5":
		_, _ = client.Write(appendAddr([]byte{5, 1, 0, 5, 1, 0}, netip.MustParseAddrPort(to)))
		if _, err := io.ReadFull(client, make([]byte, 12)); err != nil {
			b.Fatal(err)
		}
	case "http":
		_, _ = fmt.Fprintf(client, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", to)
		if code, _ := status(b, bufio.NewReader(client)); code != http.StatusOK {
			b.Fatal(code)
		}
	}
	if target, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { target.Close() })
	return client, target
}

// BenchmarkRoundTrip is 64 bytes to an echo and back, through a forward and
// without.
func BenchmarkRoundTrip(b *testing.B) {
	p := newPrivate(b)
	run := func(b *testing.B, c, echo net.Conn) {
		go func() { _, _ = io.Copy(echo, struct{ io.Reader }{echo}) }()
		msg := make([]byte, 64)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(msg); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, msg); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("direct", func(b *testing.B) {
		l, err := p.stack.Listen(within(b), "tcp", "10.1.0.2:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		c, err := p.DialContext(within(b), "tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		echo, err := l.(*socketapi.TCPListener).AcceptTCP()
		if err != nil {
			b.Fatal(err)
		}
		defer echo.Close()
		run(b, c, echo)
	})
	b.Run("forward", func(b *testing.B) { c, echo := p.relayed(b, "forward in"); run(b, c, echo) })
}
