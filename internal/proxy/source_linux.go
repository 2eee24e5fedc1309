package proxy

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelSource copies from a connection of the kernel. Unlike a Read, which
// needs a buffer to wait with, it waits for bytes to be there, asks how many
// they are, and only then has somebody take them: thousands of idle connections
// hold no buffer. Whoever writes them waits for room before it takes them, so
// that they stay in the kernel's receive buffer until then.
type kernelSource struct {
	burst
	raw  syscall.RawConn
	look func(fd uintptr) bool // probe, made once

	n   int // what probe found
	err error
	one [1]byte
}

// kernelSource is nil for a connection that is none of the kernel's.
func (c *session) kernelSource(src net.Conn, n *atomic.Uint64) io.Reader {
	tc, ok := src.(interface {
		net.Conn
		syscall.Conn
	})
	if !ok {
		return nil
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return nil // closed: Read says so
	}
	k := &kernelSource{burst: burst{c: c, conn: src, n: n}, raw: raw}
	k.look = k.probe
	return k
}

// WriteTo implements io.WriterTo, so that io.Copy uses it.
func (k *kernelSource) WriteTo(w io.Writer) (int64, error) {
	var done int64
	for {
		k.n, k.err = 0, nil
		if err := k.raw.Read(k.look); err != nil {
			return done, err
		}
		if errors.Is(k.err, io.EOF) {
			return done, nil
		}
		if k.err != nil {
			return done, k.err
		}
		k.left = k.n
		n, err := w.(io.ReaderFrom).ReadFrom(&k.burst)
		done += n
		if err != nil {
			return done, err
		}
	}
}

// probe looks what Read would find. false, and it is called again when the
// socket may be readable.
func (k *kernelSource) probe(fd uintptr) bool {
	k.n, k.err = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	if k.err != nil || k.n > 0 {
		return true
	}
	// Nothing, the end, or an error: SIOCINQ is 0 for each.
	for {
		k.n, _, k.err = unix.Recvfrom(int(fd), k.one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if k.err != unix.EINTR { //nolint:errorlint // a system call's errno is bare
			break
		}
	}
	switch {
	case k.err == unix.EAGAIN: //nolint:errorlint // a system call's errno is bare
		return false
	case k.err == nil && k.n == 0:
		k.err = io.EOF
	}
	return true
}
