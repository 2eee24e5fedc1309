package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// yesNo is a value.
func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func userLabel(name string, uid int) string {
	if name == "" {
		return fmt.Sprintf("uid %d", uid)
	}
	return fmt.Sprintf("%s (uid %d)", name, uid)
}

// judgeUser is about who is asking, and the namespaces he can make.
func judgeUser(f *facts) []Finding {
	const group = "user"
	u := f.user
	out := []Finding{{Group: group, Name: "user", Status: OK, Value: userLabel(u.name, u.uid)}}

	admin := Finding{Group: group, Name: "CAP_NET_ADMIN", Status: OK, Value: yesNo(u.netAdmin),
		Detail: "TAPs can be made, and the kernel's end of them configured"}
	switch {
	case !u.netAdmin:
		admin.Status = Note
		admin.Detail = "no TAP can be made outside a private namespace"
		admin.Fix = `run as root, or give it to the program: "sudo setcap cap_net_admin+ep bin/tapstack"`
	case f.tun.asked != nil:
		// Root of a user namespace, whose network belongs to another one.
		admin.Status = Note
		admin.Detail = "but not over this network namespace"
	}
	raw := Finding{Group: group, Name: "CAP_NET_RAW", Status: OK, Value: yesNo(u.netRaw),
		Detail: "raw sockets of the kernel; the stack needs none"}
	return append(append(out, admin, raw), judgeNamespaces(group, f)...)
}

func judgeNamespaces(group string, f *facts) []Finding {
	p := f.private
	user := Finding{Group: group, Name: "user namespace", Status: OK}
	network := Finding{Group: group, Name: "network namespace", Status: OK, Value: "made",
		Detail: "what follows was tried in it; it is gone again"}
	switch {
	case p.Refused == "" && p.Foreign:
		user.Value, user.Detail = "made", "an ordinary user becomes root in it, over nothing but what is in it"
	case p.Refused == "":
		user.Value, user.Detail = "not needed", "this user makes network namespaces without one"
	default:
		// Who can make a TAP here misses the demo, the tests and the
		// benchmarks; who can not has lost his only way.
		user.Status = Problem
		if f.here() {
			user.Status = Note
		}
		network.Status = user.Status
		user.Value, user.Detail, user.Fix = "refused", p.Refused, p.Remedy
		network.Value, network.Detail = "refused", "neither with a user namespace nor without: nothing can be tried without touching this one"
	}
	return []Finding{user, network}
}

// judgeDevice is about making TAPs at all.
func judgeDevice(f *facts) []Finding {
	const group = "device"
	file := Finding{Group: group, Name: tunFile, Status: OK, Value: "opens", Detail: f.tun.mode}
	if f.tun.open != nil {
		file.Status, file.Value = Problem, "does not open"
		file.Detail, file.Fix = explainTUN(f.tun)
		return []Finding{file}
	}

	here := Finding{Group: group, Name: "TAP in this namespace", Status: OK, Value: "may be made",
		Detail: "the kernel was asked; none was made"}
	if err := f.tun.asked; err != nil {
		here.Status, here.Value, here.Detail = Note, "may not be made", err.Error()
		if f.user.netAdmin { // else the fix is there
			here.Fix = `make the network namespace together with the user namespace: "unshare -rn"`
		}
	}
	private := Finding{Group: group, Name: "TAP in a private namespace", Status: OK, Value: "was made"}
	switch t := f.private.find(defaultTry); {
	case f.private.Refused != "":
		private.Status, private.Value, private.Detail = Note, "not tried", "there is no private namespace, see above"
	case !t.Got:
		private.Status, private.Value, private.Detail = Problem, "was not made", t.Why
	default:
		private.Detail = "this is where make demo and make test have theirs"
	}
	return []Finding{file, here, private}
}

// tunFile is the TUN driver's file, on Linux.
const tunFile = "/dev/net/tun"

// explainTUN says what it means that tunFile does not open.
func explainTUN(t tunFacts) (detail, fix string) {
	detail = t.open.Error()
	if t.mode != "" {
		detail += " (" + t.mode + ")"
	}
	switch {
	case errors.Is(t.open, fs.ErrNotExist), errors.Is(t.open, syscall.ENODEV), errors.Is(t.open, syscall.ENXIO):
		fix = `load the driver with "modprobe tun", or start the container with "--device ` + tunFile + `"`
	case errors.Is(t.open, syscall.EACCES):
		// It protects nothing: what one may do with the file is decided by
		// CAP_NET_ADMIN.
		fix = `run as root, or let everyone open it, which gives nobody a privilege: "sudo chmod 666 ` + tunFile + `"`
	case errors.Is(t.open, fs.ErrPermission):
		fix = `something stronger than the file's mode forbids it: start the container with "--device ` + tunFile + `"`
	}
	return detail, fix
}
