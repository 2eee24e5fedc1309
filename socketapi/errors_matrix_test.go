package socketapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// methods are those of a TCPConn that can fail because of what became of the
// connection, with the op that their error has.
var methods = map[string]struct {
	op   string
	call func(ctx context.Context, c *socketapi.TCPConn) error
}{
	"Read":    {"read", func(_ context.Context, c *socketapi.TCPConn) error { _, err := c.Read(make([]byte, 1)); return err }},
	"WriteTo": {"writeto", func(_ context.Context, c *socketapi.TCPConn) error { _, err := c.WriteTo(io.Discard); return err }},
	"Write":   {"write", func(_ context.Context, c *socketapi.TCPConn) error { _, err := c.Write([]byte("x")); return err }},
	"ReadFrom": {"readfrom", func(_ context.Context, c *socketapi.TCPConn) error {
		_, err := c.ReadFrom(bytes.NewReader([]byte("x")))
		return err
	}},
	"WriteBuffers": {"write", func(_ context.Context, c *socketapi.TCPConn) error {
		_, err := c.WriteBuffers([][]byte{{1}, {2}})
		return err
	}},
	"WaitAcked":    {"wait", func(ctx context.Context, c *socketapi.TCPConn) error { return c.WaitAcked(ctx) }},
	"WaitUnsent":   {"wait", func(ctx context.Context, c *socketapi.TCPConn) error { return c.WaitUnsent(ctx, 0) }},
	"WaitReadable": {"wait", func(ctx context.Context, c *socketapi.TCPConn) error { return c.WaitReadable(ctx, 1) }},
	"WaitWritable": {"wait", func(ctx context.Context, c *socketapi.TCPConn) error { return c.WaitWritable(ctx) }},
	"CloseRead":    {"close", func(_ context.Context, c *socketapi.TCPConn) error { return c.CloseRead() }},
	"CloseWrite":   {"close", func(_ context.Context, c *socketapi.TCPConn) error { return c.CloseWrite() }},
	"Close":        {"close", func(_ context.Context, c *socketapi.TCPConn) error { return c.Close() }},
	"Abort":        {"abort", func(_ context.Context, c *socketapi.TCPConn) error { return c.Abort() }},
	"SetDeadline":  {"set", func(_ context.Context, c *socketapi.TCPConn) error { return c.SetDeadline(time.Time{}) }},
	"SetNoDelay":   {"set", func(_ context.Context, c *socketapi.TCPConn) error { return c.SetNoDelay(true) }},
	"MaxSegment":   {"get", func(_ context.Context, c *socketapi.TCPConn) error { _, err := c.MaxSegment(); return err }},
}

// all is the same error for every method named.
func all(want error, names ...string) map[string]error {
	out := map[string]error{}
	for _, name := range names {
		out[name] = want
	}
	return out
}

// fate is what becomes of a connection, and what its methods say then. Each is
// asked on a connection of its own: some errors are told once.
type fate struct {
	name   string
	happen func(t *testing.T, c, peer *socketapi.TCPConn, b *stack.Stack)
	want   map[string]error // of methods that are not named, nothing is said
}

var fates = []fate{
	{"closed", func(t *testing.T, c, _ *socketapi.TCPConn, _ *stack.Stack) {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}, func() map[string]error {
		out := map[string]error{}
		for name := range methods {
			out[name] = net.ErrClosed
		}
		return out
	}()},
	{"past its deadline", func(t *testing.T, c, _ *socketapi.TCPConn, _ *stack.Stack) {
		if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}, all(os.ErrDeadlineExceeded, "Read", "WriteTo", "Write", "ReadFrom", "WriteBuffers", "WaitAcked", "WaitUnsent", "WaitReadable", "WaitWritable")},
	{"shut for writing", func(t *testing.T, c, _ *socketapi.TCPConn, _ *stack.Stack) {
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}, all(syscall.EPIPE, "Write", "ReadFrom", "WriteBuffers")},
	{"reset", func(t *testing.T, c, peer *socketapi.TCPConn, _ *stack.Stack) {
		if err := peer.Abort(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the reset arrives", func() bool { return c.Socket().Ready()&socketapi.EventErr != 0 })
	}, all(syscall.ECONNRESET, "Read", "WriteTo", "Write", "ReadFrom", "WriteBuffers", "WaitAcked", "WaitUnsent")},
	{"reset, shut down", func(t *testing.T, c, peer *socketapi.TCPConn, _ *stack.Stack) {
		if err := peer.Abort(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the reset arrives", func() bool { return c.Socket().Ready()&socketapi.EventErr != 0 })
	}, all(syscall.ENOTCONN, "CloseRead", "CloseWrite")},
	{"reset and told", func(t *testing.T, c, peer *socketapi.TCPConn, _ *stack.Stack) {
		if err := peer.Abort(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 1))
		nested(t, err, "read", syscall.ECONNRESET)
		nested(t, c.CloseWrite(), "close", syscall.ENOTCONN)
	}, all(syscall.ECONNRESET, "WaitAcked", "WaitUnsent")},
	{"reset after its FIN", func(t *testing.T, c, peer *socketapi.TCPConn, _ *stack.Stack) {
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // bare io.EOF is what is promised
			t.Fatal(err)
		}
		if err := peer.Abort(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the reset arrives", func() bool { return c.Socket().Ready()&socketapi.EventErr != 0 })
	}, all(syscall.EPIPE, "Write", "ReadFrom", "WriteBuffers", "WaitAcked", "WaitUnsent")},
	{"timed out", func(t *testing.T, c, _ *socketapi.TCPConn, b *stack.Stack) {
		// The other end falls silent.
		if err := b.Netstack().DisableNIC(b.NICs()[0].ID()); err != nil {
			t.Fatal(err)
		}
		if err := c.SetUserTimeout(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("anyone?")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it gives up", func() bool { return c.Socket().Ready()&socketapi.EventErr != 0 })
	}, all(syscall.ETIMEDOUT, "Read", "WriteTo", "Write", "WaitAcked", "WaitUnsent")},
}

// TestErrorMatrix asks every method after every fate.
func TestErrorMatrix(t *testing.T) {
	for _, f := range fates {
		t.Run(f.name, func(t *testing.T) {
			for name, want := range f.want {
				t.Run(name, func(t *testing.T) {
					t.Parallel() // a timeout takes a while
					a, b := pair(t, nil)
					c, peer := connect(t, a, b, b4.Addr())
					f.happen(t, c, peer, b)
					nested(t, methods[name].call(within(t), c), methods[name].op, want)
				})
			}
		})
	}
}

// TestWaitsEndWithTheirContext: every wait, by cancellation and by time, with
// the error's every name.
func TestWaitsEndWithTheirContext(t *testing.T) {
	a, b := pair(t, fixed())
	c, _ := connect(t, a, b, b4.Addr())
	writeUntilFull(t, c)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"WaitAcked", "WaitUnsent", "WaitReadable", "WaitWritable"} {
		nested(t, methods[name].call(cancelled, c), "wait", context.Canceled)
		for _, cause := range []error{nil, errors.New("the caller's own")} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, cause)
			err := methods[name].call(ctx, c)
			cancel()
			nested(t, err, "wait", context.DeadlineExceeded)
			nested(t, err, "wait", os.ErrDeadlineExceeded)
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%s: %v is not a timeout", name, err)
			}
		}
	}
}
