package netns_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		child(mode)
	}
	os.Exit(netnstest.Main(m))
}

// mainNS is the namespace of the main thread, which nothing here may change.
func mainNS(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run is netns.Run, with the test skipped where it can not work.
func run(t *testing.T, fn func() error) {
	t.Helper()
	netnstest.Need(t)
	if err := netns.Run(fn); err != nil {
		t.Fatal(err)
	}
}

func TestRunHasOnlyLoUp(t *testing.T) {
	before := mainNS(t)
	run(t, func() error {
		ifs, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, i := range ifs {
			// A kernel may add sit0, tunl0 and so on, all of them down.
			if up := i.Flags&net.FlagUp != 0; up != (i.Name == "lo") {
				t.Errorf("%s: up is %v", i.Name, up)
			}
		}
		inside, err := os.Readlink("/proc/thread-self/ns/net")
		if inside == before {
			t.Errorf("still in %s", inside)
		}
		return err
	})
	if after := mainNS(t); after != before {
		t.Errorf("main thread was in %s, is in %s", before, after)
	}
}

// The first goroutine runs on the main thread often enough for many calls to
// meet it.
func TestMainThreadStaysOut(t *testing.T) {
	before := mainNS(t)
	for range 50 {
		run(t, func() error {
			if syscall.Gettid() == syscall.Getpid() {
				return errors.New("on the main thread")
			}
			return nil
		})
	}
	if after := mainNS(t); after != before {
		t.Errorf("main thread was in %s, is in %s", before, after)
	}
}

func TestSamePortInTwoNamespaces(t *testing.T) {
	a, b := netnstest.Need(t), netnstest.Need(t)
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80"} {
		la, err := a.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer la.Close()
		lb, err := b.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer lb.Close()
		if _, err := a.Listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener on %s in one namespace: %v, want EADDRINUSE", addr, err)
		}
	}
}

func TestConnsWorkFromAnyGoroutine(t *testing.T) {
	ns := netnstest.Need(t)
	l, err := ns.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
			c.Close()
		}
		served <- err
	}()
	c, err := ns.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("echo: %q, %v", got, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}

	var d net.Dialer
	if c, err := d.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("reached the namespace from outside")
	}
}

func TestListenPacket(t *testing.T) {
	ns := netnstest.Need(t)
	s, err := ns.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := ns.DialContext(context.Background(), "udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, _, err := s.ReadFrom(b); string(b[:n]) != "hello" || err != nil {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

func TestDoAfterClose(t *testing.T) {
	ns := netnstest.Need(t)
	for range 2 {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	}
	err := ns.Do(func() error { t.Error("called"); return nil })
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("Do: %v, want os.ErrClosed", err)
	}
}

// t.FailNow inside the function has to end the test, not hang it.
func TestGoexitEndsTheCaller(t *testing.T) {
	ns := netnstest.Need(t)
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- !returned }()
		ns.Do(func() error { runtime.Goexit(); return nil })
		returned = true
	}()
	if !<-ended {
		t.Error("Do returned")
	}
}

func TestRunLeavesNothing(t *testing.T) {
	run(t, func() error { return nil }) // what the runtime starts once
	count := func(dir string) int {
		es, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	fds, threads := count("/proc/self/fd"), count("/proc/self/task")
	failed := errors.New("from fn")
	for range 200 {
		if err := netns.Run(func() error { return failed }); !errors.Is(err, failed) {
			t.Fatalf("Run: %v, want fn's error", err)
		}
	}
	if n := count("/proc/self/fd"); n > fds {
		t.Errorf("%d open files, were %d", n, fds)
	}
	// A thread leaves /proc a moment after its goroutine is done, and the
	// runtime may keep a few idle ones of its own.
	const spare = 10
	deadline := time.Now().Add(10 * time.Second)
	for count("/proc/self/task") > threads+spare {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads, were %d", count("/proc/self/task"), threads)
		}
	}
}

func TestErrorSaysWhatToDo(t *testing.T) {
	err := error(&netns.UnavailableError{Op: "clone", Err: syscall.EPERM, Remedy: "run as root"})
	want := "no private network namespace: clone: operation not permitted (run as root)"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if !errors.Is(err, syscall.EPERM) {
		t.Error("the errno is lost")
	}
}

func TestNeedIsPrivate(t *testing.T) {
	ns := netnstest.Need(t)
	outside, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var inside []net.Interface
	if err := ns.Do(func() (err error) { inside, err = net.Interfaces(); return err }); err != nil {
		t.Fatal(err)
	}
	same := func(a, b net.Interface) bool { return a.Name == b.Name && a.Flags == b.Flags }
	if len(outside) > 1 && slices.EqualFunc(outside, inside, same) {
		t.Errorf("the same interfaces inside and outside: %v", inside)
	}
}
