package privilege

import (
	"encoding/binary"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// run has the filter of a machine decide about a call, without a kernel.
func run(t *testing.T, vm *bpf.VM, machine uint32, nr int, args ...uint64) int {
	t.Helper()
	// The virtual machine reads big-endian words.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[offNumber:], uint32(nr))
	binary.BigEndian.PutUint32(data[offMachine:], machine)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[offArgs+8*i+4:], uint32(a>>32))
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const testPID = 4711

func filterOf(t *testing.T, info *arch.Info) *bpf.VM {
	t.Helper()
	code, calls := program(info, allowed(testPID))
	if len(code) > 4096 || calls < 80 { // BPF_MAXINSNS
		t.Errorf("%s: %d instructions, %d calls", info.Name, len(code), calls)
	}
	if _, err := bpf.Assemble(code); err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestFilter(t *testing.T) {
	const (
		yes = unix.SECCOMP_RET_ALLOW
		no  = unix.SECCOMP_RET_ERRNO | int(unix.EPERM)
	)
	for _, c := range []struct {
		name string
		args []uint64
		want int
	}{
		{"readv", nil, yes},
		{"writev", []uint64{bad64, bad64}, yes},
		{"execve", nil, no},
		{"ptrace", nil, no},
		{"mount", nil, no},
		{"clone3", nil, unix.SECCOMP_RET_ERRNO | int(unix.ENOSYS)},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_SIGHAND | unix.CLONE_THREAD}, yes},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_SIGHAND}, no},
		{"clone", []uint64{unix.CLONE_THREAD | unix.CLONE_NEWNET}, no},
		{"mprotect", []uint64{0, 0, unix.PROT_READ | unix.PROT_WRITE}, yes},
		// 4 is a call that is allowed, and what a condition found wanting.
		{"mprotect", []uint64{0, 0, unix.PROT_EXEC}, no},
		{"mprotect", []uint64{0, 0, 1<<32 | unix.PROT_EXEC}, no},
		{"tgkill", []uint64{testPID, 1, 9}, yes},
		{"tgkill", []uint64{testPID + 1, 1, 9}, no},
		{"tgkill", []uint64{1<<32 | testPID, 1, 9}, no},
		{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 0}, yes},
		{"socket", []uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}, yes},
		{"socket", []uint64{unix.AF_INET6, unix.SOCK_RAW, 0}, no},
		{"socket", []uint64{unix.AF_INET, unix.SOCK_PACKET, 0}, no},
		{"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, yes},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, yes},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, no},
		{"socket", []uint64{unix.AF_ALG, unix.SOCK_STREAM, 0}, no},
		{"prlimit64", []uint64{0, 7, 0}, yes},
		{"prlimit64", []uint64{testPID, 7, 0}, yes},
		{"prlimit64", []uint64{0, 7, 1 << 32}, no},
	} {
		for _, info := range machines {
			nr, ok := info.SyscallNames[c.name]
			if !ok {
				t.Errorf("%s has no %s", info.Name, c.name)
				continue
			}
			vm := filterOf(t, info)
			if got := run(t, vm, uint32(info.ID), nr, c.args...); got != c.want {
				t.Errorf("%s: %s%#x: %#x, want %#x", info.Name, c.name, c.args, got, c.want)
			}
			if got := run(t, vm, uint32(info.ID)+1, nr, c.args...); got != no {
				t.Errorf("%s, from another machine: %#x", c.name, got)
			}
		}
	}
	// x32: amd64's machine, numbers with a bit of their own.
	if got := run(t, filterOf(t, arch.X86_64), uint32(arch.X86_64.ID), unix.SYS_READ|1<<30); got != no {
		t.Errorf("x32: %#x", got)
	}
}

const bad64 = ^uint64(0)

// A name that no machine knows is a mistake in writing, and one that is there
// twice is decided by the first.
func TestListIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	check := func(name string) {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		for _, info := range machines {
			if _, ok := info.SyscallNames[name]; ok {
				return
			}
		}
		t.Errorf("no machine has a call %q", name)
	}
	for _, g := range allowed(testPID) {
		if g.why == "" {
			t.Errorf("%v: why?", g.calls)
		}
		for _, name := range g.calls {
			check(name)
		}
		for _, c := range g.conditional {
			check(c.name)
		}
	}
	for _, name := range notThere {
		check(name)
	}
}

func TestParseStatus(t *testing.T) {
	const ok = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapInh:\t01\nCapPrm:\t02\nCapEff:\t04\nCapBnd:\tff\nCapAmb:\t08\nNoNewPrivs:\t1\nSeccomp:\t2\n"
	st, err := parseStatus(ok)
	if err != nil || st.uid != [4]int{1, 2, 3, 4} || st.gid != [4]int{5, 6, 7, 8} || len(st.groups) != 2 ||
		st.caps != 0xf || st.bounding != 0xff || !st.noNewPrivs || !st.filtered {
		t.Errorf("%+v, %v", st, err)
	}
	for _, text := range []string{"", "Uid:\t1\n" + ok, "Uid:\tx\tx\tx\tx\n" + ok, "CapInh:\tz\n" + ok, ok[:60]} {
		if st, err := parseStatus(text); err == nil {
			t.Errorf("%q: %+v", text, st)
		}
	}
}

// What is on some threads only is no drop.
func TestReportHoldsEveryThreadToIt(t *testing.T) {
	id := identity{uid: 7, gid: 8}
	good := status{uid: [4]int{7, 7, 7, 7}, gid: [4]int{8, 8, 8, 8}, noNewPrivs: true, filtered: true}
	for _, c := range []struct {
		name  string
		spoil func(*status)
	}{
		{"user", func(s *status) { s.uid[2] = 0 }},
		{"group", func(s *status) { s.gid[3] = 0 }},
		{"groups", func(s *status) { s.groups = []int{0} }},
		{"capabilities", func(s *status) { s.caps = 1 }},
		{"no_new_privs", func(s *status) { s.noNewPrivs = false }},
		{"filter", func(s *status) { s.filtered = false }},
		{"nothing", func(*status) {}},
	} {
		r := Report{NoNewPrivs: true, Seccomp: true, Calls: 1}
		second := good
		c.spoil(&second)
		err := r.add(good)
		if err == nil {
			err = r.add(second)
		}
		if err == nil {
			err = r.check(id)
		}
		if (err == nil) != (c.name == "nothing") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What stands first decides: a second entry for a call would mean nothing.
func TestCallsAreListedOnce(t *testing.T) {
	seen := make(map[string]bool)
	once := func(name string) {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, g := range allowed(1) {
		for _, name := range g.calls {
			once(name)
		}
		for _, c := range g.conditional {
			once(c.name)
		}
	}
	for _, name := range notThere {
		once(name)
	}
}
