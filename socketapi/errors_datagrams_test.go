package socketapi_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
)

// udpMethods are the methods of a connected UDPConn that can fail, by the op
// their errors have.
var udpMethods = map[string]struct {
	op   string
	call func(c *socketapi.UDPConn) error
}{
	"Read":                {"read", func(c *socketapi.UDPConn) error { _, err := c.Read(make([]byte, 9)); return err }},
	"ReadFrom":            {"read", func(c *socketapi.UDPConn) error { _, _, err := c.ReadFrom(make([]byte, 9)); return err }},
	"ReadFromUDP":         {"read", func(c *socketapi.UDPConn) error { _, _, err := c.ReadFromUDP(make([]byte, 9)); return err }},
	"ReadFromUDPAddrPort": {"read", func(c *socketapi.UDPConn) error { _, _, err := c.ReadFromUDPAddrPort(make([]byte, 9)); return err }},
	"ReadMsgUDPAddrPort": {"read", func(c *socketapi.UDPConn) error {
		_, _, _, _, err := c.ReadMsgUDPAddrPort(make([]byte, 9), nil)
		return err
	}},
	"ReadMessage": {"read", func(c *socketapi.UDPConn) error {
		_, err := c.ReadMessage(&socketapi.Message{Buffers: [][]byte{make([]byte, 9)}})
		return err
	}},
	"Write": {"write", func(c *socketapi.UDPConn) error { _, err := c.Write([]byte("x")); return err }},
	"WriteMsgUDPAddrPort": {"write", func(c *socketapi.UDPConn) error {
		_, _, err := c.WriteMsgUDPAddrPort([]byte("x"), nil, netip.AddrPort{})
		return err
	}},
	"WriteMessage": {"write", func(c *socketapi.UDPConn) error {
		_, err := c.WriteMessage(&socketapi.Message{Buffers: [][]byte{[]byte("x")}})
		return err
	}},
	"SetDeadline":   {"set", func(c *socketapi.UDPConn) error { return c.SetDeadline(time.Time{}) }},
	"SetReadBuffer": {"set", func(c *socketapi.UDPConn) error { return c.SetReadBuffer(9000) }},
	"SetTTL":        {"set", func(c *socketapi.UDPConn) error { return c.SetTTL(3) }},
	"JoinGroup":     {"set", func(c *socketapi.UDPConn) error { return c.JoinGroup(netip.MustParseAddr("224.0.0.99"), "") }},
	"Close":         {"close", func(c *socketapi.UDPConn) error { return c.Close() }},
}

// TestUDPErrorMatrix: what each method of a UDPConn says, whatever became of
// the socket.
func TestUDPErrorMatrix(t *testing.T) {
	reads := []string{"Read", "ReadFrom", "ReadFromUDP", "ReadFromUDPAddrPort", "ReadMsgUDPAddrPort", "ReadMessage"}
	writes := []string{"Write", "WriteMsgUDPAddrPort", "WriteMessage"}
	var every []string
	for name := range udpMethods {
		every = append(every, name)
	}
	for _, f := range []struct {
		name    string
		happen  func(c *socketapi.UDPConn) error
		want    error
		methods []string
	}{
		{"closed", func(c *socketapi.UDPConn) error { return c.Close() }, net.ErrClosed, every},
		{"past its deadline", func(c *socketapi.UDPConn) error { return c.SetDeadline(time.Now().Add(-time.Hour)) },
			os.ErrDeadlineExceeded, append(append([]string(nil), reads...), writes...)},
		{"refused", func(c *socketapi.UDPConn) error {
			_, err := c.Write([]byte("x"))
			return err
		}, syscall.ECONNREFUSED, reads},
	} {
		for _, name := range f.methods {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				a, _ := pair(t, nil)
				c, err := (&socketapi.Dialer{Stack: a}).Dial("udp", netip.AddrPortFrom(b4.Addr(), 9).String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := f.happen(c.(*socketapi.UDPConn)); err != nil {
					t.Fatal(err)
				}
				m := udpMethods[name]
				nested(t, m.call(c.(*socketapi.UDPConn)), m.op, f.want)
			})
		}
	}
}

// TestListenerErrorMatrix is the same for a TCPListener.
func TestListenerErrorMatrix(t *testing.T) {
	methods := map[string]struct {
		op   string
		call func(l *socketapi.TCPListener) error
	}{
		"Accept":      {"accept", func(l *socketapi.TCPListener) error { _, err := l.Accept(); return err }},
		"AcceptTCP":   {"accept", func(l *socketapi.TCPListener) error { _, err := l.AcceptTCP(); return err }},
		"SetDeadline": {"set", func(l *socketapi.TCPListener) error { return l.SetDeadline(time.Time{}) }},
		"Close":       {"close", func(l *socketapi.TCPListener) error { return l.Close() }},
	}
	for name, m := range methods {
		t.Run(name, func(t *testing.T) {
			a, _ := pair(t, nil)
			l, err := socketapi.Listen(a, "tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			if m.op == "accept" {
				if err := l.SetDeadline(time.Now().Add(-time.Hour)); err != nil {
					t.Fatal(err)
				}
				nested(t, m.call(l), m.op, os.ErrDeadlineExceeded)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			nested(t, m.call(l), m.op, net.ErrClosed)
		})
	}
}

// TestPingErrorMatrix is the same for a PingConn.
func TestPingErrorMatrix(t *testing.T) {
	to := &net.IPAddr{IP: b4.Addr().AsSlice()}
	read := func(c *socketapi.PingConn) error { _, _, err := c.ReadFrom(make([]byte, 99)); return err }
	write := func(c *socketapi.PingConn) error {
		_, err := c.WriteTo(socketapi.Echo(false, 1, nil), to)
		return err
	}
	for name, m := range map[string]struct {
		op   string
		call func(c *socketapi.PingConn) error
	}{
		"ReadFrom":    {"read", read},
		"WriteTo":     {"write", write},
		"SetDeadline": {"set", func(c *socketapi.PingConn) error { return c.SetDeadline(time.Time{}) }},
		"Close":       {"close", func(c *socketapi.PingConn) error { return c.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := pair(t, nil)
			c, err := socketapi.ListenPing(a, "ping4", "")
			if err != nil {
				t.Fatal(err)
			}
			if m.op == "read" || m.op == "write" {
				if err := c.SetDeadline(time.Now().Add(-time.Hour)); err != nil {
					t.Fatal(err)
				}
				nested(t, m.call(c), m.op, os.ErrDeadlineExceeded)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			nested(t, m.call(c), m.op, net.ErrClosed)
		})
	}
	t.Run("no route", func(t *testing.T) {
		a, _ := pair(t, nil)
		c, err := socketapi.ListenPing(a, "ping4", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.WriteTo(socketapi.Echo(false, 1, nil), &net.IPAddr{IP: net.IPv4(198, 51, 100, 1)})
		nested(t, err, "write", syscall.ENETUNREACH)
	})
}

// TestMembershipErrors: groups are joined once and left once.
func TestMembershipErrors(t *testing.T) {
	a, _ := pair(t, nil)
	c, err := socketapi.ListenUDP(a, "udp4", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	group, nic := netip.MustParseAddr("239.1.2.3"), a.NICs()[0].Name()
	if err := c.LeaveGroup(group, nic); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("left without joining: %v", err)
	}
	if err := c.JoinGroup(group, nic); err != nil {
		t.Fatal(err)
	}
	nested(t, c.JoinGroup(group, nic), "set", syscall.EADDRINUSE)
	if err := c.LeaveGroup(group, nic); err != nil {
		t.Fatal(err)
	}
	nested(t, c.LeaveGroup(group, nic), "set", syscall.EADDRNOTAVAIL)
	nested(t, c.JoinGroup(netip.MustParseAddr("10.0.0.1"), nic), "set", syscall.EINVAL)
	nested(t, c.JoinGroup(group, "nosuch"), "set", syscall.ENODEV)
}
