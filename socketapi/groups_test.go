package socketapi_test

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// Addresses of a second network, and of a second address in the first.
var (
	c4, d4  = netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.2/24")
	a4extra = netip.MustParsePrefix("192.0.2.3/24")
)

// between is a stack with a NIC in each of two networks, and one stack in each.
func between(t *testing.T) (middle, first, second *stack.Stack) {
	t.Helper()
	near, far := tap.Pipe(&tap.PipeConfig{Names: [2]string{"one", "b"}})
	near2, far2 := tap.Pipe(&tap.PipeConfig{Names: [2]string{"two", "d"}})
	middle = host(t, near, nil, a4, a6, a4extra)
	if _, err := middle.AddNIC(near2, &stack.NICConfig{Addresses: []netip.Prefix{c4}}); err != nil {
		t.Fatal(err)
	}
	return middle, host(t, far, nil, b4, b6), host(t, far2, nil, d4)
}

// TestGroupsOfSeveralNICs: a group is reached through the NIC that was chosen,
// or the one of the address bound to, or where a route leads.
func TestGroupsOfSeveralNICs(t *testing.T) {
	middle, first, second := between(t)
	group := netip.MustParseAddrPort("239.1.2.3:5000")
	var members [2]*socketapi.UDPConn
	for i, s := range []*stack.Stack{first, second} {
		m, err := socketapi.ListenMulticastUDP(s, "udp4", "", group.String())
		check(t, err, nil)
		defer m.Close()
		_ = m.SetReadDeadline(time.Now().Add(30 * time.Second))
		members[i] = m
	}
	heard := func(who int, text string) {
		t.Helper()
		buf := make([]byte, 20)
		n, from, err := members[who].ReadFromUDPAddrPort(buf)
		check(t, err, nil)
		if string(buf[:n]) != text {
			t.Errorf("%q from %v, want %q", buf[:n], from, text)
		}
	}
	send := func(u *socketapi.UDPConn, text string) error {
		_, err := u.WriteToUDPAddrPort([]byte(text), group)
		return err
	}
	free, err := socketapi.ListenUDP(middle, "udp4", ":0")
	check(t, err, nil)
	defer free.Close()
	check(t, send(free, "nowhere"), syscall.ENETUNREACH)
	for i, local := range []string{"192.0.2.1:0", "198.51.100.1:0"} {
		u, err := socketapi.ListenUDP(middle, "udp4", local)
		check(t, err, nil)
		defer u.Close()
		check(t, send(u, local), nil)
		heard(i, local)
		_, err = u.WriteToUDPAddrPort([]byte("to all"), netip.MustParseAddrPort("255.255.255.255:5000"))
		check(t, err, nil)
		heard(i, "to all")
	}
	for i, nic := range []string{"one", "two"} {
		check(t, free.SetMulticastInterface(nic), nil)
		check(t, send(free, nic), nil)
		heard(i, nic)
	}
	check(t, free.SetMulticastInterface(""), nil)
	check(t, send(free, "nowhere"), syscall.ENETUNREACH)
	check(t, free.Socket().BindToDevice("two"), nil)
	check(t, send(free, "bound"), nil)
	heard(1, "bound")
	check(t, free.SetMulticastInterface("nosuch"), syscall.ENODEV)
}

// TestSourceOfOneMessage: over IPv4 it has to be the one that the message would
// have anyhow; what cannot be done is said.
func TestSourceOfOneMessage(t *testing.T) {
	middle, _, _ := between(t)
	to := netip.AddrPortFrom(b4.Addr(), 9)
	for _, network := range []string{"udp4", "udp"} {
		free := newSocket(t, middle, network)
		// Which of two addresses a route has is gVisor's choice.
		probe := newSocket(t, middle, network)
		check(t, probe.Connect(to), nil)
		name, err := probe.Getsockname()
		check(t, err, nil)
		chosen, other := name.Addr(), a4.Addr()
		if chosen == other {
			other = a4extra.Addr()
		}
		bound := newSocket(t, middle, network)
		check(t, bound.Bind(netip.AddrPortFrom(other, 0)), nil)
		for _, c := range []struct {
			so   *socketapi.Socket
			from netip.Addr
			nic  string
			want error
		}{
			{free, chosen, "", nil},
			{free, chosen, "one", nil},
			{free, other, "", syscall.EADDRNOTAVAIL},
			{bound, other, "", nil},
			{bound, chosen, "", syscall.EADDRNOTAVAIL},
			{free, netip.MustParseAddr("192.0.2.77"), "", syscall.ENETUNREACH},
			{free, netip.Addr{}, "nosuch", syscall.ENODEV},
			{free, netip.Addr{}, "two", syscall.ENETUNREACH},
		} {
			m := socketapi.Message{
				Buffers: [][]byte{[]byte("x")}, Addr: to,
				Control: socketapi.Control{Has: socketapi.ControlPacketInfo, Dst: c.from, NIC: c.nic},
			}
			if _, err := c.so.SendMsg(&m, 0); !errors.Is(err, c.want) {
				t.Errorf("%s, from %v at %q: %v, want %v", network, c.from, c.nic, err, c.want)
			}
		}
	}
}

// TestTOSOfOneMessage: it is that message's alone, whoever looks at the option
// or sets it meanwhile.
func TestTOSOfOneMessage(t *testing.T) {
	a, b := pair(t, nil)
	u, err := socketapi.ListenUDP(b, "udp4", ":1000")
	check(t, err, nil)
	defer u.Close()
	check(t, u.Socket().SetOption(socketapi.IP_RECVTOS, 1), nil)
	check(t, u.Socket().SetOption(socketapi.SO_RCVBUF, 1<<20), nil)
	so := newSocket(t, a, "udp4")
	check(t, so.SetOption(socketapi.IP_TOS, 0x20), nil)
	const each = 200
	var wg sync.WaitGroup
	for _, with := range []socketapi.Control{{}, {Has: socketapi.ControlTOS, TOS: 0x44}} {
		wg.Go(func() {
			m := socketapi.Message{Buffers: [][]byte{{with.TOS}}, Addr: netip.AddrPortFrom(b4.Addr(), 1000), Control: with}
			for range each {
				if _, err := so.SendMsg(&m, 0); err != nil {
					t.Error(err)
				}
				if v, err := so.Option(socketapi.IP_TOS); v != 0x20 || err != nil {
					t.Errorf("the option is %#x, %v", v, err)
				}
				if err := so.SetOption(socketapi.IP_TOS, 0x20); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_ = u.SetReadDeadline(time.Now().Add(30 * time.Second))
	for range 2 * each {
		m := socketapi.Message{Buffers: [][]byte{make([]byte, 1)}}
		_, err := u.ReadMessage(&m)
		check(t, err, nil)
		want := m.Buffers[0][0]
		if want == 0 {
			want = 0x20
		}
		if m.Control.TOS != want {
			t.Fatalf("TOS %#x, want %#x", m.Control.TOS, want)
		}
	}
}
