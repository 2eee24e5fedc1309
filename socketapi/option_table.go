package socketapi

import (
	"math"
	"slices"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tapstack/socketapi/internal/engine"
)

// optionTable has a row for every option. It is filled at start because its
// functions look into it.
var optionTable map[Option]optionSpec

func init() {
	optionTable = map[Option]optionSpec{
		SO_SNDBUF:     {"SO_SNDBUF", any_, getSendSize, setSendSize, true},
		SO_RCVBUF:     {"SO_RCVBUF", any_, getReceiveSize, setReceiveSize, true},
		SO_RCVLOWAT:   {"SO_RCVLOWAT", any_, getRcvLowat, setRcvLowat, true},
		SO_REUSEADDR:  boolean("SO_REUSEADDR", any_, (*tcpip.SocketOptions).GetReuseAddress, (*tcpip.SocketOptions).SetReuseAddress),
		SO_REUSEPORT:  boolean("SO_REUSEPORT", any_, (*tcpip.SocketOptions).GetReusePort, (*tcpip.SocketOptions).SetReusePort),
		SO_KEEPALIVE:  boolean("SO_KEEPALIVE", any_, (*tcpip.SocketOptions).GetKeepAlive, (*tcpip.SocketOptions).SetKeepAlive),
		SO_BROADCAST:  boolean("SO_BROADCAST", any_, (*tcpip.SocketOptions).GetBroadcast, (*tcpip.SocketOptions).SetBroadcast),
		SO_TIMESTAMP:  flagOption("SO_TIMESTAMP", any_, flagTimestamp),
		SO_NO_CHECK:   boolean("SO_NO_CHECK", datagrams4, (*tcpip.SocketOptions).GetNoChecksum, (*tcpip.SocketOptions).SetNoChecksum),
		SO_ERROR:      readOnly("SO_ERROR", any_, (*Socket).pendingErrno),
		SO_TYPE:       readOnly("SO_TYPE", any_, func(so *Socket) int { return map[bool]int{true: 1, false: 2}[so.kind == stream] }),
		SO_PROTOCOL:   readOnly("SO_PROTOCOL", any_, (*Socket).protocol),
		SO_DOMAIN:     readOnly("SO_DOMAIN", any_, func(so *Socket) int { return map[bool]int{true: 10, false: 2}[so.v6] }),
		SO_ACCEPTCONN: readOnly("SO_ACCEPTCONN", any_, func(so *Socket) int { return b2i(so.ep.SocketOptions().GetAcceptConn()) }),

		// gVisor's name for Nagle's algorithm is delay.
		TCP_NODELAY: boolean("TCP_NODELAY", streams,
			func(o *tcpip.SocketOptions) bool { return !o.GetDelayOption() },
			func(o *tcpip.SocketOptions, on bool) { o.SetDelayOption(!on) }),
		TCP_CORK:          {"TCP_CORK", streams, getCork, setCork, true},
		TCP_MAXSEG:        {"TCP_MAXSEG", streams, getMaxSeg, setMaxSeg, true},
		TCP_KEEPIDLE:      duration[tcpip.KeepaliveIdleOption]("TCP_KEEPIDLE", time.Second, 1, 32767),
		TCP_KEEPINTVL:     duration[tcpip.KeepaliveIntervalOption]("TCP_KEEPINTVL", time.Second, 1, 32767),
		TCP_KEEPCNT:       number("TCP_KEEPCNT", streams, tcpip.KeepaliveCountOption, 1, 127),
		TCP_USER_TIMEOUT:  duration[tcpip.TCPUserTimeoutOption]("TCP_USER_TIMEOUT", time.Millisecond, 0, math.MaxInt32),
		TCP_LINGER2:       duration[tcpip.TCPLingerTimeoutOption]("TCP_LINGER2", time.Second, math.MinInt32, math.MaxInt32),
		TCP_DEFER_ACCEPT:  {"TCP_DEFER_ACCEPT", streams, getDeferAccept, setDeferAccept, true},
		TCP_QUICKACK:      readOnly("TCP_QUICKACK", streams, func(*Socket) int { return 1 }),
		TCP_NOTSENT_LOWAT: {"TCP_NOTSENT_LOWAT", streams, getNotsentLowat, setNotsentLowat, true},
		TCP_INQ:           zeroOrOne(flagOption("TCP_INQ", streams, flagInq)),

		IP_TTL:            {"IP_TTL", any_, getTTL, setTTL, true},
		IP_TOS:            steady(lowByte(number("IP_TOS", any_, tcpip.IPv4TOSOption, 0, 255))),
		IP_MTU_DISCOVER:   {"IP_MTU_DISCOVER", any_, getMTUDiscover, setMTUDiscover, true},
		IP_MULTICAST_TTL:  orDefaultOf(1, number("IP_MULTICAST_TTL", messages, tcpip.MulticastTTLOption, 0, 255)),
		IP_MULTICAST_LOOP: boolean("IP_MULTICAST_LOOP", messages, (*tcpip.SocketOptions).GetMulticastLoop, (*tcpip.SocketOptions).SetMulticastLoop),
		IP_RECVTTL:        boolean("IP_RECVTTL", messages, (*tcpip.SocketOptions).GetReceiveTTL, (*tcpip.SocketOptions).SetReceiveTTL),
		IP_RECVTOS:        boolean("IP_RECVTOS", messages, (*tcpip.SocketOptions).GetReceiveTOS, (*tcpip.SocketOptions).SetReceiveTOS),
		IP_PKTINFO:        packetInfoOption("IP_PKTINFO", messages, flagInfo4),

		IPV6_V6ONLY:         {"IPV6_V6ONLY", ipv6s, getV6Only, setV6Only, false},
		IPV6_UNICAST_HOPS:   {"IPV6_UNICAST_HOPS", ipv6s, getHops, setHops, true},
		IPV6_TCLASS:         steady(orDefaultOf(0, number("IPV6_TCLASS", ipv6s, tcpip.IPv6TrafficClassOption, 0, 255))),
		IPV6_MULTICAST_HOPS: orDefaultOf(1, number("IPV6_MULTICAST_HOPS", messages6, tcpip.MulticastTTLOption, 0, 255)),
		IPV6_MULTICAST_LOOP: zeroOrOne(boolean("IPV6_MULTICAST_LOOP", messages6, (*tcpip.SocketOptions).GetMulticastLoop, (*tcpip.SocketOptions).SetMulticastLoop)),
		IPV6_RECVPKTINFO:    packetInfoOption("IPV6_RECVPKTINFO", messages6, flagInfo6),
		IPV6_RECVHOPLIMIT:   boolean("IPV6_RECVHOPLIMIT", messages6, (*tcpip.SocketOptions).GetReceiveHopLimit, (*tcpip.SocketOptions).SetReceiveHopLimit),
		IPV6_RECVTCLASS:     boolean("IPV6_RECVTCLASS", messages6, (*tcpip.SocketOptions).GetReceiveTClass, (*tcpip.SocketOptions).SetReceiveTClass),
	}
}

// Which sockets have an option.
func any_(*Socket) bool          { return true }
func streams(so *Socket) bool    { return so.kind == stream }
func messages(so *Socket) bool   { return so.kind != stream }
func ipv6s(so *Socket) bool      { return so.v6 }
func messages6(so *Socket) bool  { return so.v6 && so.kind != stream }
func datagrams4(so *Socket) bool { return so.kind == datagram }

// boolean is a row for what gVisor keeps as a bool.
func boolean(name string, has func(*Socket) bool, get func(*tcpip.SocketOptions) bool, set func(*tcpip.SocketOptions, bool)) optionSpec {
	return optionSpec{name, has,
		func(so *Socket) (int, error) { return b2i(get(so.ep.SocketOptions())), nil },
		func(so *Socket, v int) error { set(so.ep.SocketOptions(), v != 0); return nil },
		true}
}

// number is a row for what gVisor keeps as an int between low and high.
func number(name string, has func(*Socket) bool, opt tcpip.SockOptInt, low, high int) optionSpec {
	return optionSpec{name, has,
		func(so *Socket) (int, error) {
			v, err := so.ep.GetSockOptInt(opt)
			if err != nil {
				return 0, so.errno(err)
			}
			return v, nil
		},
		func(so *Socket, v int) error {
			if v < low || v > high {
				return syscall.EINVAL
			}
			return so.errno(so.ep.SetSockOptInt(opt, v))
		},
		true}
}

// durationOption is a pointer to one of gVisor's options that are a duration.
type durationOption[T any] interface {
	*T
	tcpip.SettableSocketOption
	tcpip.GettableSocketOption
}

// duration is a row for what gVisor keeps as a duration and Linux as a number
// of units between low and high.
func duration[T ~int64, P durationOption[T]](name string, unit time.Duration, low, high int) optionSpec {
	return optionSpec{name, streams,
		func(so *Socket) (int, error) {
			var d T
			if err := so.ep.GetSockOpt(P(&d)); err != nil {
				return 0, so.errno(err)
			}
			if d < 0 {
				return -1, nil
			}
			return int(time.Duration(d) / unit), nil
		},
		func(so *Socket, v int) error {
			if v < low || v > high {
				return syscall.EINVAL
			}
			d := T(time.Duration(v) * unit)
			return so.errno(so.ep.SetSockOpt(P(&d)))
		},
		true}
}

// flagOption is a row for a bit of ours.
func flagOption(name string, has func(*Socket) bool, f flag) optionSpec {
	return optionSpec{name, has,
		func(so *Socket) (int, error) { return b2i(so.flagged(f)), nil },
		func(so *Socket, v int) error {
			if v != 0 {
				so.flags.Or(uint32(f))
			} else {
				so.flags.And(^uint32(f))
			}
			return nil
		},
		false} // bequeath copies all flags
}

// Linux's ways with values that an option does not have: lowByte takes the lower
// eight bits, orDefaultOf a default for -1, zeroOrOne says EINVAL.
func lowByte(spec optionSpec) optionSpec {
	set := spec.set
	spec.set = func(so *Socket, v int) error { return set(so, v&0xff) }
	return spec
}

func orDefaultOf(def int, spec optionSpec) optionSpec {
	set := spec.set
	spec.set = func(so *Socket, v int) error {
		if v == -1 {
			v = def
		}
		return set(so, v)
	}
	return spec
}

func zeroOrOne(spec optionSpec) optionSpec {
	set := spec.set
	spec.set = func(so *Socket, v int) error {
		if v != 0 && v != 1 {
			return syscall.EINVAL
		}
		return set(so, v)
	}
	return spec
}

// deferredEarly is what TCP_DEFER_ACCEPT is short of its whole seconds inside
// gVisor, which sends the SYN-ACK again only strictly after that time: one that
// is due at that very second, as with an exact clock it is, would be left out,
// and the next is twice as late (handshake.retransmitHandlerLocked).
const deferredEarly = time.Nanosecond

func getDeferAccept(so *Socket) (int, error) {
	var d tcpip.TCPDeferAcceptOption
	if err := so.ep.GetSockOpt(&d); err != nil {
		return 0, so.errno(err)
	}
	return int((time.Duration(d) + deferredEarly) / time.Second), nil
}

// setDeferAccept takes 0 for negative values, as Linux does.
func setDeferAccept(so *Socket, v int) error {
	if v > math.MaxInt32 {
		return syscall.EINVAL
	}
	var d tcpip.TCPDeferAcceptOption
	if v > 0 {
		d = tcpip.TCPDeferAcceptOption(time.Duration(v)*time.Second - deferredEarly)
	}
	return so.errno(so.ep.SetSockOpt(&d))
}

// readOnly is a row without set.
func readOnly(name string, has func(*Socket) bool, get func(*Socket) int) optionSpec {
	return optionSpec{name: name, has: has, get: func(so *Socket) (int, error) { return get(so), nil }}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// errnoOf is the number of a bare errno, 0 for nil.
func errnoOf(err error) int {
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // bare by construction
		return int(errno)
	}
	return 0
}

func (so *Socket) protocol() int {
	switch {
	case so.kind == stream:
		return 6
	case so.kind == datagram:
		return 17
	case so.v6:
		return 58
	default:
		return 1
	}
}

// pendingErrno is SO_ERROR.
func (so *Socket) pendingErrno() int {
	if ep := so.tcp(); ep != nil {
		if st := engine.Read(ep); resetAfterFIN(&st) && ep.LastError() != nil {
			so.lastErrno.Store(uint32(syscall.EPIPE))
			return int(syscall.EPIPE)
		}
	}
	if late := so.rcv.late.Swap(0); late != 0 {
		return int(late)
	}
	errno := errnoOf(so.errno(so.ep.LastError()))
	if errno == 0 {
		so.startKeepAlive() // SO_ERROR tells that a Connect is through
	}
	return errno
}

// startKeepAlive starts the timer of keepalive once there is a connection.
// gVisor starts it with the first segment that comes after the handshake, and
// when the option is set; so a connection that we have opened, with the option
// set before, and on which nobody ever says anything, would never be probed.
func (so *Socket) startKeepAlive() {
	ep := so.tcp()
	if ep == nil || !so.ep.SocketOptions().GetKeepAlive() || ep.EndpointState() != tcp.StateEstablished {
		return
	}
	if !so.keepsAlive.Swap(true) {
		so.ep.SocketOptions().SetKeepAlive(true)
	}
}

// mtuDiscover are gVisor's values by Linux's (IP_PMTUDISC_DONT, _WANT, _DO,
// _PROBE): gVisor counts the first two the other way round.
var mtuDiscover = [...]tcpip.PMTUDStrategy{tcpip.PMTUDiscoveryDont, tcpip.PMTUDiscoveryWant, tcpip.PMTUDiscoveryDo, tcpip.PMTUDiscoveryProbe}

func getMTUDiscover(so *Socket) (int, error) {
	v, err := so.ep.GetSockOptInt(tcpip.MTUDiscoverOption)
	if err != nil {
		return 0, so.errno(err)
	}
	return slices.Index(mtuDiscover[:], tcpip.PMTUDStrategy(v)), nil
}

func setMTUDiscover(so *Socket, v int) error {
	if v < 0 || v >= len(mtuDiscover) {
		return syscall.EINVAL
	}
	return so.errno(so.ep.SetSockOptInt(tcpip.MTUDiscoverOption, int(mtuDiscover[v])))
}

// defaultTTL is gVisor's, and Linux's (net.ipv4.ip_default_ttl).
const defaultTTL = 64

func getTTL(so *Socket) (int, error) {
	v, err := so.ep.GetSockOptInt(tcpip.IPv4TTLOption)
	if err != nil {
		return 0, so.errno(err)
	}
	if v == tcpip.UseDefaultIPv4TTL {
		v = defaultTTL
	}
	return v, nil
}

func setTTL(so *Socket, v int) error {
	if v == -1 {
		v = tcpip.UseDefaultIPv4TTL
	} else if v < 1 || v > 255 {
		return syscall.EINVAL
	}
	return so.errno(so.ep.SetSockOptInt(tcpip.IPv4TTLOption, v))
}

func getHops(so *Socket) (int, error) {
	v, err := so.ep.GetSockOptInt(tcpip.IPv6HopLimitOption)
	if err != nil {
		return 0, so.errno(err)
	}
	if v == tcpip.UseDefaultIPv6HopLimit {
		v = defaultTTL
	}
	return v, nil
}

func setHops(so *Socket, v int) error {
	if v < -1 || v > 255 {
		return syscall.EINVAL
	}
	return so.errno(so.ep.SetSockOptInt(tcpip.IPv6HopLimitOption, v))
}

func getV6Only(so *Socket) (int, error) { return b2i(so.ep.SocketOptions().GetV6Only()), nil }

// setV6Only changes the families before the socket has an address (ipv6(7)).
func setV6Only(so *Socket, v int) error {
	if a, err := so.ep.GetLocalAddress(); err == nil && a.Port != 0 {
		return syscall.EINVAL
	}
	so.ep.SocketOptions().SetV6Only(v != 0)
	return nil
}
