package doctor

import "io/fs"

// facts are what gather has seen, without an opinion.
type facts struct {
	system  string // runtime.GOOS
	user    userFacts
	tun     tunFacts
	private *private
	machine machineFacts
	sysctls fs.FS // /proc/sys

	privileges privilegeFacts

	taps    []tapFacts
	tapsErr error
}

type userFacts struct {
	uid, gid         int
	name             string // "" if the system has none
	netAdmin, netRaw bool   // capabilities, effective
}

// tunFacts are about /dev/net/tun.
type tunFacts struct {
	mode  string // and owner, in words; "" if there is no such file
	open  error  // why it does not open
	asked error  // why no TAP may be made in the caller's namespace; nil: one may
}

type machineFacts struct {
	release  string // of the kernel, as uname -r prints it
	ioUring  error  // the answer to io_uring_setup; nil: it is available
	cpus     int    // this process may run on
	online   int    // the machine has; 0 if that is not known
	maxProcs int    // the Go runtime uses: less than cpus if a cgroup has a quota
}

// tapFacts are about a TAP that exists in the caller's namespace.
type tapFacts struct {
	name             string
	owner, group     int // uid and gid, or nobody
	persistent, up   bool
	multiQueue       bool // it may be open several times
	queues           int  // how often it is open; 0 also if it is no multi-queue TAP
	inUse            bool // a program has it open; not known of one that is down
	mtu, txQueueLen  int
	rxDrops, txDrops uint64
}

// nobody is the owner of what has none. Without either, anyone may take it over:
// the kernel refuses only those who are not the owner there is, or not in the
// group there is (tun_not_capable).
const nobody = -1

// here reports whether a TAP can be made in the caller's namespace. The kernel
// was asked for permission only; that one really comes to be was seen in the
// private namespace, if there was one.
func (f *facts) here() bool {
	if f.tun.open != nil || f.tun.asked != nil {
		return false
	}
	return f.private.Refused != "" || f.private.find(defaultTry).Got
}

// adoptable is the name of a TAP that this user may take over, "" if none. Its
// owner may, and may not bring it up.
func (f *facts) adoptable() string {
	if f.tun.open != nil {
		return ""
	}
	for _, t := range f.taps {
		own := (t.owner == nobody || t.owner == f.user.uid) && (t.group == nobody || t.group == f.user.gid)
		if t.persistent && !t.inUse && (own && t.up || f.tun.asked == nil) {
			return t.name
		}
	}
	return ""
}
