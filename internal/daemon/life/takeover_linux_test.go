package life

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"tapstack/internal/netns/netnstest"
)

// ask connects to the control socket; its holder says who he is.
func ask(t *testing.T, path string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestTakeoverAfterKill(t *testing.T) {
	dir := t.TempDir()
	at := childDir + "=" + dir
	first := spawn(t, "hold", at).start()
	if w := first.told(); w.Left || w.Running {
		t.Errorf("first: %+v", w)
	}
	if w := spawn(t, "hold", at).start().told(); !w.Running || w.PID != first.Process.Pid {
		t.Errorf("beside the first: %+v", w)
	}
	if got := ask(t, dir+"/control.sock"); got != fmt.Sprint(first.Process.Pid) {
		t.Errorf("process %s answers", got)
	}
	if info, err := os.Stat(dir + "/control.sock"); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	first.kill()
	if sig := first.reap(); sig != syscall.SIGKILL {
		t.Errorf("ended by %v", sig)
	}
	if _, err := os.Stat(dir + "/control.sock"); err != nil {
		t.Errorf("nothing is left to take over: %v", err)
	}
	second := spawn(t, "hold", at).start()
	if w := second.told(); !w.Left || w.PID != first.Process.Pid {
		t.Errorf("second: %+v", w)
	}
	if got := ask(t, dir+"/control.sock"); got != fmt.Sprint(second.Process.Pid) {
		t.Errorf("process %s answers", got)
	}
	second.in.Close()
	second.reap()
	if names, _ := filepath.Glob(dir + "/*"); len(names) != 1 || names[0] != dir+"/lock" {
		t.Errorf("left after a proper end: %v", names)
	}
	third := spawn(t, "hold", at).start()
	if w := third.told(); w.Left {
		t.Errorf("third: %+v", w)
	}
	third.in.Close()
	third.reap()
}

// Of many that start at once, over what a killed one has left, one wins; and
// the socket is its.
func TestTakeoverRace(t *testing.T) {
	dir := t.TempDir()
	at := childDir + "=" + dir
	before := spawn(t, "hold", at).start()
	before.told()
	before.kill()
	before.reap()
	var all []*process
	for range 8 {
		all = append(all, spawn(t, "hold", at).start())
	}
	var winners []*process
	for _, p := range all {
		if w := p.told(); !w.Running {
			winners = append(winners, p)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%d winners", len(winners))
	}
	if got := ask(t, dir+"/control.sock"); got != fmt.Sprint(winners[0].Process.Pid) {
		t.Errorf("process %s answers", got)
	}
}

// The TAP of a process that has just been killed is adopted by one that starts
// in the same moment.
func TestPersistentTAPIsTakenOver(t *testing.T) {
	ns := netnstest.Need(t)
	dir, name := t.TempDir(), "keep0"
	err := ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP,
			Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_ONE_QUEUE,
		})
	})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		netnstest.Skip(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var last *process
	for i := range 5 {
		p := spawn(t, "hold", childDir+"="+dir, childTAP+"="+name)
		if err := ns.Do(p.Start); err != nil {
			t.Fatal(err)
		}
		w := p.told()
		// The lock may be free a little before the process is gone, or not yet.
		for w.Running {
			p.reap()
			p = spawn(t, "hold", childDir+"="+dir, childTAP+"="+name)
			if err := ns.Do(p.Start); err != nil {
				t.Fatal(err)
			}
			w = p.told()
		}
		if w.Left != (i > 0) {
			t.Errorf("start %d: %+v", i, w)
		}
		if last != nil {
			last.reap()
		}
		p.kill()
		last = p
	}
	last.reap()
}

func TestTake(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/lock"
	c, err := Take(t.Context(), path)
	if err != nil || c.Left {
		t.Fatal(c, err)
	}
	var running *RunningError
	if _, err := Take(t.Context(), path); !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("the second: %v", err)
	}
	// Somebody cleans up: the claim of one on a file that is not there
	// excludes nobody, but whoever comes gets a lock that does.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(c.Release(), second.Release()); err != nil {
			t.Error(err)
		}
	}
	// What is in the file may be anything, and is believed only of a process
	// that began when it says.
	for _, text := range []string{
		"", "garbage", "-4 5", "1 2 3", "99999999999999999999 1", strings.Repeat("9", 1000),
		fmt.Sprintf("%d 1\n", os.Getppid()), // another one with that number
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Take(t.Context(), path)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if c.Left != (parseOwner(text).pid != 0) {
			t.Errorf("%q: left: %v", text, c.Left)
		}
		c.Release()
	}
	if err := os.Symlink("/etc/hostname", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/link", dir, dir + "/no/such"} {
		if c, err := Take(t.Context(), path); err == nil {
			t.Errorf("%s: %v", path, c)
		}
	}
}

// A predecessor that does not end is waited for as long as there is time.
func TestTakeWaitsWithinBounds(t *testing.T) {
	path := t.TempDir() + "/lock"
	parent, err := began(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(owner{os.Getppid(), parent}.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := Take(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", c, err)
	}
}

func TestListenLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	c, err := Take(t.Context(), dir+"/lock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if _, err := Listen(nil, dir+"/x", SocketConfig{}); err == nil {
		t.Error("without a claim")
	}
	if err := os.WriteFile(dir+"/file", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign, err := net.Listen("unix", dir+"/foreign")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for _, name := range []string{"file", "foreign"} {
		if _, err := Listen(c, dir+"/"+name, SocketConfig{}); err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := os.Lstat(dir + "/" + name); err != nil {
			t.Error(err)
		}
	}
	if _, err := Listen(c, dir+"/foreign", SocketConfig{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	if _, err := Listen(c, "/"+strings.Repeat("x", 200), SocketConfig{}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long path: %v", err)
	}
	nobody := 1 << 30
	if os.Geteuid() != 0 {
		return
	}
	if l, err := Listen(c, dir+"/owned", SocketConfig{GID: &nobody}); err == nil {
		defer l.Close()
		if info, _ := os.Stat(dir + "/owned"); info.Sys().(*syscall.Stat_t).Gid != uint32(nobody) {
			t.Error("not its group's")
		}
	}
}

// Whoever looks sees no socket or one with its final mode, never another.
func TestSocketIsNeverOpenToAll(t *testing.T) {
	dir := t.TempDir()
	c, err := Take(t.Context(), dir+"/lock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	path := dir + "/control.sock"
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if info, err := os.Lstat(path); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode())
				return
			}
		}
	})
	for range 200 {
		l, err := Listen(c, path, SocketConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().String() != path {
			t.Errorf("address %s", l.Addr())
		}
		l.Close()
		l.Close()
	}
	close(stop)
	watcher.Wait()
}

func TestListenAbstract(t *testing.T) {
	c, err := Take(t.Context(), t.TempDir()+"/lock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	name := fmt.Sprintf("@tapstack-life-%d", os.Getpid())
	l, err := Listen(c, name, SocketConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().String(); got != name {
		t.Errorf("address %s", got)
	}
	peer, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	peer.Close()
}
