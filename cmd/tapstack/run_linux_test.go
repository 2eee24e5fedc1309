package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
)

// needTAP is a namespace in which a TAP can be made.
func needTAP(t testing.TB) *netns.NS {
	t.Helper()
	ns := netnstest.Need(t)
	var dev tap.Device
	err := ns.Do(func() (err error) { dev, err = tap.Open(nil); return err })
	if err != nil {
		netnstest.Skip(t, err)
	}
	dev.Close()
	return ns
}

// interfaces are the names of those in ns.
func interfaces(t *testing.T, ns *netns.NS) string {
	t.Helper()
	var names []string
	err := ns.Do(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			names = append(names, l.Attrs().Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// within bounds what a test waits for: far above what it takes, so that only
// a hang ends it.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// config writes a file that everybody may read: the daemon, too, when it is
// somebody else.
func config(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(openDir(t), "tapstack.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// openDir is a directory that everybody may look into, with a path that is
// short enough for a socket.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

const good = "[nic.tap0]\naddress = ['192.168.77.2/24']\n"

// TestBadInput: one line, status 2, and nothing left behind.
func TestBadInput(t *testing.T) {
	ns := needTAP(t)
	err := ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "taken"}})
	})
	taken := "taken"
	if err != nil {
		taken = "lo" // this kernel has no dummies; lo is always there
	}
	before := interfaces(t, ns)
	flags := func(more ...string) []string {
		return append([]string{"run", "--nic", "tap0", "--address", "192.168.77.2/24"}, more...)
	}
	file := func(text string) []string { return []string{"run", "-c", config(t, text)} }
	for _, c := range []struct {
		name string
		args []string
		attr *syscall.SysProcAttr
		want string
	}{
		{"unknown key", file("\n[nic.tap0]\nadddress = []"), nil, `tapstack.toml:3: unknown key "adddress" in [nic.tap0]: did you mean "address"?`},
		{"no TOML", file("[nic"), nil, `tapstack.toml:1: `},
		{"no NIC", file(""), nil, `tapstack.toml: no NIC: add a section`},
		{"name in use", []string{"run", "--nic", taken, "--address", "192.168.77.2/24"}, nil, `interface ` + taken + ` exists already: choose another name`},
		{"malformed address", flags("--host", "192.168.77.1/33"), nil, `--host: "192.168.77.1/33" is not an address with a prefix length`},
		{"duplicate address", flags("--address", "192.168.77.2/24"), nil, `--address: address 192.168.77.2 is given twice: leave one out`},
		{"small MTU", flags("--mtu", "67"), nil, `--mtu: MTU 67 is out of range: choose one from 68 to 65521`},
		{"small MTU for IPv6", flags("--mtu", "1279", "--address", "fd00:77::2/64"), nil, `choose one from 1280 to 65521 with IPv6`},
		{"large MTU", file(good + "mtu = 65522"), nil, `tapstack.toml:3: MTU 65522 is out of range`},
		{"bad port", flags("--http", ":65536"), nil, `--http: http: port 65536 is out of range`},
		{"port in use", flags("--echo", ":7", "--http", ":7"), nil, `--http: http: TCP port 7 is in use by echo: choose another`},
		{"no permission", flags(), &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}, `permitted: run as root, or give the program CAP_NET_ADMIN`},
		{"no /dev/net/tun", flags(), &syscall.SysProcAttr{Chroot: filepath.Dir(program)}, `/dev/net/tun: open: no such file or directory: load the driver with "modprobe tun"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := program
			if c.attr != nil && c.attr.Chroot != "" {
				path = "/" + filepath.Base(program)
			}
			cmd := exec.CommandContext(within(t), path, c.args...)
			cmd.SysProcAttr = c.attr
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := ns.Do(cmd.Run) // in the namespace of that thread
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("it did not start, or did not fail: %v\n%s", err, &stdout)
			}
			checkRefusal(t, exit.ExitCode(), stdout.String(), stderr.String(), c.want)
			if got := interfaces(t, ns); got != before {
				t.Errorf("interfaces before: %s; after: %s", before, got)
			}
		})
	}
}

// A process is a tapstack run in a namespace.
type process struct {
	*exec.Cmd
	ns     *netns.NS
	text   string // what it printed when it was ready
	stderr bytes.Buffer
	socket string // its control socket
}

// start runs the program with the given flags until it says that it is up.
func start(t testing.TB, ns *netns.NS, args ...string) *process {
	t.Helper()
	p := prepare(t, ns, args...)
	p.begin(t)
	return p
}

// prepare makes the command. Its socket is one of its own: tests of other
// checkouts may run beside this one.
func prepare(t testing.TB, ns *netns.NS, args ...string) *process {
	t.Helper()
	p := &process{ns: ns, socket: filepath.Join(openDir(t), "s")}
	p.Cmd = exec.CommandContext(within(t), program, append([]string{"run", "--socket", p.socket}, args...)...)
	p.Stderr = &p.stderr
	return p
}

// begin starts it and waits until it is up.
func (p *process) begin(t testing.TB) {
	t.Helper()
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ns.Do(p.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
	for r := bufio.NewReader(stdout); !strings.Contains(p.text, "\n  ping "); {
		line, err := r.ReadString('\n')
		if err != nil {
			_ = p.Wait()
			t.Fatalf("it ended: %v\n%s%s", err, p.text, &p.stderr)
		}
		p.text += line
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
}

func (p *process) dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := p.ns.DialContext(within(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ping sends and receives a few bytes, so that the connection is served.
func ping(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

// echoes has a connection served, and ends it.
func (p *process) echoes(t testing.TB, address string) {
	t.Helper()
	c := p.dial(t, address)
	defer c.Close()
	ping(t, c)
}

// TestSIGTERM: every connection gets EOF and not a reset, the status is 0, and
// the TAP is gone.
func TestSIGTERM(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			ns := needTAP(t)
			p := start(t, ns, "-c", "../../testdata/tapstack.toml")
			if !strings.Contains(p.text, "192.168.77.2") || !strings.Contains(p.text, "fd00:77::1/64") {
				t.Errorf("it printed:\n%s", p.text)
			}
			web := &http.Client{Transport: &http.Transport{DialContext: ns.DialContext}}
			resp, err := web.Get("http://192.168.77.2/")
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !strings.Contains(string(page), "NIC tap0") {
				t.Errorf("%v, page:\n%s", err, page)
			}

			echo4, echo6 := p.dial(t, "192.168.77.2:7"), p.dial(t, "[fd00:77::2]:7")
			ping(t, echo4)
			ping(t, echo6)
			conns := []net.Conn{echo4, echo6, p.dial(t, "192.168.77.2:9"), p.dial(t, "192.168.77.2:80"), p.dial(t, "192.168.77.2:19")}
			if _, err := io.ReadFull(conns[4], make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if err := p.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			for _, c := range conns {
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Errorf("%v: %v, want EOF", c.RemoteAddr(), err)
				}
				c.Close()
			}
			if err := p.Wait(); err != nil {
				t.Errorf("%v, want status 0; stderr:\n%s", err, &p.stderr)
			}
			if got := interfaces(t, ns); got != "lo" {
				t.Errorf("interfaces left: %s", got)
			}
		})
	}
}

// TestSecondSignal: it does not wait for a peer that does not close.
func TestSecondSignal(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "--nic", "tap0", "--address", "192.168.77.2/24", "--host", "192.168.77.1/24", "--echo", ":7")
	c := p.dial(t, "192.168.77.2:7")
	ping(t, c)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// Our FIN says that the first was heard.
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want EOF", err)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	if st, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGTERM {
		t.Errorf("%v, want to be ended by SIGTERM", p.ProcessState)
	}
	if got := interfaces(t, ns); got != "lo" {
		t.Errorf("interfaces left: %s", got)
	}
}

// TestDeviceDeleted: not the operator's mistake, so status 1.
func TestDeviceDeleted(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "--nic", "tap0", "--address", "192.168.77.2/24")
	err := ns.Do(func() error {
		l, err := netlink.LinkByName("tap0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	if got := p.ProcessState.ExitCode(); got != 1 {
		t.Errorf("status %d, want 1", got)
	}
	_, last, _ := strings.Cut("\n"+p.stderr.String(), "\ntapstack: ")
	if strings.Count(last, "\n") != 1 || !strings.Contains(last, "interface is gone") {
		t.Errorf("stderr:\n%s", &p.stderr)
	}
}
