package privilege

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/internal/daemon/life"
	"tapstack/internal/daemon/metrics"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
	"tapstack/tap/capture"
)

// childConfig is what a test has its child do before it takes commands.
type childConfig struct {
	Drop *Config // nil: not at all
	Work string  // a directory to set up a daemon in; "" for none
}

// reply answers one command.
type reply struct {
	Value string
	Err   string
	Errno int
	Needs bool // a *NeedsPrivilege
}

// child sets up, drops, and then does what its standard input says, a line a
// command, until that ends.
func child(text string) int {
	var cfg childConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		fmt.Println(err)
		return 2
	}
	var d *small
	if cfg.Work != "" {
		var err error
		if d, err = setUp(cfg.Work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
	}
	out := json.NewEncoder(os.Stdout)
	var report Report
	var err error
	if cfg.Drop != nil {
		report, err = Drop(*cfg.Drop)
	}
	b, _ := json.Marshal(report)
	_ = out.Encode(answer(string(b), err))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		args := strings.Fields(in.Text())
		_ = out.Encode(answer(command(d, args[0], args[1:])))
	}
	if d != nil {
		if err := d.end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 4
		}
	}
	return 0
}

func answer(value string, err error) reply {
	r := reply{Value: value}
	if err != nil {
		r.Err = err.Error()
		var errno syscall.Errno
		if errors.As(err, &errno) {
			r.Errno = int(errno)
		}
		var needs *NeedsPrivilege
		r.Needs = errors.As(err, &needs)
	}
	return r
}

// Addresses on the TAPs: the kernel's and ours.
var (
	fastHost, fastOurs   = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	plainHost, plainOurs = netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.2/24")
)

// small is as much of a daemon as a sandbox has to let work.
type small struct {
	stack   *stack.Stack
	watched tap.Device
	news    chan tap.Interface
	session *capture.Capture
	file    *os.File
	closers []io.Closer
	manager *life.Notifier // nil without one
	claim   *life.Claim
	work    sync.WaitGroup
}

// setUp opens all that needs privilege: an offload TAP with two queues, a plain
// one, one that is only watched, an echo service, listeners of the host, a
// capture.
func setUp(dir string) (_ *small, err error) {
	d := &small{news: make(chan tap.Interface, 16)}
	if d.manager, err = life.NewNotifier(os.Getenv); err != nil {
		return nil, err
	}
	if d.claim, err = life.Take(context.Background(), dir+"/lock"); err != nil {
		return nil, err
	}
	if d.stack, err = stack.New(nil); err != nil {
		return nil, err
	}
	fast, err := tap.Open(&tap.Config{Name: "fast0", Queues: 2, Host: []netip.Prefix{fastHost}})
	if err != nil {
		return nil, err
	}
	captured := capture.Wrap(fast)
	if d.file, err = os.Create(dir + "/capture.pcapng"); err != nil {
		return nil, err
	}
	if d.session, err = captured.Start(d.file, nil); err != nil {
		return nil, err
	}
	if _, err = d.stack.AddNIC(captured, &stack.NICConfig{Addresses: []netip.Prefix{fastOurs}}); err != nil {
		return nil, err
	}
	plain, err := tap.Open(&tap.Config{Name: "plain0", Plain: true, Host: []netip.Prefix{plainHost}})
	if err != nil {
		return nil, err
	}
	if _, err = d.stack.AddNIC(plain, &stack.NICConfig{Addresses: []netip.Prefix{plainOurs}}); err != nil {
		return nil, err
	}
	if d.watched, err = tap.Open(&tap.Config{Name: "watched0"}); err != nil {
		return nil, err
	}
	d.work.Go(func() { tap.Watch(d.watched, func(i tap.Interface) { d.news <- i }) })

	inside, err := socketapi.Listen(d.stack, "tcp", ":7")
	if err != nil {
		return nil, err
	}
	d.serve(inside)
	for _, at := range [][2]string{{"tcp", "127.0.0.1:9007"}, {"unix", dir + "/control.sock"}} {
		l, err := net.Listen(at[0], at[1])
		if err != nil {
			return nil, err
		}
		d.serve(l)
	}
	return d, os.Chmod(dir+"/control.sock", 0o666)
}

// serve echoes until l is closed.
func (d *small) serve(l net.Listener) {
	d.closers = append(d.closers, l)
	d.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.work.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
}

// end closes everything, and fails if something does not end.
func (d *small) end() error {
	for _, c := range d.closers {
		c.Close()
	}
	err := errors.Join(d.watched.Close(), d.stack.Close(), d.file.Close())
	done := make(chan struct{})
	go func() { d.work.Wait(); close(done) }()
	select {
	case <-done:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("goroutines do not end")
	}
}

// command does one thing.
func command(d *small, name string, args []string) (string, error) {
	switch name {
	case "call":
		c, ok := refused[args[0]]
		if !ok {
			c, ok = passes[args[0]]
		}
		if !ok {
			return "", errors.New("no such call")
		}
		return "", c.do()
	case "drop":
		_, err := Drop(Config{})
		return "", err
	case "needs":
		return "", Check(args[0], args[1])
	case "read":
		b, err := os.ReadFile(args[0])
		return string(b), err
	case "write":
		return "", os.WriteFile(args[0], []byte("written"), 0o600)
	case "remove":
		return "", os.Remove(args[0])
	case "listen":
		l, err := net.Listen("tcp", args[0])
		if err == nil {
			l.Close()
		}
		return "", Explain("listen on "+args[0], "CAP_NET_BIND_SERVICE", err)
	case "tap":
		dev, err := tap.Open(&tap.Config{Name: args[0]})
		if err == nil {
			dev.Close()
		}
		return "", Explain("make TAP "+args[0], "CAP_NET_ADMIN", err)
	case "dial":
		return dialHost(args[0], args[1])
	case "news":
		i, err := d.nextUp(args[0])
		return fmt.Sprint(i.MTU), err
	case "look":
		i, err := tap.InterfaceOf(d.watched)
		return fmt.Sprint(i.MTU), err
	case "queued":
		return queued(args[0])
	case "runtime":
		return "", exerciseRuntime()
	case "profile":
		return profile()
	case "ready":
		return "", d.manager.Ready("up")
	case "release":
		return "", d.claim.Release()
	case "abstract":
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: args[0], Net: "unixgram"})
		if err == nil {
			c.Close()
		}
		return "", err
	case "metrics":
		return d.scrape()
	case "capture":
		st, err := d.session.Stop()
		return fmt.Sprint(st.Frames), err
	default:
		return "", fmt.Errorf("no command %q", name)
	}
}

// dialHost has the host's sockets carry a word there and back.
func dialHost(network, addr string) (string, error) {
	c, err := net.DialTimeout(network, addr, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return "", err
	}
	b := make([]byte, 5)
	_, err = io.ReadFull(c, b)
	return string(b), err
}

// queued is how much of an echo has arrived, as forwards ask.
func queued(addr string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return "", err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return "", err
	}
	var n int
	var errno error
	err = raw.Read(func(fd uintptr) bool {
		n, errno = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		return errno != nil || n > 0
	})
	return fmt.Sprint(n), errors.Join(err, errno)
}

// nextUp waits for the kernel's news of an MTU.
func (d *small) nextUp(mtu string) (i tap.Interface, err error) {
	limit := time.After(20 * time.Second)
	for {
		select {
		case i = <-d.news:
			if fmt.Sprint(i.MTU) == mtu {
				return i, nil
			}
		case <-limit:
			return i, errors.New("no news from the kernel")
		}
	}
}

// exerciseRuntime makes threads, collects garbage, gives memory back, waits for
// timers and takes a signal.
func exerciseRuntime() error {
	const threads = 50
	var up, down sync.WaitGroup
	release := make(chan struct{})
	for range threads {
		up.Add(1)
		down.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends
			up.Done()
			<-release
		})
	}
	up.Wait()
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR1)
	defer signal.Stop(sigs)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		return fmt.Errorf("signal to itself: %w", err)
	}
	<-sigs
	var sink [][]byte
	for range 64 {
		sink = append(sink, make([]byte, 1<<20))
	}
	runtime.GC()
	runtime.KeepAlive(sink)
	debug.FreeOSMemory()
	fired := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { close(fired) })
	<-fired
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	close(release)
	down.Wait()
	return nil
}

// scrape is what a Prometheus gets to see.
func (d *small) scrape() (string, error) {
	w := httptest.NewRecorder()
	devices := func() []tap.Device { return []tap.Device{d.watched} }
	metrics.New(metrics.Config{Stack: d.stack, Devices: devices}).Handler().
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String(), nil
}

// profile is what the control socket serves; its length is the answer.
func profile() (string, error) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return "", err
	}
	runtime.GC()
	pprof.StopCPUProfile()
	return fmt.Sprint(b.Len()), nil
}
