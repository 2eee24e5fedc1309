package control

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who connected (SO_PEERCRED, SO_PEERGROUPS; unix(7)).
func peerOf(c *net.UnixConn) (Credentials, error) {
	var cred Credentials
	raw, err := c.SyscallConn()
	if err != nil {
		return cred, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		u, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			inner = os.NewSyscallError("getsockopt", err)
			return
		}
		cred.PID, cred.UID, cred.GID = int(u.Pid), u.Uid, u.Gid
		cred.Groups, inner = peerGroups(int(fd))
	})
	return cred, errors.Join(err, inner)
}

// peerGroups are the supplementary groups of who connected. A kernel before
// 4.13 does not know them: none then.
func peerGroups(fd int) ([]uint32, error) {
	buf := make([]byte, 4*64)
	for {
		n := uint32(len(buf))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&n)), 0)
		switch {
		case errno == unix.ERANGE && int(n) > len(buf):
			buf = make([]byte, n)
			continue
		case errno == unix.ENOPROTOOPT:
			return nil, nil
		case errno != 0:
			return nil, os.NewSyscallError("getsockopt", errno)
		}
		groups := make([]uint32, n/4)
		for i := range groups {
			groups[i] = binary.NativeEndian.Uint32(buf[4*i:])
		}
		return groups, nil
	}
}
