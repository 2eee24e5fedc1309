package privilege

import "golang.org/x/sys/unix"

// rawCall is one that this program never makes. Each answers with another
// errno than EPERM, or none, where no filter is: a bad pointer, a bad number.
type rawCall struct {
	nr   uintptr
	args [5]uintptr
}

const bad = ^uintptr(0)

var refused = map[string]rawCall{
	"mount":             {unix.SYS_MOUNT, [5]uintptr{bad, bad, bad, 0, bad}},
	"ptrace":            {unix.SYS_PTRACE, [5]uintptr{unix.PTRACE_PEEKTEXT, bad >> 33}},
	"execve":            {unix.SYS_EXECVE, [5]uintptr{bad}},
	"execveat":          {unix.SYS_EXECVEAT, [5]uintptr{bad, bad}},
	"unshare":           {unix.SYS_UNSHARE, [5]uintptr{}},
	"setns":             {unix.SYS_SETNS, [5]uintptr{bad}},
	"memfd_create":      {unix.SYS_MEMFD_CREATE, [5]uintptr{bad}},
	"io_uring_setup":    {unix.SYS_IO_URING_SETUP, [5]uintptr{0, bad}},
	"bpf":               {unix.SYS_BPF, [5]uintptr{bad}},
	"keyctl":            {unix.SYS_KEYCTL, [5]uintptr{bad >> 33}},
	"userfaultfd":       {unix.SYS_USERFAULTFD, [5]uintptr{bad >> 33}},
	"process_vm_readv":  {unix.SYS_PROCESS_VM_READV, [5]uintptr{0, bad, 1, bad, 1}},
	"personality":       {unix.SYS_PERSONALITY, [5]uintptr{0xffffffff}},
	"chmod":             {unix.SYS_FCHMODAT, [5]uintptr{bad, bad}},
	"ioctl":             {unix.SYS_IOCTL, [5]uintptr{bad, unix.TUNSETIFF, bad}},
	"offloads":          {unix.SYS_IOCTL, [5]uintptr{bad, unix.TUNSETOFFLOAD, 1}},
	"setuid":            {unix.SYS_SETRESUID, [5]uintptr{bad, bad, bad}}, // -1: leave
	"fork":              {unix.SYS_CLONE, [5]uintptr{unix.CLONE_SIGHAND}},
	"thread-namespaces": {unix.SYS_CLONE, [5]uintptr{unix.CLONE_THREAD | unix.CLONE_NEWUSER}},
	"signal-a-parent":   {unix.SYS_KILL, [5]uintptr{1, bad >> 33}},
	"packet-socket":     {unix.SYS_SOCKET, [5]uintptr{unix.AF_PACKET, 0x7f}},
	"raw-socket":        {unix.SYS_SOCKET, [5]uintptr{unix.AF_INET, unix.SOCK_RAW, 0x7fff}},
	"sequenced-socket":  {unix.SYS_SOCKET, [5]uintptr{unix.AF_INET, unix.SOCK_SEQPACKET, 0x7fff}},
	"netlink-other":     {unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC}},
	"executable-memory": {unix.SYS_MMAP, [5]uintptr{0, 0, unix.PROT_EXEC, 0}},
	"made-executable":   {unix.SYS_MPROTECT, [5]uintptr{1, 0, unix.PROT_EXEC}},
	"higher-limits":     {unix.SYS_PRLIMIT64, [5]uintptr{0, 0x7f, bad}},
}

// passes are calls that are like refused ones, and that the program makes.
var passes = map[string]rawCall{
	"no-offloads":    {unix.SYS_IOCTL, [5]uintptr{bad, unix.TUNSETOFFLOAD, 0}},
	"which-tap":      {unix.SYS_IOCTL, [5]uintptr{bad, unix.TUNGETIFF, bad}},
	"which-address":  {unix.SYS_IOCTL, [5]uintptr{bad, unix.SIOCGIFHWADDR, bad}},
	"own-limits":     {unix.SYS_PRLIMIT64, [5]uintptr{0, 0x7f, 0}},
	"plain-memory":   {unix.SYS_MPROTECT, [5]uintptr{1, 0, unix.PROT_READ}},
	"netlink-routes": {unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_STREAM, unix.NETLINK_ROUTE}},
}

func (c rawCall) do() error {
	_, _, errno := unix.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0)
	if errno != 0 {
		return errno
	}
	return nil
}
