package netns_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
)

// childMode, when set, makes this test binary a program that calls Enter.
const childMode = "NETNS_TEST_CHILD"

// program is this test binary as a program that calls Enter.
func program(t *testing.T, mode string) *exec.Cmd {
	netnstest.Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "an", "argument")
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	cmd.Dir = "/" // an ordinary user may not see ours
	cmd.Stderr = os.Stderr
	return cmd
}

// child is what that program does; it does not return.
func child(mode string) {
	if err := netns.Enter(); err != nil {
		fmt.Println("enter:", err)
		os.Exit(3)
	}
	switch mode {
	case "report":
		again := netns.Enter()
		ns, _ := os.Readlink("/proc/self/ns/net")
		l, err := net.Listen("tcp", "127.0.0.1:80")
		fmt.Printf("%s|%s|%v|%v|%v", ns, strings.Join(os.Args[1:], " "), again, l != nil, err)
		os.Exit(7)
	case "user":
		ns, err := netns.New()
		if err == nil {
			_, err = ns.Listen("tcp", "127.0.0.1:80")
		}
		fmt.Printf("uid %d: %v\n", os.Getuid(), err)

		// This limit is the user namespace's own; the host's stays.
		if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0); err != nil {
			fmt.Println(err)
		}
		_, err = netns.New()
		fmt.Println(err)
		os.Exit(7)
	case "wait":
		fmt.Println("ready")
		select {}
	}
	os.Exit(4)
}

func TestEnter(t *testing.T) {
	before := mainNS(t)
	out, err := program(t, "report").Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit status: %v, want the child's, 7", err)
	}
	ns, rest, _ := strings.Cut(string(out), "|")
	if !strings.HasPrefix(ns, "net:") || ns == before {
		t.Errorf("in %q, caller in %q", ns, before)
	}
	if want := "an argument|<nil>|true|<nil>"; rest != want {
		t.Errorf("child says %q, want %q", rest, want)
	}
}

// A marker that another program left in the environment is not believed.
func TestEnterIgnoresForeignMarker(t *testing.T) {
	before := mainNS(t)
	cmd := program(t, "report")
	cmd.Env = append(cmd.Env, "TAPSTACK_NETNS=1,net:[1]")
	out, _ := cmd.Output()
	if ns, _, _ := strings.Cut(string(out), "|"); !strings.HasPrefix(ns, "net:") || ns == before {
		t.Errorf("in %q, caller in %q", ns, before)
	}
}

func TestEnterForwardsSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, out := start(t, program(t, "wait"))
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, out) // until both processes are gone
		err := cmd.Wait()
		if cmd.ProcessState.ExitCode() != 128+int(sig) {
			t.Errorf("after %v: %v, want exit status %d", sig, err, 128+int(sig))
		}
	}
}

// Ctrl-Z and fg: both stop, both go on.
func TestEnterStopsAndContinues(t *testing.T) {
	cmd, _ := start(t, program(t, "wait"))
	defer cmd.Wait()
	defer cmd.Process.Kill()
	parent := cmd.Process.Pid
	// Listed by the thread that cloned it, which may be any.
	var kids []byte
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if len(files) == 0 {
		t.Skip("this kernel lists no children in /proc: ", err)
	}
	for _, f := range files {
		more, _ := os.ReadFile(f)
		kids = append(kids, more...)
	}
	var child int
	if _, err := fmt.Sscan(string(kids), &child); err != nil {
		t.Fatalf("no child of %d: %v", parent, err)
	}
	both := func(stopped bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for _, pid := range []int{parent, child} {
			for inState(pid, 'T') != stopped {
				if time.Now().After(deadline) {
					t.Fatalf("process %d: stopped is %v", pid, !stopped)
				}
			}
		}
	}
	cmd.Process.Signal(syscall.SIGTSTP)
	both(true)
	cmd.Process.Signal(syscall.SIGCONT)
	both(false)
}

// inState reports whether /proc says that a process is in the state.
func inState(pid int, state byte) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return len(rest) > 0 && rest[0] == state
}

func TestEnterChildDiesWithParent(t *testing.T) {
	cmd, out := start(t, program(t, "wait"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The child holds the other end too: this is a hang should it live.
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	cmd.Wait()
}

// start starts cmd and waits until its child says that it is ready.
func start(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, io.Reader) {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	return cmd, out
}

func TestOrdinaryUser(t *testing.T) {
	if m, err := os.ReadFile("/proc/self/uid_map"); err != nil || !strings.HasSuffix(string(m), "4294967295\n") {
		t.Skip("in a user namespace already: an ordinary user runs all the other tests")
	}
	const nobody = 65534
	cmd := program(t, "user")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	got := string(out)
	if strings.HasPrefix(got, "enter:") {
		if os.Getenv("TAPSTACK_REQUIRE_TAP") == "1" {
			t.Fatal("TAPSTACK_REQUIRE_TAP=1, but this system gives ordinary users no user namespace: ", got)
		}
		t.Skip("this system gives ordinary users no user namespace: ", got)
	}
	want := "uid 0: <nil>\n" +
		"no private network namespace: unshare: no space left on device" +
		" (as root: sysctl -w user.max_net_namespaces=10000; or run as root)\n"
	if got != want || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v; child says\n%swant\n%s", err, got, want)
	}
}
