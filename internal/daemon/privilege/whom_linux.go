package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unprivileged is the user to become where nobody has named one: the first of
// Users that there is and that this process could become. The error says why
// there is none, which is no reason not to start: what can be dropped without
// changing the user can be dropped all the same.
func Unprivileged() (string, error) {
	if uid := os.Geteuid(); uid != 0 {
		return "", fmt.Errorf("not started as root: it stays user %d", uid)
	}
	var hdr = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if err := unix.Capget(&hdr, &data[0]); err != nil || data[0].Effective&needed != needed {
		return "", errors.New("started as root without CAP_SETUID and CAP_SETGID: it stays root, who owns most files")
	}
	if b, err := os.ReadFile("/proc/self/setgroups"); err == nil && strings.TrimSpace(string(b)) == "deny" {
		return "", errors.New("this user namespace has no other user to become: it stays the user that made the namespace")
	}
	for _, name := range Users {
		u, err := user.Lookup(name)
		if err == nil && mapped("/proc/self/uid_map", u.Uid) && mapped("/proc/self/gid_map", u.Gid) {
			return name, nil
		}
	}
	return "", fmt.Errorf("there is no user %s: it stays root, who owns most files", strings.Join(Users, " and no user "))
}

// mapped reports whether an id exists in this user namespace
// (user_namespaces(7)): lines of first id inside, first outside, how many.
func mapped(file, id string) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return true // a kernel without user namespaces
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && inside <= n && n-inside < count {
			return true
		}
	}
	return false
}

// IDs are the user and the group that Drop will become: to give them what they
// need later, while there is the right to.
func IDs(cfg Config) (uid, gid int, err error) {
	id, err := lookUp(cfg)
	return id.uid, id.gid, err
}
