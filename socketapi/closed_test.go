package socketapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"reflect"
	"syscall"
	"testing"

	"tapstack/socketapi"
	"tapstack/stack"
)

// ofEveryKind is one of each type, open.
func ofEveryKind(t *testing.T, a, b *stack.Stack) map[string]any {
	t.Helper()
	c, _ := connect(t, a, b, b4.Addr())
	l, err := socketapi.Listen(a, "tcp", ":80")
	check(t, err, nil)
	u, err := socketapi.ListenUDP(a, "udp", ":80")
	check(t, err, nil)
	connected, err := (&socketapi.Dialer{Stack: a}).Dial("udp", "192.0.2.2:9")
	check(t, err, nil)
	ping, err := socketapi.ListenPing(a, "ping4", "")
	check(t, err, nil)
	out := map[string]any{
		"TCPConn": c, "TCPListener": l, "UDPConn": u, "connected UDPConn": connected, "PingConn": ping,
		"TCP Socket": newSocket(t, a, "tcp"), "UDP Socket": newSocket(t, a, "udp"), "ping Socket": newSocket(t, a, "ping6"),
		"Poller": socketapi.NewPoller(),
	}
	t.Cleanup(func() {
		for _, v := range out {
			_ = v.(io.Closer).Close()
		}
	})
	return out
}

// notClosed are methods that say something else, or nothing, of what is closed.
var notClosed = map[string]error{
	"TCPConn.Info": nil, "TCP Socket.Info": nil, // of what was written before, which is still on its way
	"connected UDPConn.WriteTo": net.ErrWriteToConnected, "connected UDPConn.WriteToUDP": net.ErrWriteToConnected, // as package net
	"connected UDPConn.WriteToUDPAddrPort": net.ErrWriteToConnected, "connected UDPConn.WriteMsgUDP": net.ErrWriteToConnected,
	"connected UDPConn.WriteMsgUDPAddrPort": net.ErrWriteToConnected,
	"Poller.Add":                            syscall.EINVAL,                                  // of the Socket that it is given, a zero one
	"Poller.Modify":                         syscall.ENOENT, "Poller.Remove": syscall.ENOENT, // nothing is registered
	"UDP Socket.Info": syscall.ENOPROTOOPT, "ping Socket.Info": syscall.ENOPROTOOPT,
}

// TestClosedReceivers calls every method of every type after Close: those that
// can fail return net.ErrClosed, whatever their arguments.
func TestClosedReceivers(t *testing.T) {
	a, b := pair(t, nil)
	for name, v := range ofEveryKind(t, a, b) {
		if err := v.(io.Closer).Close(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		typ := reflect.TypeOf(v)
		for i := range typ.NumMethod() {
			method := name + "." + typ.Method(i).Name
			t.Run(method, func(t *testing.T) {
				want, special := notClosed[method]
				if !special {
					want = net.ErrClosed
				}
				err, fails := callPlain(t, reflect.ValueOf(v).Method(i))
				if fails && !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
			})
		}
	}
}

// callPlain calls a method with arguments that an open socket takes, and
// returns its error; fails is whether it can return one.
func callPlain(t *testing.T, m reflect.Value) (err error, fails bool) { //nolint:revive // the error is what is looked at
	t.Helper()
	args := make([]reflect.Value, m.Type().NumIn())
	for i := range args {
		switch in := m.Type().In(i); in {
		case reflect.TypeFor[context.Context]():
			args[i] = reflect.ValueOf(within(t))
		case reflect.TypeFor[io.Writer]():
			args[i] = reflect.ValueOf(io.Discard)
		case reflect.TypeFor[io.Reader]():
			args[i] = reflect.ValueOf(zeros{})
		case reflect.TypeFor[[]byte]():
			args[i] = reflect.ValueOf([]byte("x"))
		case reflect.TypeFor[[]socketapi.Event]():
			args[i] = reflect.ValueOf(make([]socketapi.Event, 1))
		case reflect.TypeFor[[]socketapi.Message]():
			args[i] = reflect.ValueOf([]socketapi.Message{{Buffers: [][]byte{[]byte("x")}}})
		case reflect.TypeFor[*socketapi.Message]():
			args[i] = reflect.ValueOf(&socketapi.Message{Buffers: [][]byte{[]byte("x")}})
		case reflect.TypeFor[socketapi.Pollable]():
			args[i] = reflect.ValueOf(&socketapi.Socket{})
		case reflect.TypeFor[net.Addr](), reflect.TypeFor[*net.UDPAddr]():
			args[i] = reflect.ValueOf(&net.UDPAddr{IP: b4.Addr().AsSlice(), Port: 9})
		case reflect.TypeFor[netip.AddrPort]():
			args[i] = reflect.ValueOf(netip.AddrPortFrom(b4.Addr(), 9))
		case reflect.TypeFor[netip.Addr]():
			args[i] = reflect.ValueOf(netip.MustParseAddr("239.1.2.3"))
		case reflect.TypeFor[socketapi.Option]():
			args[i] = reflect.ValueOf(socketapi.SO_RCVBUF)
		case reflect.TypeFor[socketapi.How]():
			args[i] = reflect.ValueOf(socketapi.ShutRDWR)
		default:
			args[i] = reflect.Zero(in)
		}
	}
	call := m.Call
	if m.Type().IsVariadic() {
		call = m.CallSlice
	}
	for _, out := range call(args) {
		if out.Type() == reflect.TypeFor[error]() {
			fails = true
			if !out.IsNil() {
				err = out.Interface().(error)
			}
		}
	}
	return err, fails
}
