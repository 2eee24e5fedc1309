package proxy

import (
	"context"
	"log/slog"
	"strings"
	"testing"
)

// wantNone is that every descriptor was given back.
func (d *Descriptors) wantNone(t testing.TB) {
	t.Helper()
	eventually(t, "all descriptors back", func() bool { return d.used.Load() == 0 })
}

// TestDescriptorsOfClients: two services share what there is; one connection
// too many is reset and counted, whichever it comes to, and there is room again
// when one has ended.
func TestDescriptorsOfClients(t *testing.T) {
	w := worlds(t, nil)[1]
	d := NewDescriptors(2)
	w.near.Descriptors = d
	var log safeBuffer
	o := w.options(0)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	at := w.echoServer(t, 0)
	f, err := ForwardTCP(TCPForward{Options: o, Target: at})
	ending(t, f, err)
	h, err := HTTP(HTTPConfig{Options: o})
	ending(t, h, err)
	one, two := w.dial(t, f), w.dial(t, h)
	echoes(t, one, "one")
	connectHTTP(t, two, at)
	echoes(t, two, "two")
	for range 3 {
		w.wantRejected(t, f)
		w.wantRejected(t, h)
	}
	for _, s := range []*Service{f, h} {
		wantCount(t, s, "three refused", func(s Snapshot) bool { return s.Refused[CauseExhausted] == 3 && s.Active == 1 })
	}
	if n := strings.Count(log.String(), "RLIMIT_NOFILE"); n != 2 {
		t.Errorf("logged %d times, want one for each service:\n%s", n, log.String())
	}
	echoes(t, two, "two again")
	_ = one.Close()
	wantCount(t, f, "an end", func(s Snapshot) bool { return s.Active == 0 })
	three := w.dial(t, h)
	connectHTTP(t, three, at)
	_ = two.Close()
	_ = three.Close()
	d.wantNone(t)
}

// TestDescriptorsOfTargets: where the targets are the kernel's, it is they that
// count, and the client is told.
func TestDescriptorsOfTargets(t *testing.T) {
	w := worlds(t, nil)[2]
	d := NewDescriptors(dialling)
	w.far.Descriptors = d
	at := w.echoServer(t, 0)
	s := socks5(t, w.options(0), nil)
	one := w.dial(t, s)
	connectSOCKS5(t, one, at)
	echoes(t, one, "one")
	two := w.dial(t, s)
	if err := ask(two, "socks5", at); err != nil {
		t.Fatal(err) // the answer is of the same length
	}
	wantCount(t, s, "one refused", func(s Snapshot) bool { return s.Refused[CauseExhausted] == 1 })
	wantEOF(t, two, "")
	echoes(t, one, "still")
	_ = one.Close()
	d.wantNone(t)

	u := forwardUDP(t, w.options(0), w.datagramServer(t, same))
	first := w.dialUDP(t, u.Addr().String())
	wantDatagram(t, first, "x", "x")
	other := w.dialUDP(t, u.Addr().String())
	if _, err := other.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	wantCount(t, u, "one flow refused", func(s Snapshot) bool { return s.Refused[CauseExhausted] == 1 && s.Active == 1 })
	wantDatagram(t, first, "z", "z")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = u.Shutdown(ctx)
	d.wantNone(t)
}

// TestDescriptorsOfAssociations: a client's connection is one, the socket that
// it is given another; dialling and failing gives back what it took.
func TestDescriptorsOfAssociations(t *testing.T) {
	w := worlds(t, nil)[1]
	d := NewDescriptors(2)
	w.near.Descriptors = d
	s := socks5(t, w.options(0), nil)
	control, relay := w.associated(t, s, 0)
	at := w.datagramServer(t, same)
	wantDatagram(t, w.dialUDP(t, relay), wrapped(at, "x"), wrapped(at, "x"))
	w.wantRejected(t, s)
	_ = control.Close()
	d.wantNone(t)

	out := worlds(t, nil)[2]
	out.far.Descriptors = d
	r := socks5(t, out.options(0), nil)
	c := out.dial(t, r)
	if err := ask(c, "socks5", out.closedPort(t)); err != nil {
		t.Fatal(err)
	}
	wantCount(t, r, "one refused", func(s Snapshot) bool { return s.Refused[CauseRefused] == 1 })
	d.wantNone(t)
}
