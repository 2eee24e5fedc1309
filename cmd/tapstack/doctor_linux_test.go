package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tapstack/internal/doctor"
	"tapstack/internal/netns/netnstest"
)

// examination is one run of tapstack doctor.
type examination struct {
	status         int
	stdout, stderr string
}

// examine runs the program, after whatever prepare does to the thread that it
// is started from.
func examine(t *testing.T, attr *syscall.SysProcAttr, prepare func() error, args ...string) examination {
	t.Helper()
	cmd := exec.CommandContext(within(t), program, append([]string{"doctor"}, args...)...)
	cmd.Dir = "/" // an ordinary user may not see ours
	cmd.SysProcAttr = attr
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with what was done to it
		if err := prepare(); err != nil {
			failed <- err
			return
		}
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = nil
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return examination{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func nothing() error { return nil }

func TestDoctor(t *testing.T) {
	needTAP(t)
	text := examine(t, nil, nothing)
	asJSON := examine(t, nil, nothing, "--json")
	if text.status != 0 || text.stderr != "" || !strings.Contains(text.stdout, "\noffloads\n") {
		t.Errorf("%+v", text)
	}
	var report doctor.Report
	dec := json.NewDecoder(strings.NewReader(asJSON.stdout))
	if err := dec.Decode(&report); err != nil || dec.More() || !report.OK || asJSON.status != 0 || asJSON.stderr != "" {
		t.Errorf("%v, %+v", err, asJSON)
	}
	for _, f := range report.Findings {
		if !strings.Contains(text.stdout, f.Name) {
			t.Errorf("no %s in\n%s", f.Name, text.stdout)
		}
	}
}

func TestDoctorUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"doctor now", `unknown command "now" for "tapstack doctor"`},
		{"doctor --xml", "unknown flag: --xml"},
	} {
		status, stdout, stderr := call(strings.Fields(c.args)...)
		checkRefusal(t, status, stdout, stderr, c.want)
	}
}

// An ordinary user needs a namespace, for which he needs a second process, and
// a device file that opens: each of its modes is tried on a copy of his own.
func TestDoctorOrdinaryUser(t *testing.T) {
	needTAP(t)
	if m, err := os.ReadFile("/proc/self/uid_map"); err != nil || !strings.HasSuffix(string(m), "4294967295\n") {
		t.Skip("in a user namespace already: an ordinary user runs all the other tests")
	}
	if err := os.Chmod(filepath.Dir(program), 0o711); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	for _, c := range []struct {
		name   string
		file   func(path string) error
		status int
		want   []string
	}{
		{"open to all", tunFile(0o666), 0, []string{
			"  ok       user namespace     made", "  ok       TAP in a private namespace  was made", "\nA TAP can be had in a private namespace only: "}},
		{"closed", tunFile(0o600), 1, []string{
			"  PROBLEM  /dev/net/tun", "chmod 666", "\nNo TAP can be had here: "}},
		{"absent", func(string) error { return nil }, 1, []string{
			"  PROBLEM  /dev/net/tun", "modprobe tun", "\nNo TAP can be had here: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := examine(t, attr, func() error { return replaceDevNet(c.file) })
			if strings.Contains(x.stdout, "user namespace     refused") {
				netnstest.Skip(t, errors.New("this system gives ordinary users no user namespace"))
			}
			if x.status != c.status {
				t.Errorf("status %d, want %d", x.status, c.status)
			}
			for _, want := range c.want {
				if !strings.Contains(x.stdout, want) {
					t.Errorf("no %q in\n%s%s", want, x.stdout, x.stderr)
				}
			}
		})
	}
}

// replaceDevNet gives the calling thread a /dev/net of its own. The thread has
// a private mount namespace before anything is mounted, so nobody else sees it.
func replaceDevNet(fill func(path string) error) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "mode=755"); err != nil {
		return os.NewSyscallError("mount", err)
	}
	return fill("/dev/net/tun")
}

// tunFile makes the TUN driver's file.
func tunFile(mode uint32) func(string) error {
	return func(path string) error {
		if err := unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
			return os.NewSyscallError("mknod", err)
		}
		return os.Chmod(path, os.FileMode(mode)) // whatever the umask is
	}
}
