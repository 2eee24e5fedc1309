package life

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is the other end: it hears what it is told.
type manager struct {
	*net.UnixConn
	name string
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{c, name}
}

func (m *manager) hear(t *testing.T) string {
	t.Helper()
	_ = m.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 4096)
	n, err := m.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// env makes a getenv.
func env(pairs ...string) func(string) string {
	return func(key string) string {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == key {
				return v
			}
		}
		return ""
	}
}

func connected(t *testing.T, m *manager, more ...string) *Notifier {
	t.Helper()
	n, err := NewNotifier(env(append(more, "NOTIFY_SOCKET="+m.name)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestNotify(t *testing.T) {
	for _, name := range []string{
		filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@tapstack-life-test-%d", os.Getpid()),
	} {
		m := newManager(t, name)
		n := connected(t, m)
		for _, c := range []struct {
			do   func() error
			want string
		}{
			{func() error { return n.Ready("two NICs,\nfive services") }, "READY=1\nSTATUS=two NICs, five services"},
			{n.Reloading, "RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+"},
			{func() error { return n.Status("3 connections") }, "STATUS=3 connections"},
			{func() error { return n.Stopping("draining") }, "STOPPING=1\nSTATUS=draining"},
		} {
			if err := c.do(); err != nil {
				t.Fatal(err)
			}
			if got := m.hear(t); !regexp.MustCompile("^" + c.want + "$").MatchString(got) {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
}

// The manager restarts, or is gone: the service goes on.
func TestNotifyNobody(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	n := connected(t, m)
	m.Close()
	if err := n.Ready(""); err == nil {
		t.Error("nobody heard, and no error says so")
	}
	var none *Notifier
	if none.Ready("x") != nil || none.Reloading() != nil || none.Stopping("") != nil || none.Close() != nil || none.Watchdog() != 0 {
		t.Error("a nil Notifier fails")
	}
	none.Watch(t.Context(), nil, nil) // returns
}

func TestNewNotifier(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	for _, c := range []struct {
		env      []string
		bad      bool
		nothing  bool
		interval time.Duration
	}{
		{nothing: true},
		{env: []string{"NOTIFY_SOCKET=relative"}, bad: true},
		{env: []string{"NOTIFY_SOCKET=/nowhere/at/all"}, bad: true},
		{env: []string{"NOTIFY_SOCKET=" + m.name}},
		{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=3000000"}, interval: 3 * time.Second},
		{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=" + strconv.Itoa(os.Getpid())}, interval: 3 * time.Second},
		{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=1"}},
		{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=soon"}, bad: true},
		{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=0"}, bad: true},
		{env: []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=9223372036854775807"}, bad: true},
	} {
		n, err := NewNotifier(env(c.env...))
		if (err != nil) != c.bad || (n == nil) != (c.bad || c.nothing) || n.Watchdog() != c.interval {
			t.Errorf("%v: %v, %v", c.env, n, err)
		}
		n.Close()
	}
}

// The watchdog hears as long as the service answers, not when it does not or
// says that it is unwell, and again when it has recovered.
func TestWatch(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	n := connected(t, m, "WATCHDOG_USEC=20000")
	asked := make(chan chan error)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Watch(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context) error {
			reply := make(chan error)
			select {
			case asked <- reply:
				return <-reply
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for range 3 {
		<-asked <- nil
		if got := m.hear(t); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	<-asked <- errors.New("a lock is held for ever")
	m.silent(t, asked, func(reply chan error) { reply <- errors.New("still") })
	// Nobody answers at all; and nobody is asked again.
	hung := <-asked
	m.silent(t, asked, nil)
	hung <- nil
	if got := m.hear(t); got != "WATCHDOG=1" {
		t.Errorf("after recovering: %q", got)
	}
	cancel()
	<-done
}

// silent sees that nothing is heard for several intervals. What is asked
// meanwhile goes to answer; nil: nothing may be asked.
func (m *manager) silent(t *testing.T, asked chan chan error, answer func(chan error)) {
	t.Helper()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		_ = m.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		b := make([]byte, 100)
		if n, err := m.Read(b); err == nil {
			t.Errorf("heard %q", b[:n])
		}
	}()
	for {
		select {
		case reply := <-asked:
			if answer == nil {
				t.Error("asked again while the first has not answered")
				reply <- nil
				continue
			}
			answer(reply)
		case <-heard:
			return
		}
	}
}
