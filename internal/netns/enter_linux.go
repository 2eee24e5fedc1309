package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// marker is the environment variable by which a re-executed program knows
// itself: "<pid of the parent>,<the parent's namespace>". Both are checked,
// so a value that leaked into another program's environment means nothing.
const marker = "TAPSTACK_NETNS"

// Enter moves the whole program into a new network namespace with lo up. Call
// it first thing in main:
//
//	if err := netns.Enter(); err != nil { ... } // go on without, or give up
//
// Threads that exist can not be moved, so Enter executes the program again,
// same arguments, environment and standard files, and waits for it: the first
// process never returns from a successful Enter but exits with the second's
// status (128+n for signal n). In the second, Enter returns nil. Without
// CAP_SYS_ADMIN and CAP_NET_ADMIN it makes a user namespace too, in which the
// user is root; files keep their owner.
//
// The second process is in a process group of its own and can not read from
// a terminal. SIGINT, SIGTERM and the like are passed on to it, once each; it
// is killed should the first process die.
//
// Every error is an [*UnavailableError] and leaves things as they were, in
// whichever of the two processes it is returned.
func Enter() error {
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return unavailable("look up the namespace", err)
	}
	if parent, ok := strings.CutPrefix(os.Getenv(marker), fmt.Sprint(os.Getppid(), ",")); ok && parent != self {
		return loUp()
	}
	code, err := reexec(fmt.Sprint(marker, "=", os.Getpid(), ",", self))
	if err != nil {
		return unavailable("clone", err)
	}
	os.Exit(code)
	return nil
}

// reexec runs this program again in new namespaces and returns its exit
// status. An error means that it was never started.
func reexec(mark string) (code int, err error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), mark)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
		// In our group it would get a Ctrl-C twice: from the terminal and
		// from us.
		Setpgid: true,
	}
	if !privileged() {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		// An ordinary user may map one id, his own.
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}

	// Before the start: a signal between start and Notify would end us alone.
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH)
	defer signal.Stop(sigs)

	// Pdeathsig fires when the thread that cloned ends, not the process; and
	// forward stops its own thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // says what ProcessState says
		close(exited)
	}()
	for {
		select {
		case s := <-sigs:
			forward(cmd.Process, s)
		case <-exited:
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
				return 128 + int(ws.Signal()), nil
			}
			return cmd.ProcessState.ExitCode(), nil
		}
	}
}

// forward passes a signal on; a process that is gone needs none. Ctrl-Z has to
// stop both processes, and only SIGSTOP is certain to stop the one that the
// terminal does not know.
func forward(p *os.Process, s os.Signal) {
	if s != unix.SIGTSTP {
		_ = p.Signal(s)
		return
	}
	_ = p.Signal(unix.SIGSTOP)
	// Sent to the process, another thread might take it and this one go on.
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP) // returns after a SIGCONT
	_ = p.Signal(unix.SIGCONT)
}

// privileged reports whether this process may make and configure a network
// namespace without a user namespace around it.
func privileged() bool {
	var data [2]unix.CapUserData // version 3 has two words
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN // both in the first word
	return data[0].Effective&need == need
}

// unavailable wraps err with what to do about it.
func unavailable(op string, err error) error {
	return &UnavailableError{Op: op, Err: err, Remedy: remedy(err)}
}

// switches are the settings by which systems refuse namespaces. A file that
// is not there is a switch the system does not have.
var switches = []struct{ file, off, remedy string }{
	{"kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
	{"user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"},
	{"user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=10000"},
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
}

// remedy is one line for the user: the switch that is off, if one is.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		return ""
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "the kernel needs CONFIG_NET_NS and CONFIG_USER_NS"
	}
	for _, s := range switches {
		b, err := os.ReadFile("/proc/sys/" + s.file)
		if err == nil && strings.TrimSpace(string(b)) == s.off {
			return "as root: " + s.remedy + "; or run as root"
		}
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
		return "too many namespaces: see /proc/sys/user/max_net_namespaces and max_user_namespaces"
	}
	if os.Geteuid() != 0 {
		return "run as root, or allow user namespaces"
	}
	return "needs CAP_SYS_ADMIN and CAP_NET_ADMIN: start the container with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
}
