package socketapi_test

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
	"tapstack/socketapi"
	"tapstack/stack"
)

// sock is a non-blocking socket as a row sees it: *socketapi.Socket, or a
// descriptor of the kernel's. Errors are bare errnos, and io.EOF where recv(2)
// returns 0.
type sock interface {
	Bind(netip.AddrPort) error
	Listen(backlog int) error
	Accept() (sock, netip.AddrPort, error)
	Connect(netip.AddrPort) error
	Shutdown(socketapi.How) error
	Close() error
	Getsockname() (netip.AddrPort, error)
	Getpeername() (netip.AddrPort, error)
	SendTo(p []byte, flags socketapi.MsgFlags, to netip.AddrPort) (int, error)
	RecvFrom(p []byte, flags socketapi.MsgFlags) (int, netip.AddrPort, error)
	SendMsg(m *socketapi.Message, flags socketapi.MsgFlags) (int, error)
	RecvMsg(m *socketapi.Message, flags socketapi.MsgFlags) (int, error)
	SetOption(o socketapi.Option, v int) error
	Option(o socketapi.Option) (int, error)
	SetLinger(seconds int) error
	Linger() (int, error)
	SetCongestionControl(name string) error
	CongestionControl() (string, error)
	Ready() socketapi.Events
}

// ourSock is a Socket whose Accept returns a sock, and whose events are those
// that poll(2) has.
type ourSock struct{ *socketapi.Socket }

func newOurs(t testing.TB, s *stack.Stack, network string) sock {
	so, err := socketapi.NewSocket(s, network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { so.Close() })
	return ourSock{so}
}

func (s ourSock) Accept() (sock, netip.AddrPort, error) {
	c, from, err := s.Socket.Accept()
	if err != nil {
		return nil, from, err
	}
	return ourSock{c}, from, nil
}

func (s ourSock) Ready() socketapi.Events { return s.Socket.Ready() &^ socketapi.EventAcked }

// kernelSock is a descriptor.
type kernelSock struct {
	fd     int
	family int
	stream bool
}

// newKernel is socketapi.NewSocket of the kernel's.
func newKernel(t testing.TB, ns *netns.NS, network string) sock {
	s := &kernelSock{family: unix.AF_INET6, stream: network[:3] == "tcp"}
	kind, proto := unix.SOCK_DGRAM, 0
	if s.stream {
		kind = unix.SOCK_STREAM
	}
	if network[len(network)-1] == '4' {
		s.family = unix.AF_INET
	}
	if strings.HasPrefix(network, "ping") {
		proto = unix.IPPROTO_ICMP
		if s.family == unix.AF_INET6 {
			proto = unix.IPPROTO_ICMPV6
		}
	}
	err := ns.Do(func() (err error) {
		s.fd, err = unix.Socket(s.family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
		return err
	})
	if err == nil && s.family == unix.AF_INET6 {
		only := 0
		if network[len(network)-1] == '6' {
			only = 1
		}
		err = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sockaddr is ap in the socket's family; IPv4 is mapped into IPv6.
func (s *kernelSock) sockaddr(ap netip.AddrPort) unix.Sockaddr {
	a := ap.Addr()
	switch {
	case !a.IsValid() && s.family == unix.AF_INET:
		return &unix.SockaddrInet4{Port: int(ap.Port())}
	case !a.IsValid():
		return &unix.SockaddrInet6{Port: int(ap.Port())}
	case a.Is4() && s.family == unix.AF_INET:
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: a.As4()}
	default:
		return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: a.As16()}
	}
}

func fromSockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func (s *kernelSock) Bind(ap netip.AddrPort) error { return unix.Bind(s.fd, s.sockaddr(ap)) }
func (s *kernelSock) Listen(backlog int) error     { return unix.Listen(s.fd, backlog) }

func (s *kernelSock) Accept() (sock, netip.AddrPort, error) {
	fd, sa, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return &kernelSock{fd: fd, family: s.family, stream: true}, fromSockaddr(sa), nil
}

func (s *kernelSock) Connect(ap netip.AddrPort) error {
	if !ap.IsValid() {
		// AF_UNSPEC: x/sys has no Sockaddr for it.
		unspec := unix.RawSockaddrInet4{Family: unix.AF_UNSPEC}
		if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(s.fd), uintptr(unsafe.Pointer(&unspec)), unix.SizeofSockaddrInet4); errno != 0 {
			return errno
		}
		return nil
	}
	return unix.Connect(s.fd, s.sockaddr(ap))
}

func (s *kernelSock) Shutdown(how socketapi.How) error { return unix.Shutdown(s.fd, int(how)-1) }

func (s *kernelSock) Close() error {
	if s.fd < 0 {
		return nil
	}
	defer func() { s.fd = -1 }()
	return unix.Close(s.fd)
}

func (s *kernelSock) Getsockname() (netip.AddrPort, error) {
	sa, err := unix.Getsockname(s.fd)
	return fromSockaddr(sa), err
}

func (s *kernelSock) Getpeername() (netip.AddrPort, error) {
	sa, err := unix.Getpeername(s.fd)
	return fromSockaddr(sa), err
}

func (s *kernelSock) SendTo(p []byte, flags socketapi.MsgFlags, to netip.AddrPort) (int, error) {
	return s.SendMsg(&socketapi.Message{Buffers: [][]byte{p}, Addr: to}, flags)
}

func (s *kernelSock) SendMsg(m *socketapi.Message, flags socketapi.MsgFlags) (int, error) {
	var to unix.Sockaddr
	if m.Addr.IsValid() && !s.stream {
		to = s.sockaddr(m.Addr)
	}
	return unix.SendmsgBuffers(s.fd, m.Buffers, s.cmsgs(&m.Control), to, int(flags)|unix.MSG_NOSIGNAL)
}

func (s *kernelSock) RecvFrom(p []byte, flags socketapi.MsgFlags) (int, netip.AddrPort, error) {
	m := socketapi.Message{Buffers: [][]byte{p}}
	n, err := s.RecvMsg(&m, flags)
	return n, m.Addr, err
}

func (s *kernelSock) RecvMsg(m *socketapi.Message, flags socketapi.MsgFlags) (int, error) {
	oob := make([]byte, 512)
	n, oobn, out, from, err := unix.RecvmsgBuffers(s.fd, m.Buffers, oob, int(flags)|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	if m.Control, err = parseCmsgs(oob[:oobn]); err != nil {
		return 0, err
	}
	size := 0
	for _, b := range m.Buffers {
		size += len(b)
	}
	if n == 0 && size > 0 && s.stream {
		return 0, io.EOF
	}
	m.Addr, m.Flags = fromSockaddr(from), socketapi.MsgFlags(out)&^unix.MSG_CMSG_CLOEXEC
	return n, nil
}

func (s *kernelSock) SetOption(o socketapi.Option, v int) error {
	k := kernelOptions[o]
	return unix.SetsockoptInt(s.fd, k.level, k.name, v)
}

func (s *kernelSock) Option(o socketapi.Option) (int, error) {
	k := kernelOptions[o]
	return unix.GetsockoptInt(s.fd, k.level, k.name)
}

func (s *kernelSock) SetLinger(seconds int) error {
	l := unix.Linger{}
	if seconds >= 0 {
		l.Onoff, l.Linger = 1, int32(seconds)
	}
	return unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &l)
}

func (s *kernelSock) Linger() (int, error) {
	l, err := unix.GetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER)
	if err != nil || l.Onoff == 0 {
		return -1, err
	}
	return int(l.Linger), nil
}

func (s *kernelSock) SetCongestionControl(name string) error {
	return unix.SetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
}

func (s *kernelSock) CongestionControl() (string, error) {
	return unix.GetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
}

func (s *kernelSock) Ready() socketapi.Events { return pollFD(s.fd) }
