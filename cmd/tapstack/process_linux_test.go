package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

// needUsers ends the test where there is nobody else to become: in a user
// namespace of an ordinary user.
func needUsers(t testing.TB) {
	t.Helper()
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(m)); os.Getuid() != 0 || f[2] == "1" {
		netnstest.Skip(t, errors.New("there is no other user to become in this user namespace"))
	}
}

// threads are the status files of a process's threads, as the kernel shows
// them: each a map from "Uid" to "0 0 0 0".
func threads(t testing.TB, pid int) (out []map[string]string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d threads, %v: a Go program has more", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		status := make(map[string]string)
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			status[key] = strings.Join(strings.Fields(value), " ")
		}
		out = append(out, status)
	}
	return out
}

// isDropped demands that no thread can do more than the program needs.
func (p *process) isDropped(t testing.TB) {
	t.Helper()
	const none = "0000000000000000"
	for _, status := range threads(t, p.Process.Pid) {
		for key, want := range map[string]string{
			"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
			"NoNewPrivs": "1", "Seccomp": "2",
		} {
			if status[key] != want {
				t.Errorf("thread %s: %s is %s, want %s", status["Pid"], key, status[key], want)
			}
		}
	}
}

// hasNothing is isDropped for one that could not empty its bounding set, which
// takes CAP_SETPCAP.
func (p *process) hasNothing(t testing.TB) {
	t.Helper()
	for _, status := range threads(t, p.Process.Pid) {
		if strings.Trim(status["CapEff"]+status["CapPrm"]+status["CapAmb"]+status["CapInh"], "0") != "" || status["NoNewPrivs"] != "1" || status["Seccomp"] != "2" {
			t.Errorf("%v", status)
		}
	}
}

// isUser demands that every thread is of one user and one group, and no other.
func (p *process) isUser(t testing.TB, uid, gid int) {
	t.Helper()
	for _, status := range threads(t, p.Process.Pid) {
		for key, id := range map[string]int{"Uid": uid, "Gid": gid} {
			if want := fmt.Sprintf("%d %d %d %d", id, id, id, id); status[key] != want {
				t.Errorf("thread %s: %s is %s, want %s", status["Pid"], key, status[key], want)
			}
		}
		if status["Groups"] != "" {
			t.Errorf("thread %s: in the groups %s", status["Pid"], status["Groups"])
		}
	}
}

// stopped ends it as an operator does, and gives what it has logged.
func (p *process) stopped(t testing.TB) string {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("%v, want status 0; stderr:\n%s", err, &p.stderr)
	}
	return p.stderr.String()
}

// TestUser: whom it becomes, and what it leaves behind then.
func TestUser(t *testing.T) {
	ns := needTAP(t)
	needUsers(t)
	file := config(t, controlledConfig)
	t.Run("number", func(t *testing.T) {
		p := prepare(t, ns, "-c", file, "--user", "61234", "--group", "61235")
		p.socket = filepath.Join(openDir(t), "made", "s")
		p.Args = append(p.Args, "--socket", p.socket)
		p.begin(t)
		p.isDropped(t)
		p.isUser(t, 61234, 61235)
		p.wants(t, 0, "ss -ta", "LISTEN")
		p.stopped(t)
		if _, err := os.Lstat(p.socket); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	t.Run("root", func(t *testing.T) {
		p := start(t, ns, "-c", file, "--user", "root")
		p.isDropped(t)
		if log := p.stopped(t); !strings.Contains(log, "still root") || !strings.Contains(log, "for debugging only") {
			t.Errorf("it does not say so:\n%s", log)
		}
		if _, err := os.Lstat(p.socket); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	t.Run("nothing limited", func(t *testing.T) {
		p := start(t, ns, "-c", file, "--seccomp", "off", "--landlock", "off")
		for _, status := range threads(t, p.Process.Pid) {
			if status["Seccomp"] != "0" || status["NoNewPrivs"] != "1" {
				t.Errorf("%v", status)
			}
		}
		if log := p.stopped(t); strings.Count(log, "not in force: switched off in the configuration") != 2 {
			t.Errorf("it does not say so:\n%s", log)
		}
	})
	for name, args := range map[string][]string{
		`user "no-such-user" is not known here`:                 {"--user", "no-such-user"},
		"a group without a user: give the user, too":            {"--user", "root", "--group", "nogroup"},
		`--seccomp: seccomp: "on": choose auto, required, off`:  {"--seccomp", "on"},
		`--landlock: landlock: "log": choose auto, required`:    {"--landlock", "log"},
		`--metrics: listen: "0.0.0.0:9477": write a loopback`:   {"--metrics", "0.0.0.0:9477"},
		`--log-level: level: log level "loud": choose debug`:    {"--log-level", "loud"},
		`--log-format: format: "xml": choose text or json`:      {"--log-format", "xml"},
		"tapstack.toml:3: drain: \"never\": write a time up to": {"-c", config(t, good+"\n[process]\ndrain = 'never'\n")},
	} {
		cmd := exec.CommandContext(within(t), program, append([]string{"run", "-c", file}, args...)...)
		var out []byte
		err := ns.Do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
		if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), strings.Replace(name, ":3:", ":5:", 1)) {
			t.Errorf("%v: %v\n%s\nwant %s", args, err, out, name)
		}
	}
	if got := interfaces(t, ns); got != "lo" {
		t.Errorf("interfaces left: %s", got)
	}
}

// TestNotRoot: what can be dropped is, by whoever it is, and the log says what
// could not.
func TestNotRoot(t *testing.T) {
	ns := needTAP(t)
	needUsers(t)
	if err := os.Chmod(filepath.Dir(program), 0o711); err != nil {
		t.Fatal(err)
	}
	t.Run("user namespace", func(t *testing.T) {
		p := prepare(t, ns, "-c", config(t, controlledConfig))
		p.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		}
		p.begin(t)
		p.isDropped(t)
		p.wants(t, 0, "ss -ta", "LISTEN")
		if log := p.stopped(t); !strings.Contains(log, "this user namespace has no other user to become") {
			t.Errorf("it does not say so:\n%s", log)
		}
	})
	t.Run("as the unit starts it", func(t *testing.T) {
		const uid = 61234
		// A group that only root could give the socket: the one of the example.
		p := prepare(t, ns, "-c", config(t, controlledConfig+"[metrics]\nlisten = '127.0.0.1:77'\n[control]\nmode = '0666'\ngroup = '0'\n"))
		if err := os.Chown(filepath.Dir(p.socket), uid, uid); err != nil {
			t.Fatal(err)
		}
		p.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: uid, Gid: uid},
			AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_DAC_OVERRIDE},
		}
		p.Dir = "/"
		p.begin(t)
		p.isUser(t, uid, uid)
		p.hasNothing(t)
		p.echoes(t, "192.168.77.2:7")
		p.wants(t, 0, "reload")
		if log := p.stopped(t); strings.Contains(log, "WARN") {
			t.Errorf("stderr:\n%s", log)
		}
		if _, err := os.Lstat(p.socket); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	t.Run("pre-made TAP", func(t *testing.T) {
		const uid = 61234
		makeTAP(t, ns, "made0", uid)
		p := prepare(t, ns, "--nic", "made0", "--adopt", "--address", "192.168.77.2/24", "--echo", ":7")
		if err := os.Chown(filepath.Dir(p.socket), uid, uid); err != nil {
			t.Fatal(err)
		}
		p.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uid, Gid: uid},
			// Where /dev/net/tun is root's alone; elsewhere it is everybody's.
			AmbientCaps: []uintptr{unix.CAP_DAC_OVERRIDE},
		}
		p.Dir = "/"
		p.begin(t)
		p.isUser(t, uid, uid)
		p.hasNothing(t)
		p.wants(t, 0, "ss -ta", "LISTEN")
		p.echoes(t, "192.168.77.2:7")
		if log := p.stopped(t); !strings.Contains(log, "not started as root: it stays user 61234") || !strings.Contains(log, "capability bounding set: kept") {
			t.Errorf("it does not say so:\n%s", log)
		}
		if _, err := os.Lstat(p.socket); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
}

// makeTAP makes a persistent TAP as an administrator does, with the kernel's end
// of it at 192.168.77.1.
func makeTAP(t testing.TB, ns *netns.NS, name string, uid uint32) {
	t.Helper()
	err := ns.Do(func() error {
		tun := &netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP, Owner: uid, Group: uid,
			Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_ONE_QUEUE,
		}
		if err := netlink.LinkAdd(tun); err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("192.168.77.1/24")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(tun, addr); err != nil {
			return err
		}
		return netlink.LinkSetUp(tun)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTakeover: a persistent TAP and a socket, after kill -9, by one that starts
// in the same moment; every time.
func TestTakeover(t *testing.T) {
	ns := needTAP(t)
	makeTAP(t, ns, "keep0", uint32(os.Getuid()))
	dir := openDir(t)
	var last *process
	for range 5 {
		p := prepare(t, ns, "--nic", "keep0", "--adopt", "--address", "192.168.77.2/24", "--echo", ":7")
		p.socket = filepath.Join(dir, "s")
		p.Args = append(p.Args, "--socket", p.socket)
		if last != nil {
			if err := last.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = last.Wait()
		}
		p.begin(t)
		p.echoes(t, "192.168.77.2:7")
		p.wants(t, 0, "ss -ta", "LISTEN")
		last = p
	}
	if log := last.stopped(t); !strings.Contains(log, "taking over from a daemon that was killed") {
		t.Errorf("it does not say so:\n%s", log)
	}
	if got := interfaces(t, ns); got != "lo keep0" {
		t.Errorf("interfaces: %s", got)
	}
}

// TestNeedsPrivilege: what a reload can not do any more is refused with the
// reason, and what it can it does.
func TestNeedsPrivilege(t *testing.T) {
	ns := needTAP(t)
	needUsers(t)
	file := config(t, controlledConfig)
	p := start(t, ns, "-c", file)
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(controlledConfig+"[nic.tap1]\naddress = ['192.168.78.2/24']\n[log]\nlevel = 'debug'\n", 0o644)
	out := p.wants(t, 0, "reload --json")
	var done struct{ Changed, Restart []string }
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatal(err)
	}
	const want = "nic.tap1 (added): make TAP tap1: needs CAP_NET_ADMIN, which this process has given up after its start"
	if len(done.Restart) != 1 || done.Restart[0] != want || fmt.Sprint(done.Changed) != "[log.level]" {
		t.Errorf("%+v, want %s", done, want)
	}
	p.wants(t, 0, "set", "log-level=debug")

	write(controlledConfig+"[metrics]\nlisten = '127.0.0.1:100'\n", 0o644)
	p.wants(t, 1, "reload", "metrics: listen on 127.0.0.1:100: needs CAP_NET_BIND_SERVICE, which this process has given up")
	p.wants(t, 0, "set", "log-level=debug") // everything as it was
	write(controlledConfig, 0o600)
	p.wants(t, 1, "reload", "permission denied: it has to be readable, with its directory, by user 65534")
	write(controlledConfig+"[process]\nuser = 'root'\n", 0o644)
	p.wants(t, 0, "reload", "process.user")
	p.stopped(t)

	write(controlledConfig, 0o600)
	p = start(t, ns, "-c", file)
	if log := p.stopped(t); !strings.Contains(log, "a reload will be refused") {
		t.Errorf("it does not say so:\n%s", log)
	}
}
