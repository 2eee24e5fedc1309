package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// What the paths of a Config allow. Executing is among none of them.
const (
	readFile  = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readDir   = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	writeDir  = readDir | writeFile |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
)

// handled is all that Landlock can refuse in the file system up to ABI 5.
// Connecting to sockets by path (ABI 9) is left to the sockets' modes.
const handled = 1<<16 - 1

// scopes keep signals and connections to abstract sockets inside (ABI 6). What
// is connected already stays so.
const scopes = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET

// maxABI is the version from which on we ask for nothing more.
const maxABI = 6

// The network is not handled: Landlock knows ports and no addresses, and a
// forward may lead to any port of any host. To be limited in that, give the
// unit IPAddressAllow (systemd.resource-control(5)).

// landlockABI asks for the version of the interface.
func landlockABI() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return withoutErrata(int(v)), nil
	case unix.ENOSYS:
		return 0, fmt.Errorf("the kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK): %w", errno)
	case unix.EOPNOTSUPP:
		return 0, fmt.Errorf("the kernel has Landlock and started without it: add landlock to the list of its parameter lsm=: %w", errno)
	default:
		return 0, errno
	}
}

// withoutErrata is the version that can be used. In kernels without the second
// correction the threads of one process could not signal each other once signals
// were kept inside, which the library does not ask of them then.
func withoutErrata(v int) int {
	if v < 6 {
		return v
	}
	fixed, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	if errno != 0 || fixed&2 == 0 {
		return 5
	}
	return v
}

// restrictFiles leaves the paths of cfg to be opened.
func restrictFiles(cfg Config, r *Report) error {
	if cfg.Landlock == Off {
		r.note("Landlock: not in force: switched off in the configuration")
		return nil
	}
	abi, err := landlockABI()
	if err != nil {
		return r.unsupported(cfg.Landlock, "Landlock", err)
	}
	// The process's own status is read below.
	rules := []landlock.Rule{landlock.PathAccess(readDir, "/proc/self")}
	for _, path := range cfg.Read {
		if rules, err = r.rule(rules, path, readFile, readDir, &r.Read); err != nil {
			return err
		}
	}
	for _, path := range cfg.Write {
		if rules, err = r.rule(rules, path, readFile|writeFile, writeDir, &r.Write); err != nil {
			return err
		}
	}
	full := landlock.MustConfig(landlock.AccessFSSet(handled), landlock.ScopedSet(scopes))
	if err := full.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	r.LandlockABI = min(abi, maxABI)
	if missing := lacks(abi); missing != "" {
		r.note("Landlock: ABI %d does not know of %s", abi, missing)
	}
	return nil
}

// lacks names what an older version leaves open.
func lacks(abi int) string {
	var out []string
	for _, later := range []struct {
		abi  int
		what string
	}{
		{2, "moving files between directories"},
		{3, "truncating"},
		{5, "ioctl on devices"},
		{6, "signals and abstract sockets"},
	} {
		if abi < later.abi {
			out = append(out, later.what)
		}
	}
	return strings.Join(out, ", ")
}

// rule adds one path: a directory with all below, or a file, which must not be
// given a directory's rights.
func (r *Report) rule(rules []landlock.Rule, path string, file, dir landlock.AccessFSSet, list *[]string) ([]landlock.Rule, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		r.note("Landlock: %s does not exist and can not be opened later either", path)
		return rules, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		r.note("Landlock: %s can not be reached by this user, with or without a rule", path)
		return rules, nil
	}
	if err != nil {
		return rules, fmt.Errorf("landlock: %w", err)
	}
	*list = append(*list, path)
	if info.IsDir() {
		return append(rules, landlock.PathAccess(dir, path)), nil
	}
	return append(rules, landlock.PathAccess(file, path)), nil
}
