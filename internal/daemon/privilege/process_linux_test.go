package privilege

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

// process is a child with its pipes.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	errs  bytes.Buffer
	first reply // to the drop
}

// start runs a child in ns, up to after its drop.
func start(t *testing.T, ns *netns.NS, cfg childConfig, opts ...func(*exec.Cmd)) *process {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	p := &process{t: t, cmd: exec.CommandContext(ctx, "/proc/self/exe")}
	p.cmd.Env = append(os.Environ(), childMode+"="+string(text))
	p.cmd.Stderr = &p.errs
	for _, opt := range opts {
		opt(p.cmd)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 1<<20)
	if err := ns.Do(p.cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		p.in.Close()
		_ = p.cmd.Wait() // an error: killed, or ended before
		if t.Failed() {
			t.Logf("child: %s", &p.errs)
		}
	})
	p.first = p.next()
	return p
}

func (p *process) next() (r reply) {
	p.t.Helper()
	if !p.out.Scan() {
		p.in.Close()
		_ = p.cmd.Wait()
		p.t.Fatalf("the child has ended: %v: %s", p.cmd.ProcessState, &p.errs)
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// do runs one command.
func (p *process) do(command ...string) reply {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, strings.Join(command, " ")); err != nil {
		p.t.Fatal(err)
	}
	return p.next()
}

// must is do, without an error.
func (p *process) must(command ...string) string {
	p.t.Helper()
	r := p.do(command...)
	if r.Err != "" {
		p.t.Fatalf("%v: %v", command, r.Err)
	}
	return r.Value
}

// end has the child end by itself.
func (p *process) end() {
	p.t.Helper()
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("child: %v: %s", err, &p.errs)
	}
}

// report is what Drop said.
func (p *process) report() (r Report) {
	p.t.Helper()
	if p.first.Err != "" {
		p.t.Fatal(p.first.Err)
	}
	if err := json.Unmarshal([]byte(p.first.Value), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// room is a directory that every user can look into.
func room(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "privilege")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{dir, dir + "/shared", dir + "/open"} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{dir + "/shared/file", dir + "/file"} {
		if err := os.WriteFile(f, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// other is a user to become; the test ends where there is none: in a user
// namespace of an ordinary user there is one user only.
const other = "65534"

func needUsers(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(b)); os.Getuid() != 0 || f[2] == "1" {
		netnstest.Skip(t, fmt.Errorf("there is no other user to become in this user namespace"))
	}
}

// threadsAre checks each thread's status for lines, by reading it from outside.
func (p *process) threadsAre(want map[string]string) (threads int) {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	if err != nil || len(files) < 3 {
		p.t.Fatalf("%d threads, %v: a Go program has more", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if gone(err) {
			continue
		}
		if err != nil {
			p.t.Fatal(err)
		}
		threads++
		for key, value := range want {
			_, rest, found := strings.Cut("\n"+string(b), "\n"+key+":")
			line, _, _ := strings.Cut(rest, "\n")
			if got := strings.Join(strings.Fields(line), " "); !found || got != value {
				p.t.Errorf("%s: %s is %q, want %q", name, key, got, value)
			}
		}
	}
	return threads
}

// nothing is what every thread has after a drop, but for who it is.
func nothing() map[string]string {
	const none = "0000000000000000"
	return map[string]string{
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		"NoNewPrivs": "1", "Seccomp": "2",
	}
}

func setMTU(name string, mtu int) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetMTU(l, mtu)
}

func addrPort(p netip.Prefix) string { return netip.AddrPortFrom(p.Addr(), 7).String() }

// echo sends some megabytes through an echo service and reads them back, in
// pieces that the buffers on the way hold.
func echo(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), network, addr string) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := dial(ctx, network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	sent := bytes.Repeat([]byte("0123456789abcdef"), 128<<10/16)
	got := make([]byte, len(sent))
	for range 32 {
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		clear(got)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%v, or not what was sent", err)
		}
	}
}
