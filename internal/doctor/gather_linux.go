package doctor

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapstack/internal/daemon/privilege"
)

// gather asks the system.
func gather(ctx context.Context, cfg Config) *facts {
	f := &facts{
		system:  runtime.GOOS,
		user:    lookAtUser(),
		tun:     lookAtTUN(),
		machine: lookAtMachine(),
		sysctls: os.DirFS("/proc/sys"),
		private: lookPrivately(ctx, cfg),

		privileges: lookAtPrivileges(),
	}
	f.taps, f.tapsErr = lookAtTAPs()
	return f
}

func lookAtUser() userFacts {
	u := userFacts{uid: os.Geteuid(), gid: os.Getegid(), name: userName(os.Geteuid())}
	var data [2]unix.CapUserData // version 3 has two words
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&hdr, &data[0]) == nil {
		u.netAdmin = data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
		u.netRaw = data[0].Effective&(1<<unix.CAP_NET_RAW) != 0
	}
	return u
}

func userName(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return ""
	}
	return u.Username
}

// lookAtTUN opens the driver's file, which makes nothing by itself.
func lookAtTUN() (t tunFacts) {
	if info, err := os.Stat(tunFile); err == nil {
		t.mode = fmt.Sprintf("mode %04o", info.Mode().Perm())
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			t.mode += ", owner " + userLabel(userName(int(st.Uid)), int(st.Uid))
		}
	}
	fd, err := unix.Open(tunFile, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.open = err
		return t
	}
	defer unix.Close(fd)
	t.asked = askTUN(fd)
	return t
}

// askTUN asks whether a TAP may be made here, without making one. The request
// is for an interface that is neither TUN nor TAP: the kernel looks at the
// permission first (EPERM), at the kind second (EINVAL).
func askTUN(fd int) error {
	var ifreq [unix.IFNAMSIZ + 24]byte // no name, no flags; struct ifreq is 40 bytes at most
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&ifreq)))
	if errno != 0 && errno != unix.EINVAL {
		return errno
	}
	return nil
}

// lookAtPrivileges asks what can be given up, and gives up nothing.
func lookAtPrivileges() privilegeFacts {
	probe := privilege.Look()
	p := privilegeFacts{landlockABI: probe.LandlockABI, landlock: probe.Landlock, seccomp: probe.Seccomp, root: os.Geteuid() == 0}
	_, p.noNewPrivs = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	p.become, p.whyNot = privilege.Unprivileged()
	return p
}

func lookAtMachine() machineFacts {
	m := machineFacts{ioUring: askIOUring(), cpus: runtime.NumCPU(), maxProcs: runtime.GOMAXPROCS(0)}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.release = unix.ByteSliceToString(uts.Release[:])
	}
	if b, err := os.ReadFile("/sys/devices/system/cpu/online"); err == nil {
		m.online = countCPUs(strings.TrimSpace(string(b)))
	}
	return m
}

// askIOUring asks for a ring without entries. Where rings are allowed, that is
// EINVAL and no ring; where they are not, the kernel (or a seccomp filter)
// says so first.
func askIOUring() error {
	var params [120]byte // struct io_uring_params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, uintptr(unsafe.Pointer(&params)), 0)
	switch errno {
	case 0:
		_ = unix.Close(int(fd))
		return nil
	case unix.EINVAL:
		return nil
	default:
		return errno
	}
}
