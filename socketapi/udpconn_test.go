package socketapi_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
)

func TestUDP(t *testing.T) {
	a, b := pair(t, nil)
	for name, addr := range map[string]netip.Addr{"IPv4": b4.Addr(), "IPv6": b6.Addr()} {
		t.Run(name, func(t *testing.T) {
			server, err := socketapi.ListenUDP(b, "udp", netip.AddrPortFrom(addr, 0).String())
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			conn, err := (&socketapi.Dialer{Stack: a}).Dial("udp", server.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			deadline := time.Now().Add(20 * time.Second)
			_ = server.SetDeadline(deadline)
			_ = conn.SetDeadline(deadline)

			// The first datagram waits for the neighbour's address, and those
			// behind it may overtake it.
			buf := make([]byte, 1000)
			if _, err := conn.Write([]byte("first")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := server.ReadFrom(buf); err != nil {
				t.Fatal(err)
			}
			// Boundaries are kept, empty datagrams included; what does not
			// fit is lost.
			big := bytes.Repeat([]byte{7}, 1400)
			for _, msg := range [][]byte{[]byte("one"), {}, big} {
				if n, err := conn.Write(msg); n != len(msg) || err != nil {
					t.Fatal(n, err)
				}
			}
			for _, want := range []int{3, 0, 1000} {
				n, from, err := server.ReadFrom(buf)
				if n != want || err != nil || from.String() != conn.LocalAddr().String() {
					t.Fatalf("%d bytes from %v, %v; want %d from %v", n, from, err, want, conn.LocalAddr())
				}
			}
			if _, err := server.WriteTo([]byte("answer"), conn.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(buf); string(buf[:n]) != "answer" || err != nil {
				t.Fatal(string(buf[:n]), err)
			}

			if _, err := conn.(*socketapi.UDPConn).WriteTo(nil, server.LocalAddr()); !errors.Is(err, net.ErrWriteToConnected) {
				t.Errorf("WriteTo on a connected socket: %v", err)
			}
			_, err = server.Write([]byte("to whom?"))
			nested(t, err, "write", syscall.EDESTADDRREQ)
			_, err = conn.Write(make([]byte, 70_000))
			nested(t, err, "write", syscall.EMSGSIZE)
			_, err = server.WriteTo([]byte("x"), nil)
			if op := new(net.OpError); !errors.As(err, &op) {
				t.Errorf("nil address: %v", err)
			}
		})
	}
}

func TestUDPErrors(t *testing.T) {
	a, _ := pair(t, nil)
	conn, err := (&socketapi.Dialer{Stack: a}).Dial("udp", netip.AddrPortFrom(b4.Addr(), 9).String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("anyone?")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err = conn.Read(make([]byte, 10))
	nested(t, err, "read", syscall.ECONNREFUSED)

	_ = conn.SetReadDeadline(time.Now())
	_, err = conn.Read(make([]byte, 10))
	nested(t, err, "read", os.ErrDeadlineExceeded)

	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 10))
	nested(t, err, "read", net.ErrClosed)
	nested(t, conn.Close(), "close", net.ErrClosed)
}

func TestUDPReceiveBufferCountsWhatItLoses(t *testing.T) {
	a, b := pair(t, nil)
	server, err := socketapi.ListenUDP(b, "udp4", ":1000")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := (&socketapi.Dialer{Stack: a}).Dial("udp", netip.AddrPortFrom(b4.Addr(), 1000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	msg := make([]byte, 1400)
	size := server.ReceiveBuffer().Size
	eventually(t, "the buffer overflows", func() bool {
		if _, err := conn.Write(msg); err != nil {
			t.Fatal(err)
		}
		return server.ReceiveBuffer().Dropped > 0
	})
	got := server.ReceiveBuffer()
	if got.Next != len(msg) || got.Size != size {
		t.Errorf("%+v", got)
	}
	if st := b.Stats(); st.Drops.UDPReceiveBuffer < got.Dropped {
		t.Errorf("the stack counts %d, the socket %d", st.Drops.UDPReceiveBuffer, got.Dropped)
	}
}

func TestPing(t *testing.T) {
	a, _ := pair(t, nil)
	for network, to := range map[string]netip.Addr{"ping4": b4.Addr(), "ping6": b6.Addr()} {
		t.Run(network, func(t *testing.T) {
			c, err := socketapi.ListenPing(a, network, "")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := c.WriteTo(socketapi.Echo(to.Is6(), 7, []byte("hello")), &net.IPAddr{IP: to.AsSlice()}); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, from, err := c.ReadFrom(buf)
			if err != nil || from.String() != to.String() || string(buf[8:n]) != "hello" || buf[7] != 7 {
				t.Errorf("%x from %v, %v", buf[:n], from, err)
			}
		})
	}
}

// TestUDPWriteToInvalidAddress: an address without an IP is no way to say "the
// connected one", and none to say nothing.
func TestUDPWriteToInvalidAddress(t *testing.T) {
	a, _ := pair(t, nil)
	conn, err := (&socketapi.Dialer{Stack: a}).Dial("udp", netip.AddrPortFrom(b4.Addr(), 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := conn.(*socketapi.UDPConn)
	for _, addr := range []*net.UDPAddr{nil, {}, {Port: 7}} {
		if _, err := c.WriteToUDP([]byte("x"), addr); !errors.Is(err, net.ErrWriteToConnected) {
			t.Errorf("connected, to %v: %v", addr, err)
		}
	}
	if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{}); !errors.Is(err, net.ErrWriteToConnected) {
		t.Errorf("connected, to no AddrPort: %v", err)
	}
	u, err := socketapi.ListenUDP(a, "udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	var missing *net.AddrError
	if _, err := u.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{}); !errors.As(err, &missing) {
		t.Errorf("to no AddrPort: %v", err)
	}
	ip := net.IP(b4.Addr().AsSlice())
	for _, addr := range []*net.UDPAddr{nil, {IP: ip, Port: -1}, {IP: ip, Port: 1<<16 + 9}, {IP: ip[:2], Port: 9}} {
		missing = nil
		if _, err := u.WriteToUDP([]byte("x"), addr); !errors.As(err, &missing) {
			t.Errorf("to %v: %v", addr, err)
		}
		if addr == nil {
			continue
		}
		missing = nil
		if _, err := u.WriteTo([]byte("x"), addr); !errors.As(err, &missing) {
			t.Errorf("to %v: %v", addr, err)
		}
		missing = nil
		if _, _, err := u.WriteMsgUDP([]byte("x"), nil, addr); !errors.As(err, &missing) {
			t.Errorf("message to %v: %v", addr, err)
		}
		missing = nil
		d := &socketapi.Dialer{Stack: a, LocalAddr: addr}
		if _, err := d.Dial("udp", netip.AddrPortFrom(b4.Addr(), 9).String()); !errors.As(err, &missing) {
			t.Errorf("from %v: %v", addr, err)
		}
	}
}
