package privilege

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/daemon/metrics"
	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
	"tapstack/tap/capture"
)

func TestDropInEveryThread(t *testing.T) {
	needUsers(t)
	ns, dir := netnstest.Need(t), room(t)
	p := start(t, ns, childConfig{Work: dir, Drop: &Config{User: other, Groups: []string{"12345"}}})
	r := p.report()
	want := nothing()
	want["Uid"], want["Gid"], want["Groups"] = "65534 65534 65534 65534", "65534 65534 65534 65534", "12345"
	if n := p.threadsAre(want); r.Threads == 0 || n == 0 {
		t.Errorf("%d threads reported, %d seen", r.Threads, n)
	}
	if r.UID != 65534 || r.GID != 65534 || fmt.Sprint(r.Groups) != "[12345]" || !r.NoNewPrivs || !r.Seccomp ||
		r.Calls < 50 || r.Capabilities != 0 || r.Bounding != 0 {
		t.Errorf("report: %+v", r)
	}
	// New threads have what their makers have.
	p.must("runtime")
	p.threadsAre(want)
	if got := p.do("drop"); got.Err != ErrDropped.Error() {
		t.Errorf("a second drop: %+v", got)
	}
	p.end()
}

// Whoever has no user to become loses what he has as root all the same.
func TestDropStayingTheSameUser(t *testing.T) {
	p := start(t, netnstest.Need(t), childConfig{Drop: &Config{}})
	if r := p.report(); r.UID != os.Getuid() || r.Capabilities != 0 || r.Bounding != 0 {
		t.Errorf("report: %+v", r)
	}
	p.threadsAre(nothing())
	p.end()
}

func TestRefusedCalls(t *testing.T) {
	ns := netnstest.Need(t)
	free, bound := start(t, ns, childConfig{}), start(t, ns, childConfig{Drop: &Config{Landlock: Off}})
	bound.report()
	for name := range refused {
		t.Run(name, func(t *testing.T) {
			if got := free.do("call", name); got.Errno == int(unix.EPERM) {
				t.Errorf("EPERM without a filter: the test shows nothing")
			}
			if got := bound.do("call", name); got.Errno != int(unix.EPERM) {
				t.Errorf("%+v, want EPERM", got)
			}
		})
	}
	for name := range passes {
		if got := bound.do("call", name); got.Errno == int(unix.EPERM) {
			t.Errorf("%s: refused", name)
		}
	}
	bound.end() // it goes on
}

func TestFiles(t *testing.T) {
	if _, err := landlockABI(); err != nil {
		netnstest.Skip(t, err)
	}
	ns, dir := netnstest.Need(t), room(t)
	free := start(t, ns, childConfig{Drop: &Config{Landlock: Off, Seccomp: Off}})
	bound := start(t, ns, childConfig{Drop: &Config{
		Landlock: Required, Read: []string{dir + "/file", dir + "/gone"}, Write: []string{dir + "/shared"},
	}})
	r := bound.report()
	if r.LandlockABI == 0 || len(r.Read) != 1 || len(r.Write) != 1 || !strings.Contains(fmt.Sprint(r.Notes), "/gone") {
		t.Errorf("report: %+v", r)
	}
	for _, c := range []struct {
		command, path string
		allowed       bool
	}{
		{"read", dir + "/file", true},
		{"write", dir + "/file", false},
		{"remove", dir + "/file", false},
		{"write", dir + "/shared/new", true},
		{"read", dir + "/shared/new", true},
		{"remove", dir + "/shared/new", true},
		{"write", dir + "/open/new", false},
		{"read", dir + "/shared/../open/other", false},
		{"read", "/etc/passwd", false},
		{"read", "/proc/self/status", true},
		{"read", fmt.Sprintf("/proc/%d/status", os.Getpid()), false},
	} {
		if err := os.WriteFile(dir+"/open/other", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		got := bound.do(c.command, c.path)
		switch {
		case c.allowed && got.Err != "":
			t.Errorf("%s %s: %s", c.command, c.path, got.Err)
		case !c.allowed && got.Errno != int(unix.EACCES):
			t.Errorf("%s %s: %+v, want EACCES", c.command, c.path, got)
		}
		if got := free.do(c.command, c.path); !c.allowed && got.Err != "" {
			t.Errorf("%s %s: %s without Landlock: the test shows nothing", c.command, c.path, got.Err)
		}
		if err := os.WriteFile(dir+"/file", []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bound.end()
}

// notifySocket is an abstract name, of the namespace.
const notifySocket = "@tapstack-privilege-test"

// A path that the new user can not get to is no reason to stay root.
func TestPathOutOfReach(t *testing.T) {
	needUsers(t)
	dir := room(t)
	if err := os.MkdirAll(dir+"/closed/file", 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, netnstest.Need(t), childConfig{Drop: &Config{User: other, Read: []string{dir + "/closed/file"}}})
	if r := p.report(); r.LandlockABI > 0 && !strings.Contains(fmt.Sprint(r.Notes), "/closed/file") {
		t.Errorf("report: %+v", r)
	}
	p.end()
}

func TestWorkGoesOn(t *testing.T) {
	needUsers(t)
	ns, dir := netnstest.Need(t), room(t)
	var manager *net.UnixConn
	err := ns.Do(func() (err error) {
		manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notifySocket, Net: "unixgram"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	p := start(t, ns, childConfig{Work: dir, Drop: &Config{
		User: other, Read: append(metrics.Reads(), dir+"/shared"),
	}}, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notifySocket) })
	r := p.report()
	for _, at := range []string{"127.0.0.1:9007", addrPort(fastOurs), addrPort(plainOurs)} {
		t.Run(at, func(t *testing.T) { echo(t, ns.DialContext, "tcp", at) })
	}
	t.Run("unix", func(t *testing.T) {
		echo(t, new(net.Dialer).DialContext, "unix", dir+"/control.sock")
	})
	t.Run("dial the host", func(t *testing.T) { dialsHost(t, ns, p) })
	t.Run("listen", func(t *testing.T) { p.must("listen", "127.0.0.1:0") })
	t.Run("news of the link", func(t *testing.T) { hearsNews(t, ns, p) })
	t.Run("runtime", func(t *testing.T) { p.must("runtime") })
	t.Run("profile", func(t *testing.T) {
		if p.must("profile") == "0" {
			t.Error("an empty profile")
		}
	})
	t.Run("metrics", func(t *testing.T) { showsMetrics(t, p) })
	t.Run("service manager", func(t *testing.T) { tellsManager(t, p, manager, r.LandlockABI) })
	t.Run("claim", func(t *testing.T) { p.must("release") })
	t.Run("configuration again", func(t *testing.T) {
		if got := p.must("read", dir+"/shared/file"); got != "content" {
			t.Errorf("%q", got)
		}
	})
	t.Run("capture", func(t *testing.T) { captures(t, p, dir) })
	t.Run("needs privilege", func(t *testing.T) { needs(t, p) })
	t.Run("what a socket has received", func(t *testing.T) {
		if got := p.must("queued", "127.0.0.1:9007"); got == "0" {
			t.Errorf("%s bytes", got)
		}
	})
	t.Run("TAP gone", func(t *testing.T) { losesTAP(t, ns, p) })
	p.end()
	err = ns.Do(func() error {
		links, err := netlink.LinkList()
		if len(links) != 1 { // lo
			t.Errorf("%d interfaces are left", len(links))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func dialsHost(t *testing.T, ns *netns.NS, p *process) {
	l, err := ns.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	if got := p.must("dial", "tcp", l.Addr().String()); got != "hello" {
		t.Errorf("%q came back", got)
	}
}

func hearsNews(t *testing.T, ns *netns.NS, p *process) {
	if err := ns.Do(func() error { return setMTU("watched0", 1400) }); err != nil {
		t.Fatal(err)
	}
	if got := p.must("news", "1400"); got != "1400" {
		t.Errorf("MTU %s", got)
	}
	if got := p.must("look"); got != "1400" {
		t.Errorf("MTU %s", got)
	}
}

// losesTAP: that a TAP is gone is found out by asking its file.
func losesTAP(t *testing.T, ns *netns.NS, p *process) {
	err := ns.Do(func() error {
		l, err := netlink.LinkByName("watched0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.do("look"); !strings.Contains(got.Err, tap.ErrGone.Error()) {
		t.Errorf("%+v, want %v", got, tap.ErrGone)
	}
}

func captures(t *testing.T, p *process, dir string) {
	if p.must("capture") == "0" {
		t.Error("no frames captured")
	}
	f, err := os.Open(dir + "/capture.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Error(err)
	}
}

func showsMetrics(t *testing.T, p *process) {
	text := p.must("metrics")
	for _, name := range []string{"process_start_time_seconds", "process_open_fds", "process_resident_memory_bytes", `tapstack_nic_kernel_queue_frames{nic="watched0"}`} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

func tellsManager(t *testing.T, p *process, manager *net.UnixConn, abi int) {
	b := make([]byte, 100)
	p.must("ready")
	_ = manager.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := manager.Read(b); string(b[:n]) != "READY=1\nSTATUS=up" {
		t.Errorf("%q, %v", b[:n], err)
	}
	// It has to have been connected before.
	if got := p.do("abstract", notifySocket); abi >= 6 && got.Errno != int(unix.EPERM) {
		t.Errorf("a new connection to it: %+v", got)
	}
}

// needs: what only root could do says so.
func needs(t *testing.T, p *process) {
	for _, c := range []struct{ command, arg, needs string }{
		{"tap", "late0", "CAP_NET_ADMIN"},
		{"listen", "127.0.0.1:80", "CAP_NET_BIND_SERVICE"},
	} {
		got := p.do(c.command, c.arg)
		if !got.Needs || !strings.Contains(got.Err, c.needs) || !strings.Contains(got.Err, c.arg) {
			t.Errorf("%s %s: %+v", c.command, c.arg, got)
		}
	}
	if got := p.do("needs", "adopt", "CAP_NET_ADMIN"); !got.Needs {
		t.Errorf("%+v", got)
	}
	// What is wrong for another reason stays what it is.
	if got := p.do("listen", "192.0.2.99:8080"); got.Needs || got.Errno != int(unix.EADDRNOTAVAIL) {
		t.Errorf("%+v", got)
	}
}

func TestDropRefuses(t *testing.T) {
	ns := netnstest.Need(t)
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"unknown user", Config{User: "no such user"}, "no such user"},
		{"unknown group", Config{User: other, Group: "no such group"}, "no such group"},
		{"root", Config{User: "root"}, "root"},
		{"root by group", Config{User: other, Group: "0"}, "root"},
		{"root by another group", Config{User: other, Groups: []string{"0"}}, "root"},
		{"group alone", Config{Group: "1"}, "without a user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, ns, childConfig{Drop: &c.cfg})
			if !strings.Contains(p.first.Err, c.want) {
				t.Errorf("%+v, want %q", p.first, c.want)
			}
			if got := p.do("needs", "x", "y"); got.Err != "" {
				t.Errorf("it counts as dropped: %v", got.Err)
			}
		})
	}
}

// An ordinary user can not become another, and is told.
func TestBecomeWithoutPrivilege(t *testing.T) {
	needUsers(t)
	p := start(t, netnstest.Need(t), childConfig{Drop: &Config{User: "1"}}, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	if !p.first.Needs || p.first.Errno != int(unix.EPERM) || !strings.Contains(p.first.Err, "CAP_SETUID") {
		t.Errorf("%+v", p.first)
	}
}

// He may give up the rest.
func TestDropAsOrdinaryUser(t *testing.T) {
	needUsers(t)
	p := start(t, netnstest.Need(t), childConfig{Drop: &Config{}}, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	if r := p.report(); r.Capabilities != 0 || r.Bounding == 0 || !strings.Contains(fmt.Sprint(r.Notes), "bounding") {
		t.Errorf("report: %+v", r)
	}
	want := nothing()
	delete(want, "CapBnd")
	p.threadsAre(want)
	p.end()
}
