package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What is not on the list gets EPERM and goes into the audit log; it does not
// end the process. The list is of what was seen and read, of one Go release and
// one kernel; what a later one tries besides is nearly always a short cut with
// a way round, and connections are worth more than the certainty that an
// attacker, who gets EPERM just the same, does not try twice.
//
// Not EPERM but ENOSYS is the answer where it says "use the older call, whose
// arguments can be looked at": glibc goes on only then.

// machines are those that the list is made for. 32-bit ones have second sets of
// calls, for large files and late times.
var machines = map[string]*arch.Info{"amd64": arch.X86_64, "arm64": arch.AARCH64}

// askSeccomp asks for a filter without a program: EFAULT is a yes.
func askSeccomp() error {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, 0)
	if errno == unix.EFAULT {
		return nil
	}
	return fmt.Errorf("the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER): %w", os.NewSyscallError("seccomp", errno))
}

// filterCalls leaves the calls on the list, to all threads.
func filterCalls(m Mode, r *Report) error {
	if m == Off {
		r.note("seccomp: not in force: switched off in the configuration")
		return nil
	}
	if err := askSeccomp(); err != nil {
		return r.unsupported(m, "seccomp", err)
	}
	info := machines[runtime.GOARCH]
	if info == nil {
		return r.unsupported(m, "seccomp", errors.New("no list of system calls for "+runtime.GOARCH))
	}
	code, calls := program(info, allowed(os.Getpid()))
	if m == Log {
		return logCalls(code, r)
	}
	if err := loadFilter(code); err != nil {
		return err
	}
	r.Calls = calls
	return nil
}

// logCalls loads the program with all that it refuses allowed, and logged.
func logCalls(code []bpf.Instruction, r *Report) error {
	for i, in := range code {
		if in == bpf.Instruction(retRefuse) {
			code[i] = retLog
		}
	}
	r.note("seccomp: refuses nothing: it only logs, as the configuration says")
	return loadFilter(code)
}

// loadFilter hands the program to the kernel, for every thread at once, which
// takes one with no_new_privs from everybody. Refusals go to the audit log.
func loadFilter(code []bpf.Instruction) error {
	raw, err := bpf.Assemble(code)
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	for _, flags := range []uintptr{unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_LOG, unix.SECCOMP_FILTER_FLAG_TSYNC} {
		thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
		switch {
		case errno == unix.EINVAL && flags&unix.SECCOMP_FILTER_FLAG_LOG != 0:
			continue // Linux before 4.14
		case errno != 0:
			return os.NewSyscallError("seccomp", errno)
		case thread != 0:
			return fmt.Errorf("seccomp: thread %d has a filter of its own", thread)
		}
		return nil
	}
	return nil
}
