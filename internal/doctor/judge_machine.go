package doctor

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// judgeMachine is about the kernel and the CPUs.
func judgeMachine(f *facts) []Finding {
	const group = "machine"
	return []Finding{
		judgeKernel(group, f.machine.release),
		judgeIOUring(group, f),
		judgeCPUs(group, f.machine),
	}
}

// The first kernel whose TAPs have USO.
const usoMajor, usoMinor = 6, 2

func judgeKernel(group, release string) Finding {
	k := Finding{Group: group, Name: "kernel", Status: OK, Value: release}
	major, minor, ok := parseRelease(release)
	switch {
	case !ok:
		k.Detail = "not a version this command can read"
	case major < usoMajor || major == usoMajor && minor < usoMinor:
		k.Detail = fmt.Sprintf("before %d.%d a TAP has no USO: UDP goes one datagram a system call", usoMajor, usoMinor)
	default:
		k.Detail = "new enough for every offload"
	}
	return k
}

// parseRelease reads the beginning of what uname -r prints: "6.1.0-18-amd64".
func parseRelease(release string) (major, minor int, ok bool) {
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor, n == 2
}

func judgeIOUring(group string, f *facts) Finding {
	u := Finding{Group: group, Name: "io_uring", Status: OK, Value: "available"}
	if f.machine.ioUring != nil {
		u.Value = "not available"
	}
	u.Detail = "for information: no reader uses it"
	if v, err := readSysctl(f.sysctls, "kernel.io_uring_disabled"); err == nil {
		u.Detail += "; kernel.io_uring_disabled is " + v
	}
	if err := f.machine.ioUring; err != nil {
		u.Detail += "; it answers: " + err.Error()
	}
	return u
}

func judgeCPUs(group string, m machineFacts) Finding {
	c := Finding{Group: group, Name: "CPUs", Status: OK, Value: strconv.Itoa(m.cpus)}
	if m.online > m.cpus {
		c.Value = fmt.Sprintf("%d of %d", m.cpus, m.online)
	}
	switch {
	case m.cpus == 1:
		c.Status = Note
		c.Detail = "a reader that spins keeps the only CPU from whom it waits for"
		c.Fix = "set tap.Config.Spin to less than 0, or give the process a second CPU (taskset, cpuset)"
	case m.maxProcs == 1:
		c.Status = Note
		c.Detail = "but Go uses one (GOMAXPROCS, or a CPU quota): a reader that spins takes it from the stack"
		c.Fix = "set tap.Config.Spin to less than 0, or raise the quota"
	default:
		c.Detail = "one for a reader to spin on, one for whom it waits for"
	}
	return c
}

// countCPUs counts a list such as "0-3,8"; 0 if it is none.
func countCPUs(list string) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || b < a {
			return 0
		}
		n += b - a + 1
	}
	return n
}

// tapQueueLen is what package tap gives its own TAPs.
const tapQueueLen = 4096

// judgeTAPs is about the TAPs that exist in the caller's namespace.
func judgeTAPs(f *facts) []Finding {
	const group = "TAPs in this namespace"
	if f.tapsErr != nil {
		return []Finding{{Group: group, Name: "list", Status: Note, Value: "unknown", Detail: f.tapsErr.Error()}}
	}
	if len(f.taps) == 0 {
		return []Finding{{Group: group, Name: "any", Status: OK, Value: "none", Detail: "nothing to adopt, nothing in the way"}}
	}
	var out []Finding
	for _, t := range f.taps {
		out = append(out, judgeTAP(group, t))
	}
	return out
}

func judgeTAP(group string, t tapFacts) Finding {
	words := []string{"down", "temporary"}
	if t.up {
		words[0] = "up"
	}
	if t.persistent {
		words[1] = "persistent"
	}
	if t.multiQueue {
		words = append(words, "multi_queue")
	}
	switch {
	case t.queues > 1:
		words = append(words, fmt.Sprintf("in use %d times", t.queues))
	case t.inUse:
		words = append(words, "in use")
	}
	one := Finding{Group: group, Name: t.name, Status: OK, Value: strings.Join(words, ", "),
		Detail: fmt.Sprintf("%s, MTU %d, txqueuelen %d, dropped %d toward us, %d from us",
			t.ownership(), t.mtu, t.txQueueLen, t.txDrops, t.rxDrops)}
	if t.txQueueLen < tapQueueLen {
		one.Status = Note
		one.Detail += "; one bulk flow overruns so short a queue"
		one.Fix = fmt.Sprintf("sudo ip link set %s txqueuelen %d", t.name, tapQueueLen)
	} else if t.txDrops > 0 {
		one.Status = Note
		one.Detail += "; its reader was too slow"
	}
	return one
}

// ownership says who may take the TAP over.
func (t *tapFacts) ownership() string {
	switch {
	case t.owner == nobody && t.group == nobody:
		return "no owner: anyone may take it over"
	case t.group == nobody:
		return fmt.Sprintf("owner uid %d", t.owner)
	case t.owner == nobody:
		return fmt.Sprintf("group gid %d", t.group)
	}
	return fmt.Sprintf("owner uid %d, group gid %d", t.owner, t.group)
}

// readSysctl is the value of a sysctl, its fields a space apart.
func readSysctl(proc fs.FS, name string) (string, error) {
	b, err := fs.ReadFile(proc, strings.ReplaceAll(name, ".", "/"))
	return strings.Join(strings.Fields(string(b)), " "), err
}
