package daemon

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"tapstack/internal/proxy"
)

// TestPortsAreTakenOver: what connects between two services of a port waits for
// the second.
func TestPortsAreTakenOver(t *testing.T) {
	p := newPorts(proxy.Kernel())
	at := freePort(t)
	first, err := p.Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { _, err := first.Accept(); ended <- err }()
	first.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	conn := dialHost(t, at)
	second, err := p.Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	first.Close() // again: no matter
	got, err := second.Accept()
	if err != nil || got.RemoteAddr().String() != conn.LocalAddr().String() {
		t.Fatalf("%v, %v", got, err)
	}
	got.Close()
	// Twice at a time it is not to be had.
	if _, err := p.Listen(t.Context(), "tcp", at); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
	second.Close()
	// An idle one does not stand in another's way.
	_, port, _ := net.SplitHostPort(at)
	wide, err := p.Listen(t.Context(), "tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	wide.Close()
	p.sweep()
	if len(p.open) != 0 {
		t.Errorf("%d are left", len(p.open))
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()

	u, err := p.ListenPacket(t.Context(), "udp", at)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _, err := u.(udpSocket).ReadFromUDPAddrPort(make([]byte, 10)); ended <- err }()
	u.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrom: %v", err)
	}
	if _, err := u.(udpSocket).WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(at)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteTo: %v", err)
	}
	p.sweep()
}
