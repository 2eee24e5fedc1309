//go:build amd64

package main

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns/netnstest"
)

// TestRefusedCalls has a thread of the daemon itself make system calls that the
// daemon never makes: by ptrace(2), as a debugger does, between two
// instructions of its own. What is injected is filtered as all is.
func TestRefusedCalls(t *testing.T) {
	ns := needTAP(t)
	const bad = ^uint64(0)
	const noErrno = unix.Errno(0)
	calls := []struct {
		name string
		nr   uint64
		args [3]uint64
		free unix.Errno // without a filter
	}{
		{"execve", unix.SYS_EXECVE, [3]uint64{bad, 0, 0}, unix.EFAULT},
		{"unshare", unix.SYS_UNSHARE, [3]uint64{0, 0, 0}, noErrno},
		{"memfd_create", unix.SYS_MEMFD_CREATE, [3]uint64{bad, 0, 0}, unix.EFAULT},
		{"personality", unix.SYS_PERSONALITY, [3]uint64{0xffffffff, 0, 0}, noErrno},
		{"packet socket", unix.SYS_SOCKET, [3]uint64{unix.AF_PACKET, 0x7f, 0}, unix.EINVAL},
		{"fork", unix.SYS_CLONE, [3]uint64{unix.CLONE_SIGHAND, 0, 0}, unix.EINVAL},
	}
	for _, mode := range []string{"off", "required"} {
		p := start(t, ns, "-c", config(t, controlledConfig), "--seccomp", mode)
		inject(t, p.Process.Pid, func(call func(nr uint64, args [3]uint64) int64) {
			if got := call(unix.SYS_GETPID, [3]uint64{}); got != int64(p.Process.Pid) {
				t.Fatalf("getpid: %d: calls can not be injected", got)
			}
			for _, c := range calls {
				got, want := call(c.nr, c.args), -int64(unix.EPERM)
				if mode == "off" {
					want = -int64(c.free)
				}
				if got != want {
					t.Errorf("seccomp %s, %s: %d, want %d", mode, c.name, got, want)
				}
			}
		})
		// It goes on as if nothing had been.
		p.echoes(t, "192.168.77.2:7")
		p.wants(t, 0, "ss -ta", "LISTEN")
		p.stopped(t)
	}
}

// inject stops the main thread of a process, gives do a way to have it make
// system calls, and lets it go on where it was.
func inject(t *testing.T, pid int, do func(call func(nr uint64, args [3]uint64) int64)) {
	t.Helper()
	runtime.LockOSThread() // ptrace is between threads
	defer runtime.UnlockOSThread()
	err := unix.PtraceAttach(pid)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		netnstest.Skip(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	stopped := func() {
		t.Helper()
		var st unix.WaitStatus
		if _, err := unix.Wait4(pid, &st, unix.WALL, nil); err != nil || !st.Stopped() {
			t.Fatalf("%v, %#x", err, st)
		}
	}
	stopped()
	var was unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &was); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(unix.PtraceSetRegs(pid, &was), unix.PtraceDetach(pid)); err != nil {
			t.Error(err)
		}
	}()
	// An idle daemon's main thread waits in a system call, whose instruction
	// (two bytes, SYSCALL) is behind it.
	text := make([]byte, 2)
	if _, err := unix.PtracePeekText(pid, uintptr(was.Rip-2), text); err != nil || text[0] != 0x0f || text[1] != 0x05 {
		t.Fatalf("not in a system call: % x, %v", text, err)
	}
	do(func(nr uint64, args [3]uint64) int64 {
		regs := was
		regs.Rip -= 2
		regs.Rax, regs.Rdi, regs.Rsi, regs.Rdx = nr, args[0], args[1], args[2]
		regs.Orig_rax = ^uint64(0) // nothing to be restarted
		if err := unix.PtraceSetRegs(pid, &regs); err != nil {
			t.Fatal(err)
		}
		if err := unix.PtraceSingleStep(pid); err != nil {
			t.Fatal(err)
		}
		stopped()
		if err := unix.PtraceGetRegs(pid, &regs); err != nil {
			t.Fatal(err)
		}
		return int64(regs.Rax)
	})
}
