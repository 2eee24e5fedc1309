package privilege

import "golang.org/x/sys/unix"

// group is some system calls and why they are needed.
type group struct {
	why         string
	calls       []string
	conditional []conditional
}

// allowed is the list. It was found by reading Go's runtime, syscall, os and
// net packages for linux, and by running the daemon and the tests of this
// package under strace -f -c; what only the race detector and glibc ask for is
// in a group of its own.
func allowed(pid int) []group {
	return []group{
		{why: "the data path: TAP queues, sockets, and the runtime's waiting for both", calls: []string{
			"readv", "writev", "read", "write", "futex", "epoll_pwait", "epoll_pwait2",
			"nanosleep", "poll", "ppoll", "recvmsg", "sendmsg", "recvfrom", "sendto", "recvmmsg", "sendmmsg",
			"sched_yield", "accept4", "splice", "sendfile", "clock_gettime", "clock_nanosleep", "gettimeofday",
		}},
		{why: "memory. Nothing new may be executable: Go makes no code at run time",
			calls: []string{"munmap", "madvise"},
			conditional: []conditional{
				when("mmap", all(notSet(2, unix.PROT_EXEC))),
				when("mprotect", all(notSet(2, unix.PROT_EXEC))),
				// Names for its memory in /proc/self/maps (runtime.setVMAName).
				when("prctl", all(equal(0, unix.PR_SET_VMA))),
			}},
		{why: "threads, and the signals by which they are preempted and profiled; no processes, and no signal to any other",
			calls: []string{
				"exit", "exit_group", "gettid", "getpid", "getppid", "set_tid_address",
				"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
				"sched_getaffinity", "setitimer", "timer_create", "timer_settime", "timer_delete",
			},
			conditional: []conditional{
				when("clone", all(set(0, unix.CLONE_THREAD), notSet(0, newNamespaces))),
				when("tgkill", all(equal(0, uint64(pid)))),
				when("kill", all(equal(0, uint64(pid)))),
			}},
		{why: "sockets of the host: forwards, proxies, the control socket, and news of links and addresses. No packet, raw, crypto or other sockets",
			calls: []string{
				"bind", "listen", "connect", "shutdown", "getsockname", "getpeername", "getsockopt", "setsockopt",
				"epoll_create1", "epoll_ctl", "eventfd2", "pipe2",
			},
			conditional: []conditional{
				when("socket",
					all(equal(0, unix.AF_INET), onlyStream),
					all(equal(0, unix.AF_INET), onlyDatagram),
					all(equal(0, unix.AF_INET6), onlyStream),
					all(equal(0, unix.AF_INET6), onlyDatagram),
					all(equal(0, unix.AF_UNIX)),
					all(equal(0, unix.AF_NETLINK), equal(2, unix.NETLINK_ROUTE)),
				),
			}},
		{why: "what open files are asked: how much a socket has received; which interface a TAP's file is of. And a TAP that stays is left without offloads",
			conditional: []conditional{
				when("ioctl",
					all(equal(1, unix.SIOCINQ)),
					all(equal(1, unix.TUNGETIFF)),
					all(equal(1, unix.SIOCGIFHWADDR)),
					all(equal(1, unix.TUNSETOFFLOAD), equal(2, 0)),
				),
			}},
		{why: "files: the configuration again, static pages, captures, /proc/self for metrics. Which ones is for Landlock and the files' modes to say",
			calls: []string{
				"openat", "close", "fstat", "newfstatat", "fstatat", "statx", "lseek", "pread64", "pwrite64", "preadv", "pwritev",
				"getdents64", "readlinkat", "fcntl", "ftruncate", "fsync", "fdatasync", "flock", "unlinkat", "renameat", "renameat2",
				"mkdirat", "faccessat", "faccessat2", "copy_file_range", "dup3", "getcwd",
			}},
		{why: "about this process and machine",
			calls: []string{
				"getrandom", "uname", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getrlimit", "getrusage", "sysinfo",
				"statfs", // is /proc one? (procfs, of Prometheus)
			},
			conditional: []conditional{
				// Its own limits, to be read.
				when("prlimit64", all(equal(0, 0), equal(2, 0)), all(equal(0, uint64(pid)), equal(2, 0))),
			}},
		{why: "what glibc asks for when a thread begins or ends, in a program with cgo: such as one with the race detector",
			calls: []string{"set_robust_list", "rseq", "membarrier", "brk", "mremap"},
		},
	}
}

// notThere are answered as if the kernel did not have them: what they are to do
// is told through memory, where a filter can not look.
var notThere = []string{"clone3", "openat2"}

// newNamespaces are clone's flags for them all.
const newNamespaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
	unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS | unix.CLONE_NEWTIME

// Types of sockets are numbers (1 stream, 2 datagram, 3 raw, up to 10), in the
// lowest four bits of socket's second argument, with flags above.
var (
	onlyStream   = notSet(1, 0xf&^uint32(unix.SOCK_STREAM))
	onlyDatagram = notSet(1, 0xf&^uint32(unix.SOCK_DGRAM))
)
