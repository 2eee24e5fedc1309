package proxy

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// TestSendPROXY: the target learns who the client is.
func TestSendPROXY(t *testing.T) {
	for _, w := range worlds(t, nil) {
		for _, v := range []Version{PROXYv1, PROXYv2} {
			for family := range 2 {
				t.Run(w.name, func(t *testing.T) {
					l := w.listen(t, 0)
					s, err := ForwardTCP(TCPForward{Options: w.options(family), Target: l.Addr().String(), SendPROXY: v})
					ending(t, s, err)
					c := w.dial(t, s)
					if _, err := io.WriteString(c, "hello"); err != nil {
						t.Fatal(err)
					}
					_ = c.CloseWrite()
					r := bufio.NewReader(accept(t, l))
					h, err := proxyproto.Read(r)
					if err != nil {
						t.Fatal(err)
					}
					if h.Version != byte(v) || addrPort(h.SourceAddr) != addrPort(c.LocalAddr()) || addrPort(h.DestinationAddr) != addrPort(s.Addr()) {
						t.Errorf("version %d, from %v to %v", h.Version, h.SourceAddr, h.DestinationAddr)
					}
					if rest, err := io.ReadAll(r); string(rest) != "hello" || err != nil {
						t.Errorf("%q, %v", rest, err)
					}
				})
			}
		}
	}
}

// TestAcceptPROXY: a header is taken off, in one segment with the first bytes,
// and believed.
func TestAcceptPROXY(t *testing.T) {
	src := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711}
	dst := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 8), Port: 80}
	for _, w := range worlds(t, nil) {
		for _, v := range []byte{1, 2} {
			t.Run(w.name, func(t *testing.T) {
				l := w.listen(t, 0)
				o := w.options(0)
				o.AcceptPROXY = true
				s, err := ForwardTCP(TCPForward{Options: o, Target: l.Addr().String(), SendPROXY: PROXYv1})
				ending(t, s, err)
				head, err := proxyproto.HeaderProxyFromAddrs(v, src, dst).Format()
				if err != nil {
					t.Fatal(err)
				}
				c := w.dial(t, s)
				if _, err := c.Write(append(head, "hello"...)); err != nil {
					t.Fatal(err)
				}
				_ = c.CloseWrite()
				wantEOF(t, accept(t, l), "PROXY TCP4 203.0.113.7 203.0.113.8 4711 80\r\nhello")
				wantCount(t, s, "the bytes", func(s Snapshot) bool { return s.BytesIn == 5 })
			})
		}
	}
}

// TestBadPROXY: what has to begin with a header and does not is reset.
func TestBadPROXY(t *testing.T) {
	tlvs := string([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff")) // 65,535 bytes follow, it says
	for _, tc := range []struct {
		name, sends string
		cause       Cause
	}{
		{"none", "GET / HTTP/1.0\r\n\r\n", CauseGarbage},
		{"beginning alone", "PROXY", CauseGarbage},
		{"not an address", "PROXY TCP4 localhost localhost 1 2\r\n", CauseGarbage},
		{"endless", "PROXY TCP4 " + string(make([]byte, 1000)), CauseGarbage},
		{"huge", tlvs, CauseGarbage},
		{"nothing", "", CauseStalled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := stacks(t)
			o := w.options(0)
			o.AcceptPROXY = true
			o.Limits.Handshake = 200 * time.Millisecond
			s, err := ForwardTCP(TCPForward{Options: o, Target: w.closedPort(t)})
			ending(t, s, err)
			c := w.dial(t, s)
			_, _ = io.WriteString(c, tc.sends)
			wantReset(t, c)
			wantCount(t, s, string(tc.cause), refused(tc.cause))
		})
	}
}

func TestPROXYFrom(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.AcceptPROXY = true
	o.PROXYFrom = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	s, err := ForwardTCP(TCPForward{Options: o, Target: w.closedPort(t)})
	ending(t, s, err)
	w.wantRejected(t, s)
	wantCount(t, s, "untrusted", refused(CauseUntrusted))
	if !trusted([]netip.Prefix{peer4, peer6}, peer6.Addr()) {
		t.Error("one of two prefixes is not enough")
	}
}
