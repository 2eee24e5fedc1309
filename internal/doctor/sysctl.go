package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// sysctl is a setting of the kernel that matters to who uses a TAP.
type sysctl struct {
	name    string
	meaning string // of a value that does no harm
	// judge says what is wrong with the value, "" if nothing, and which value
	// would be better; nil if none is wrong.
	judge func(value string, f *facts) (hurts, better string)
}

// sysctls are in the order of the path: the kernel's TCP, its buffers, its
// queues, addresses, and who may do what.
var sysctls = []sysctl{
	{"net.ipv4.tcp_congestion_control", "sends large frames as its window allows", judgeCongestion},
	{"net.core.rmem_max", "bytes a kernel socket may ask for with SO_RCVBUF", lastAtLeast("212992", "a kernel socket loses datagrams in a burst")},
	{"net.core.wmem_max", "bytes a kernel socket may ask for with SO_SNDBUF", lastAtLeast("212992", "a kernel socket can not keep a fast stack busy")},
	{"net.ipv4.tcp_rmem", "a kernel receive buffer: least, first, most", lastAtLeast("4096 131072 6291456", "the kernel's window stays small, so our send buffer waits for it")},
	{"net.ipv4.tcp_wmem", "a kernel send buffer: least, first, most", lastAtLeast("4096 16384 4194304", "the kernel sends less than a full window")},
	{"net.core.netdev_max_backlog", "frames that wait for a CPU; a TAP's do with RPS only, veth's always", lastAtLeast("1000", "frames to the kernel are dropped before its TCP sees them")},
	{"net.core.busy_read", "kernel sockets do not spin; a TAP has no hardware to poll", judgeBusyRead},
	{"net.ipv6.conf.all.disable_ipv6", "the kernel's end may have IPv6 addresses", judgeIPv6},
	{"net.ipv6.conf.default.disable_ipv6", "so may a new TAP's", judgeIPv6},
	{"net.ipv4.ip_forward", "0: this machine alone reaches the stack; 1: others do too, through it", nil},
	{"net.ipv4.ping_group_range", "groups whose users may ping from the kernel; the stack's own ping is free", judgePing},
	{"user.max_user_namespaces", "how many each user may have", notEqual("0", "ordinary users get no private namespace", "10000")},
	{"kernel.unprivileged_userns_clone", "ordinary users may make user namespaces", notEqual("0", "ordinary users get no private namespace", "1")},
	{"kernel.apparmor_restrict_unprivileged_userns", "user namespaces are as good as any", notEqual("1", "an ordinary user's namespace has no privileges in it", "0")},
}

func judgeSysctls(f *facts) []Finding {
	var out []Finding
	for _, s := range sysctls {
		out = append(out, s.finding(f))
	}
	return out
}

func (s sysctl) finding(f *facts) Finding {
	one := Finding{Group: "sysctls", Name: s.name, Status: OK, Detail: s.meaning}
	value, err := readSysctl(f.sysctls, s.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		one.Value, one.Detail = "absent", "this kernel, or this namespace, does not have it"
		return one
	case err != nil:
		one.Value, one.Detail = "unreadable", err.Error()
		return one
	}
	one.Value = value
	if s.judge == nil {
		return one
	}
	if hurts, better := s.judge(value, f); hurts != "" {
		one.Status, one.Detail = Note, hurts
		if better != "" {
			one.Fix = setting(s.name, better)
		}
	}
	return one
}

// setting is the command for it.
func setting(name, value string) string {
	if strings.Contains(value, " ") {
		value = `"` + value + `"`
	}
	return fmt.Sprintf("sudo sysctl -w %s=%s", name, value)
}

// judgeCongestion: pacing means sending little at a time.
func judgeCongestion(value string, f *facts) (hurts, better string) {
	if value != "bbr" {
		return "", ""
	}
	better = "reno" // every kernel has it
	if has, err := readSysctl(f.sysctls, "net.ipv4.tcp_available_congestion_control"); err == nil &&
		slices.Contains(strings.Fields(has), "cubic") {
		better = "cubic"
	}
	return "it paces: small frames where large ones could go, and half the throughput or less", better
}

func judgeBusyRead(value string, _ *facts) (hurts, better string) {
	if n, err := strconv.Atoi(value); err == nil && n > 0 {
		return "kernel sockets spin, in vain: a TAP has no hardware to poll", "0"
	}
	return "", ""
}

func judgeIPv6(value string, _ *facts) (hurts, better string) {
	if value != "0" {
		return "the kernel's end takes no IPv6 address; the stack's own IPv6 works", "0"
	}
	return "", ""
}

// judgePing: the range is of group ids, and "1 0" is nobody. Who has
// CAP_NET_RAW pings without it.
func judgePing(value string, f *facts) (hurts, better string) {
	var from, to int
	if n, _ := fmt.Sscan(value, &from, &to); n != 2 || f.user.netRaw || from <= f.user.gid && f.user.gid <= to {
		return "", ""
	}
	return "this user needs a privileged program to ping from the kernel; the stack's own ping is free", "0 2147483647"
}

// notEqual demands anything but bad.
func notEqual(bad, hurts, better string) func(string, *facts) (string, string) {
	return func(value string, _ *facts) (string, string) {
		if value == bad {
			return hurts, better
		}
		return "", ""
	}
}

// lastAtLeast compares the last number with that of floor, all of which is the
// better value.
func lastAtLeast(floor, hurts string) func(string, *facts) (string, string) {
	last := func(s string) int {
		fields := strings.Fields(s)
		if len(fields) == 0 {
			return -1
		}
		n, err := strconv.Atoi(fields[len(fields)-1])
		if err != nil {
			return -1
		}
		return n
	}
	return func(value string, _ *facts) (string, string) {
		if n := last(value); n >= 0 && n < last(floor) {
			return hurts, floor
		}
		return "", ""
	}
}
