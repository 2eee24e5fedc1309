package socketapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
)

// TestNilReceivers calls every exported method of every exported type that is
// used by pointer on nil, and on the zero value: an error or a zero result, no
// panic.
func TestNilReceivers(t *testing.T) {
	for _, v := range []any{
		(*socketapi.Socket)(nil), (*socketapi.TCPConn)(nil), (*socketapi.TCPListener)(nil), (*socketapi.UDPConn)(nil),
		(*socketapi.PingConn)(nil), (*socketapi.Poller)(nil), (*socketapi.Dialer)(nil), (*socketapi.ListenConfig)(nil),
		&socketapi.Socket{}, &socketapi.TCPConn{}, &socketapi.TCPListener{}, &socketapi.UDPConn{}, &socketapi.PingConn{}, &socketapi.Poller{},
		&socketapi.Dialer{}, &socketapi.ListenConfig{},
	} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumMethod() {
			name := typ.String() + "." + typ.Method(i).Name
			if reflect.ValueOf(v).IsNil() {
				name = "nil " + name
			}
			t.Run(name, func(t *testing.T) { callZero(t, reflect.ValueOf(v).Method(i)) })
		}
	}
}

// callZero calls a method with harmless arguments. If it can return an error it
// has to.
func callZero(t *testing.T, m reflect.Value) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("panic: %v", r)
		}
	}()
	args := make([]reflect.Value, m.Type().NumIn())
	for i := range args {
		switch in := m.Type().In(i); in {
		case reflect.TypeFor[context.Context]():
			args[i] = reflect.ValueOf(t.Context())
		case reflect.TypeFor[io.Writer]():
			args[i] = reflect.ValueOf(io.Discard)
		case reflect.TypeFor[socketapi.Pollable]():
			args[i] = reflect.ValueOf(&socketapi.Socket{})
		case reflect.TypeFor[*socketapi.Message]():
			args[i] = reflect.ValueOf(&socketapi.Message{})
		case reflect.TypeFor[io.Reader]():
			args[i] = reflect.ValueOf(zeros{})
		default:
			args[i] = reflect.Zero(in)
		}
	}
	call := m.Call
	if m.Type().IsVariadic() {
		call = m.CallSlice
	}
	for _, out := range call(args) {
		if out.Type() == reflect.TypeFor[error]() && out.IsNil() {
			t.Error("no error")
		}
	}
}

// TestCloseBesideEverything: Close of each type while every other method runs
// over and over on other goroutines. Nothing hangs, nothing races, and what
// comes after is net.ErrClosed.
func TestCloseBesideEverything(t *testing.T) {
	a, b := pair(t, nil)
	l, err := socketapi.Listen(b, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := socketapi.NewPoller()
	defer p.Close()
	// beside runs calls until the socket is closed under them.
	beside := func(closed func() error, calls ...func() error) {
		t.Helper()
		var running, done sync.WaitGroup
		for _, call := range calls {
			running.Add(1)
			done.Go(func() {
				for first := true; ; first = false {
					if first {
						running.Done()
					}
					if err := call(); errors.Is(err, net.ErrClosed) {
						return
					}
				}
			})
		}
		running.Wait()
		if err := closed(); err != nil {
			t.Error(err)
		}
		done.Wait()
	}
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for i := range 20 {
		d := &socketapi.Dialer{Stack: a}
		nc, err := d.DialContext(within(t), "tcp", "192.0.2.2:80")
		if err != nil {
			t.Fatal(err)
		}
		c := nc.(*socketapi.TCPConn)
		s, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		how := c.Close
		if i%2 == 1 {
			how = c.Abort
		}
		buf := make([]byte, 100)
		beside(how,
			func() error { _, err := c.Read(make([]byte, 100)); return err },
			func() error { _, err := c.Write(buf); return err },
			func() error { _, err := c.WriteBuffers([][]byte{buf, buf}); return err },
			func() error { return c.WaitAcked(soon()) },
			func() error { return c.WaitReadable(soon(), 5) },
			func() error { return c.WaitWritable(soon()) },
			func() error { return c.WaitUnsent(soon(), 0) },
			func() error { return c.SetDeadline(time.Now().Add(time.Hour)) },
			func() error { return c.SetReadBuffer(50_000) },
			func() error { return c.SetWriteBuffer(50_000) },
			func() error { c.SendBuffer(); c.ReceiveBuffer(); c.Buffers(); return c.SetNoDelay(true) },
			func() error { c.Socket().Ready(); _, err := c.Socket().Getpeername(); return err },
			func() error {
				_ = p.Add(c, socketapi.EventIn, socketapi.LevelTriggered, nil)
				return p.Add(c, 0, 0, nil)
			},
			func() error { _, _ = p.Poll(make([]socketapi.Event, 4)); return c.SetTTL(9) },
		)
		nested(t, c.SetDeadline(time.Time{}), "set", net.ErrClosed)
		_ = s.Abort()
	}
	for range 20 {
		l, err := socketapi.Listen(b, "tcp", ":81")
		if err != nil {
			t.Fatal(err)
		}
		d := &socketapi.Dialer{Stack: a}
		beside(l.Close,
			func() error {
				c, err := l.Accept()
				if err == nil {
					err = c.Close()
				}
				return err
			},
			func() error { return l.SetDeadline(time.Now().Add(time.Hour)) },
			func() error { return l.Socket().Listen(5) },
			func() error {
				c, err := d.DialContext(within(t), "tcp", "192.0.2.2:81")
				if errors.Is(err, syscall.ECONNREFUSED) {
					return net.ErrClosed
				}
				if err == nil {
					_ = c.(*socketapi.TCPConn).Abort()
				}
				return err
			})
	}
	for range 20 {
		u, err := socketapi.ListenUDP(b, "udp", ":82")
		if err != nil {
			t.Fatal(err)
		}
		to := netip.AddrPortFrom(a4.Addr(), 82)
		beside(u.Close,
			func() error { _, _, err := u.ReadFrom(make([]byte, 1)); return err },
			func() error { _, _, _, _, err := u.ReadMsgUDP(make([]byte, 1), nil); return err },
			func() error { _, err := u.WriteToUDPAddrPort([]byte("x"), to); return err },
			func() error { u.ReceiveBuffer(); return u.SetDeadline(time.Now().Add(time.Hour)) },
			func() error { return u.SetReadBuffer(10_000) })
	}
}
