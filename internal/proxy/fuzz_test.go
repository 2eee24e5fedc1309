package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// FuzzSOCKS5Request reads all that a client of SOCKS 5 can send before it is
// connected. What was read has to be what was sent.
func FuzzSOCKS5Request(f *testing.F) {
	for _, seed := range []string{
		"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
		"\x05\x02\x00\x02\x01\x03ann\x06secret\x05\x01\x00\x03\x0etarget.example\x01\xbb",
		"\x05\x01\x02\x01\x00\x00\x05\x03\x00\x04" + strings.Repeat("\x20", 16) + "\x00\x00",
		"\x05\x00", "\x04\x01\x00\x50", "\x05\xff" + strings.Repeat("\x02", 255),
		"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", "\x05\x01\x00\x05\x01\x00\x02",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := bytes.NewReader(sent)
		methods, err := readMethods(r)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(sent, append([]byte{5, byte(len(methods))}, methods...)) {
			t.Fatalf("methods %v of %q", methods, sent)
		}
		if bytes.Contains(methods, []byte{methodPassword}) {
			user, password, err := readPassword(r)
			if err != nil {
				return
			}
			if len(user) > 255 || len(password) > 255 {
				t.Fatalf("%d and %d bytes", len(user), len(password))
			}
		}
		command, dst, err := readRequest(r)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(dst.String())
		if err != nil || port != strconv.Itoa(int(dst.port)) {
			t.Fatalf("command %d to %q, port %d: %v", command, dst, dst.port, err)
		}
		if dst.addr.IsValid() && netip.MustParseAddr(host) != dst.addr {
			t.Fatalf("%v became %q", dst.addr, host)
		}
	})
}

// FuzzSOCKS5Datagram takes datagrams apart, and puts together again those that
// go to an address.
func FuzzSOCKS5Datagram(f *testing.F) {
	for _, seed := range []string{
		"\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x35payload",
		"\x00\x00\x00\x03\x0etarget.example\x00\x35payload",
		"\x00\x00\x00\x04" + strings.Repeat("\x20", 16) + "\x00\x35",
		"\x00\x00\x01\x01\x7f\x00\x00\x01\x00\x35", "", "\x00\x00\x00", "\x00\x00\x00\x03\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		dst, payload, err := parseDatagram(p)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(p, payload) || len(payload) > len(p)-7 {
			t.Fatalf("payload %q of %q", payload, p)
		}
		if !dst.addr.IsValid() {
			if !validName(dst.name) {
				t.Fatalf("name %q", dst.name)
			}
			return
		}
		head := appendDatagramHeader(nil, netip.AddrPortFrom(dst.addr, dst.port))
		if len(head) > maxDatagramHeader {
			t.Fatalf("a header of %d bytes", len(head))
		}
		again, rest, err := parseDatagram(append(head, payload...))
		if err != nil || again != dst || !bytes.Equal(rest, payload) {
			t.Fatalf("%v, %q became %v, %q: %v", dst, payload, again, rest, err)
		}
	})
}

// fakeConn is a client that has sent what it has, and a FIN.
type fakeConn struct {
	net.Conn // none: what is not here is not called
	io.Reader
}

func (c fakeConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }
func (fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(peer4.Addr(), 1))
}

// FuzzPROXYHeader has a session take a header off. What follows has to stay,
// and the header has to say again what was read.
func FuzzPROXYHeader(f *testing.F) {
	v2, err := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.AddrPortFrom(peer6.Addr(), 1)), net.TCPAddrFromAddrPort(netip.AddrPortFrom(ours6.Addr(), 2))).Format()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nrest", "PROXY TCP6 ::1 ::2 1 65535\r\n", "PROXY UNKNOWN\r\n", "PROXY", "",
		string(v2) + "rest", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		s := newService("fuzz", "", &Options{})
		defer s.kill()
		c := &session{svc: s, client: fakeConn{Reader: bytes.NewReader(sent)}}
		r := bufio.NewReaderSize(c.client, 4<<10)
		if err := c.readPROXY(r); err != nil {
			if cause := causeOf(err); cause != CauseGarbage {
				t.Fatalf("%v", err)
			}
			return
		}
		rest, err := io.ReadAll(r)
		if err != nil || !bytes.HasSuffix(sent, rest) || len(rest) == len(sent) {
			t.Fatalf("%q left %q, %v", sent, rest, err)
		}
		if c.from == nil {
			return // a connection of the proxy's own
		}
		from, to := addrPort(c.from), addrPort(c.to)
		if !from.IsValid() || !to.IsValid() {
			t.Fatalf("from %v to %v", c.from, c.to)
		}
		if from.Addr().Is4() != to.Addr().Is4() {
			return // one of them IPv4 in IPv6: not said the same way again
		}
		for _, v := range []Version{PROXYv1, PROXYv2} {
			head, err := c.header(v)
			if err != nil {
				t.Fatal(err)
			}
			h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(head)))
			if err != nil || addrPort(h.SourceAddr) != from || addrPort(h.DestinationAddr) != to {
				t.Fatalf("%v -> %v became %q: %v", from, to, head, err)
			}
		}
	})
}

// FuzzCONNECT reads a request as the proxy gets it from net/http, and where it
// asks to be connected to.
func FuzzCONNECT(f *testing.F) {
	for _, seed := range []string{
		"target.example:443", "192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%25eth0]:80", "x:0", "x:65536", ":80", "a b:80",
		"user@host:80", "http://x:80/", "x:80 HTTP/1.1\r\nProxy-Authorization: Basic YTpi",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("CONNECT " + authority + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			return
		}
		_ = (&web{auth: Users(nil)}).allowed(r)
		to, err := connectTarget(r.RequestURI)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			t.Fatalf("%q became %q: %v", r.RequestURI, to, err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " /@\r\n\x00") {
			t.Fatalf("%q became %q", r.RequestURI, to)
		}
	})
}
