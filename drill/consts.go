package drill

import "syscall"

// constant is a name's value in Linux and FreeBSD; absent where one has not
// got it.
type constant struct {
	name           string
	linux, freebsd int64
}

const absent = -1 << 62

// Values from Linux's uapi headers and FreeBSD's sys/ and netinet/.
var constantTable = []constant{
	{"AF_UNSPEC", 0, 0},
	{"AF_INET", 2, 2}, {"AF_INET6", 10, 28}, {"PF_INET", 2, 2}, {"PF_INET6", 10, 28},
	{"SOCK_STREAM", 1, 1}, {"SOCK_DGRAM", 2, 2}, {"SOCK_RAW", 3, 3},
	{"SOCK_NONBLOCK", 0x800, 0x20000000}, {"SOCK_CLOEXEC", 0x80000, 0x10000000},
	{"IPPROTO_IP", 0, 0}, {"IPPROTO_ICMP", 1, 1}, {"IPPROTO_TCP", 6, 6}, {"IPPROTO_UDP", 17, 17},
	{"IPPROTO_IPV6", 41, 41}, {"IPPROTO_ICMPV6", 58, 58}, {"IPPROTO_SCTP", 132, 132},
	{"IPPROTO_UDPLITE", 136, 136}, {"IPPROTO_MPTCP", 262, absent},
	{"SOL_SOCKET", 1, 0xffff}, {"SOL_IP", 0, absent}, {"SOL_TCP", 6, absent}, {"SOL_UDP", 17, absent}, {"SOL_IPV6", 41, absent},
	{"INADDR_ANY", 0, 0}, {"INADDR_LOOPBACK", 0x7f000001, 0x7f000001},

	{"O_RDONLY", 0, 0}, {"O_WRONLY", 1, 1}, {"O_RDWR", 2, 2}, {"O_NONBLOCK", 0x800, 4}, {"O_NDELAY", 0x800, 4},
	{"F_DUPFD", 0, 0}, {"F_GETFD", 1, 1}, {"F_SETFD", 2, 2}, {"F_GETFL", 3, 3}, {"F_SETFL", 4, 4}, {"FD_CLOEXEC", 1, 1},
	{"SHUT_RD", 0, 0}, {"SHUT_WR", 1, 1}, {"SHUT_RDWR", 2, 2},

	{"MSG_OOB", 1, 1}, {"MSG_PEEK", 2, 2}, {"MSG_TRUNC", 0x20, 0x10}, {"MSG_DONTWAIT", 0x40, 0x80},
	{"MSG_EOR", 0x80, 8}, {"MSG_WAITALL", 0x100, 0x40}, {"MSG_CTRUNC", 8, 0x20}, {"MSG_ERRQUEUE", 0x2000, absent},
	{"MSG_NOSIGNAL", 0x4000, 0x20000}, {"MSG_MORE", 0x8000, absent}, {"MSG_ZEROCOPY", 0x4000000, absent},
	{"MSG_FASTOPEN", 0x20000000, absent},

	{"POLLIN", 1, 1}, {"POLLPRI", 2, 2}, {"POLLOUT", 4, 4}, {"POLLERR", 8, 8}, {"POLLHUP", 0x10, 0x10},
	{"POLLNVAL", 0x20, 0x20}, {"POLLRDNORM", 0x40, 0x40}, {"POLLWRNORM", 0x100, 4}, {"POLLRDHUP", 0x2000, 0x4000},
	{"EPOLLIN", 1, absent}, {"EPOLLPRI", 2, absent}, {"EPOLLOUT", 4, absent}, {"EPOLLERR", 8, absent}, {"EPOLLHUP", 0x10, absent},
	{"EPOLLRDNORM", 0x40, absent}, {"EPOLLWRNORM", 0x100, absent}, {"EPOLLRDHUP", 0x2000, absent},
	{"EPOLLET", 1 << 31, absent}, {"EPOLLONESHOT", 1 << 30, absent},
	{"EPOLL_CTL_ADD", 1, absent}, {"EPOLL_CTL_DEL", 2, absent}, {"EPOLL_CTL_MOD", 3, absent}, {"EPOLL_CLOEXEC", 0x80000, absent},
	{"FIONREAD", 0x541b, 0x4004667f}, {"FIONWRITE", absent, 0x40046677}, {"SIOCINQ", 0x541b, absent},
	{"SIOCOUTQ", 0x5411, absent}, {"SIOCOUTQNSD", 0x894b, absent}, {"FIONBIO", 0x5421, 0x8004667e},

	{"IP_PMTUDISC_DONT", 0, absent}, {"IP_PMTUDISC_WANT", 1, absent}, {"IP_PMTUDISC_DO", 2, absent}, {"IP_PMTUDISC_PROBE", 3, absent},

	{"TCP_ESTABLISHED", 1, absent}, {"TCP_SYN_SENT", 2, absent}, {"TCP_SYN_RECV", 3, absent}, {"TCP_FIN_WAIT1", 4, absent},
	{"TCP_FIN_WAIT2", 5, absent}, {"TCP_TIME_WAIT", 6, absent}, {"TCP_CLOSE", 7, absent}, {"TCP_CLOSE_WAIT", 8, absent},
	{"TCP_LAST_ACK", 9, absent}, {"TCP_LISTEN", 10, absent}, {"TCP_CLOSING", 11, absent},
	{"TCP_CA_Open", 0, absent}, {"TCP_CA_Disorder", 1, absent}, {"TCP_CA_CWR", 2, absent}, {"TCP_CA_Recovery", 3, absent}, {"TCP_CA_Loss", 4, absent},
	{"TCPI_OPT_TIMESTAMPS", 1, 1}, {"TCPI_OPT_SACK", 2, 2}, {"TCPI_OPT_WSCALE", 4, 4}, {"TCPI_OPT_ECN", 8, 8},

	// FreeBSD's scripts compare tcpi_state with these. They have the numbers
	// of Linux's states here, because socketapi.Info has.
	{"TCPI_ESTABLISHED", 1, 1}, {"TCPI_SYN_SENT", 2, 2}, {"TCPI_SYN_RECEIVED", 3, 3}, {"TCPI_FIN_WAIT_1", 4, 4},
	{"TCPI_FIN_WAIT_2", 5, 5}, {"TCPI_TIME_WAIT", 6, 6}, {"TCPI_CLOSED", 7, 7}, {"TCPI_CLOSE_WAIT", 8, 8},
	{"TCPI_LAST_ACK", 9, 9}, {"TCPI_LISTEN", 10, 10}, {"TCPI_CLOSING", 11, 11},
}

// constants are the names of a profile.
func constants(p Profile) map[string]int64 {
	m := make(map[string]int64, len(constantTable)+len(errnos))
	for _, c := range constantTable {
		v := c.linux
		// FreeBSD's files are also written with Linux's names.
		if p == FreeBSD && c.freebsd != absent {
			v = c.freebsd
		}
		if v != absent {
			m[c.name] = v
		}
	}
	for name, e := range errnos {
		m[name] = int64(e)
	}
	return m
}

// errnos are the errors that sockets and stacks return, by name. Scripts
// compare names, so their numbers may be those of the machine.
var errnos = map[string]syscall.Errno{
	"EACCES": syscall.EACCES, "EADDRINUSE": syscall.EADDRINUSE, "EADDRNOTAVAIL": syscall.EADDRNOTAVAIL,
	"EAFNOSUPPORT": syscall.EAFNOSUPPORT, "EAGAIN": syscall.EAGAIN, "EALREADY": syscall.EALREADY, "EBADF": syscall.EBADF,
	"ECONNABORTED": syscall.ECONNABORTED, "ECONNREFUSED": syscall.ECONNREFUSED, "ECONNRESET": syscall.ECONNRESET,
	"EDESTADDRREQ": syscall.EDESTADDRREQ, "EEXIST": syscall.EEXIST, "EFAULT": syscall.EFAULT, "EHOSTDOWN": syscall.EHOSTDOWN,
	"EHOSTUNREACH": syscall.EHOSTUNREACH, "EINPROGRESS": syscall.EINPROGRESS, "EINTR": syscall.EINTR, "EINVAL": syscall.EINVAL,
	"EISCONN": syscall.EISCONN, "EMSGSIZE": syscall.EMSGSIZE, "ENETDOWN": syscall.ENETDOWN, "ENETUNREACH": syscall.ENETUNREACH,
	"ENOBUFS": syscall.ENOBUFS, "ENODEV": syscall.ENODEV, "ENOENT": syscall.ENOENT, "ENOMEM": syscall.ENOMEM,
	"ENOPROTOOPT": syscall.ENOPROTOOPT, "ENOTCONN": syscall.ENOTCONN, "ENOTSOCK": syscall.ENOTSOCK,
	"EOPNOTSUPP": syscall.EOPNOTSUPP, "EPERM": syscall.EPERM, "EPIPE": syscall.EPIPE, "EPROTONOSUPPORT": syscall.EPROTONOSUPPORT,
	"EPROTO": syscall.EPROTO, "ETIMEDOUT": syscall.ETIMEDOUT, "EWOULDBLOCK": syscall.EAGAIN, "ENOTSUP": syscall.EOPNOTSUPP,
}

// errnoName is an errno's name.
func errnoName(e syscall.Errno) string {
	best := ""
	for name, v := range errnos {
		// EAGAIN rather than EWOULDBLOCK.
		if v == e && (best == "" || name < best) {
			best = name
		}
	}
	if best == "" {
		return e.Error()
	}
	return best
}
