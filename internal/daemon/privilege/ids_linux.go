package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// identity is who to become.
type identity struct {
	uid, gid int
	groups   []int
	same     bool // who we are already
}

// lookUp finds the user and groups of cfg, while their files can be read.
func lookUp(cfg Config) (id identity, err error) {
	if cfg.User == "" {
		if cfg.Group != "" || len(cfg.Groups) > 0 {
			return id, errors.New("a group without a user: give the user, too")
		}
		return identity{uid: os.Getuid(), gid: os.Getgid(), same: true}, nil
	}
	if id.uid, id.gid, err = findUser(cfg.User, cfg.Group != ""); err != nil {
		return id, err
	}
	if cfg.Group != "" {
		if id.gid, err = findGroup(cfg.Group); err != nil {
			return id, err
		}
	}
	for _, name := range cfg.Groups {
		gid, err := findGroup(name)
		if err != nil {
			return id, err
		}
		id.groups = append(id.groups, gid)
	}
	if id.uid == 0 || id.gid == 0 || slices.Contains(id.groups, 0) {
		return id, fmt.Errorf("user %s: root, by user or group, is no unprivileged user: choose another", cfg.User)
	}
	return id, nil
}

// findUser gives the user's own group too, unless another was asked for: a
// number needs no entry in the user database then.
func findUser(name string, grouped bool) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			if n, bad := strconv.ParseUint(name, 10, 31); bad == nil && grouped {
				return int(n), -1, nil
			}
			return 0, 0, fmt.Errorf("user %q is not known here: give one that is, or a number together with a group", name)
		}
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("user %q: uid %q: %w", name, u.Uid, err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, fmt.Errorf("user %q: gid %q: %w", name, u.Gid, err)
	}
	return uid, gid, nil
}

func findGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		n, bad := strconv.ParseUint(name, 10, 31)
		if bad != nil {
			return 0, fmt.Errorf("group %q is not known here: give one that is, or a number", name)
		}
		return int(n), nil
	}
	return strconv.Atoi(g.Gid)
}

// become changes groups before users: the other way round there is nobody left
// who may. Package syscall does each to all threads.
func (id identity) become() error {
	if id.same {
		return nil
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"setgroups", func() error { return syscall.Setgroups(id.groups) }},
		{"setresgid", func() error { return syscall.Setresgid(id.gid, id.gid, id.gid) }},
		{"setresuid", func() error { return syscall.Setresuid(id.uid, id.uid, id.uid) }},
	} {
		if err := step.do(); err != nil {
			err = os.NewSyscallError(step.name, err)
			op := fmt.Sprintf("become user %d, group %d", id.uid, id.gid)
			if errors.Is(err, unix.EPERM) {
				return &NeedsPrivilege{Op: op, Needs: "CAP_SETUID and CAP_SETGID", Err: err}
			}
			// EINVAL: a user namespace in which that user does not exist.
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// lastCap is more than there are; the kernel says EINVAL to the first it does
// not know.
const lastCap = 63

// dropBounding empties the set that limits what a program executed later can
// have. The caller's own capabilities stay until later.
func dropBounding() error {
	for c := range uintptr(lastCap + 1) {
		err := allThreads("prctl(PR_CAPBSET_DROP)", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && c > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropCapabilities clears all sets. Becoming another user than root has
// cleared most; who stays the same, or was nobody's root, has them still.
func dropCapabilities() error {
	err := allThreads("prctl(PR_CAP_AMBIENT)", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) { // before Linux 4.3 there were none
		return err
	}
	// Version 3 has two words. The header's pid 0 is the calling thread.
	hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := new([2]unix.CapUserData)
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(none)), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}

// allThreads makes one system call on every thread. Package syscall can do
// that too, but not in a program that uses cgo, as all do that are built for
// the race detector; psx can in both, and is plain Go in one that does not.
func allThreads(name string, call, a1, a2, a3, a4, a5 uintptr) error {
	if _, _, errno := psx.Syscall6(call, a1, a2, a3, a4, a5, 0); errno != 0 {
		return os.NewSyscallError(name, errno)
	}
	return nil
}
