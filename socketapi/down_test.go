package socketapi_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"tapstack/socketapi"
)

// TestPingWhileTheNICIsDown: a connected ping socket says of it what a UDP
// socket does, and EINVAL still of what is no echo request.
func TestPingWhileTheNICIsDown(t *testing.T) {
	for name, to := range map[string]netip.Addr{"ping4": b4.Addr(), "ping6": b6.Addr()} {
		a, _ := pair(t, nil)
		so, err := socketapi.NewSocket(a, name)
		check(t, err, nil)
		defer so.Close()
		check(t, so.Connect(netip.AddrPortFrom(to, 0)), nil)
		echo := socketapi.Echo(name == "ping6", 1, []byte("x"))
		check(t, a.NICs()[0].SetEnabled(false), nil)
		for what, c := range map[string]struct {
			msg  []byte
			want error
		}{
			"request": {echo, syscall.ENETUNREACH},
			"short":   {echo[:7], syscall.EINVAL},
			"reply":   {append([]byte{0}, echo[1:]...), syscall.EINVAL},
		} {
			if _, err := so.Send(c.msg, 0); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", name, what, err, c.want)
			}
		}
	}
}

// TestWriteBatchOfTheOtherFamily: the datagrams before one to an IPv6 address
// are sent, and the socket of IPv4 says of that what all its writes say.
func TestWriteBatchOfTheOtherFamily(t *testing.T) {
	a, _ := pair(t, nil)
	c, err := socketapi.ListenUDP(a, "udp4", ":0")
	check(t, err, nil)
	defer c.Close()
	msg := func(to netip.Addr) socketapi.Message {
		return socketapi.Message{Buffers: [][]byte{[]byte("x")}, Addr: netip.AddrPortFrom(to, 9)}
	}
	n, err := c.WriteBatch([]socketapi.Message{msg(b4.Addr()), msg(b6.Addr()), msg(b4.Addr())})
	var addr *net.AddrError
	if n != 1 || !errors.As(err, &addr) {
		t.Errorf("%d sent, %v", n, err)
	}
	if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(b6.Addr(), 9)); !errors.As(err, &addr) {
		t.Error(err)
	}
}

// TestLateErrorIsReady: an error that ends a RecvBatch after its first datagram
// makes the socket ready, until a receive or SO_ERROR has told it.
func TestLateErrorIsReady(t *testing.T) {
	a, _ := pair(t, nil)
	so, err := socketapi.NewSocket(a, "udp4")
	check(t, err, nil)
	defer so.Close()
	const both = socketapi.EventIn | socketapi.EventErr
	for _, told := range []func() error{
		func() error { _, err := so.Recv(make([]byte, 9), 0); return err },
		func() error {
			n, err := so.Option(socketapi.SO_ERROR)
			check(t, err, nil)
			return syscall.Errno(n)
		},
	} {
		socketapi.SetLate(so, syscall.ECONNREFUSED)
		if ev := so.Ready(); ev&both != both {
			t.Errorf("before: %v", ev)
		}
		if err := told(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		if ev := so.Ready(); ev&both != 0 {
			t.Errorf("after: %v", ev)
		}
	}
}
