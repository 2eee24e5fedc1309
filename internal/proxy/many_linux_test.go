package proxy

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manyConns is how many connections TestManyConnections forwards: measure with
// -conns=10000, without -race.
var manyConns = flag.Int("conns", 500, "connections of TestManyConnections")

// maxResident is what a connection may take: 10,000 in 400 MB.
const maxResident = 400 << 20 / 10_000

// roleEnv has this program be one end of TestManyConnections: a process of its
// own, so that what is measured is the service.
const roleEnv = "TAPSTACK_PROXY_TEST_ROLE"

func init() {
	role, address, ok := strings.Cut(os.Getenv(roleEnv), " ")
	if !ok {
		return
	}
	// Only root can have more than the hard limit; 10,000 fit most.
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 16, Max: 1 << 16})
	var err error
	switch role {
	case "server":
		err = manyServer(address)
	case "client":
		err = manyClient(address)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// manyServer echoes what every connection begins with, and says where it
// listens.
func manyServer(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening", l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			// Hidden, or splice(2) takes two more descriptors.
			_, _ = io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 1000))
		}()
	}
}

// manyClient opens connections, uses each, and holds them until its standard
// input ends.
func manyClient(arg string) error {
	var count int
	var kind, address, target string
	if _, err := fmt.Sscan(arg, &count, &kind, &address, &target); err != nil {
		return err
	}
	var all []net.Conn
	buf := make([]byte, 1000)
	for len(all) < count {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if err := ask(c, kind, target); err != nil {
			return err
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return err
		}
		all = append(all, c)
	}
	fmt.Println("connected", len(all))
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, c := range all {
		_ = c.Close()
	}
	return nil
}

// role starts this program as one end, in the namespace, and returns what it
// said first, after want. stop ends it.
func (p *private) role(t testing.TB, role, want string) (said string, stop func() error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(err, outErr, p.Do(cmd.Start)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	said, ok := strings.CutPrefix(strings.TrimSpace(line), want+" ")
	if err != nil || !ok {
		t.Fatalf("%s: %q, %v", role, line, err)
	}
	return said, func() error { _ = in.Close(); return cmd.Wait() }
}

// resident is this process's memory, as the kernel counts it.
func resident(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// TestManyConnections forwards many connections at a time, kernel to stack, all
// of which have been used, and looks at what they take: the kernel's memory and
// that of the ends is in other processes.
func TestManyConnections(t *testing.T) {
	for kind, start := range map[string]func(o Options, target string) (*Service, error){
		"forward": func(o Options, target string) (*Service, error) {
			return ForwardTCP(TCPForward{Options: o, Target: target})
		},
		"socks5": func(o Options, _ string) (*Service, error) { return SOCKS5(SOCKS5Config{Options: o}) },
		"http":   func(o Options, _ string) (*Service, error) { return HTTP(HTTPConfig{Options: o}) },
	} {
		// Each with a stack of its own: after a case its connections are in
		// TIME-WAIT.
		t.Run(kind, func(t *testing.T) { newPrivate(t).many(t, kind, start) })
	}
}

func (p *private) many(t *testing.T, kind string, start func(o Options, target string) (*Service, error)) {
	server, _ := p.role(t, "server 10.1.0.1:0", "listening")
	o := p.in()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := start(o, server)
	ending(t, s, err)
	defer func() { t.Logf("%+v", s.Snapshot()) }()
	debug.FreeOSMemory() // what the case before has left
	before, began := resident(t), time.Now()
	_, stop := p.role(t, fmt.Sprintf("client %d %s %s %s", *manyConns, kind, s.Addr(), server), "connected")
	took, with := time.Since(began), resident(t)
	if got := s.Snapshot(); got.Active != *manyConns {
		t.Errorf("%+v", got)
	}
	t.Logf("%d connections in %v, %.1f MB resident, %.1f before: %.1f KiB each", *manyConns, took.Round(time.Millisecond),
		float64(with)/1e6, float64(before)/1e6, float64(with-before)/float64(*manyConns)/1024)
	if *manyConns >= 10_000 && with > maxResident**manyConns {
		t.Errorf("%d bytes resident, want %d at most", with, maxResident**manyConns)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	wantCount(t, s, "all closed", func(s Snapshot) bool { return s.Active == 0 && s.Ended[CauseClosed] == uint64(*manyConns) })
}
